// A lesson between two votes: keys rest while one is being saved, what could not be saved says so, and a
// new pair starts at its prompt. The keys themselves are plumbline/keys.js.
"use strict";
(() => {
  const lesson = () => document.getElementById("lesson");

  document.addEventListener("htmx:beforeRequest", () => lesson()?.setAttribute("data-busy", ""));
  document.addEventListener("htmx:afterRequest", () => lesson()?.removeAttribute("data-busy"));

  for (const lost of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(lost, () => lesson()?.querySelector("[data-lost]")?.removeAttribute("hidden"));
  }

  document.addEventListener("htmx:afterSwap", () => {
    if (lesson()?.getBoundingClientRect().top < 0) lesson().scrollIntoView();
  });
})();
