// Loaded in the head, before the first paint: the chosen theme, and the mark that scripts run.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("plumbline.theme");
    if (theme) root.dataset.theme = theme;
  } catch { /* storage may be forbidden: the system's theme it is */ }

  function toggle() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("plumbline.theme", root.dataset.theme); } catch { /* for this page only, then */ }
    document.dispatchEvent(new CustomEvent("plumbline:theme"));
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-toggle-theme]")) toggle();
    for (const menu of document.querySelectorAll(".menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
})();
