// Keys of a lesson: the button that carries the key is pressed, unless the person is typing, a dialog is
// open, a modifier is held, the key repeats, or the last vote is still being saved.
"use strict";
(() => {
  const typing = (target) => target.closest("input:not([type=hidden]), textarea, select, [contenteditable], dialog[open]");

  document.addEventListener("keydown", (event) => {
    const lesson = document.getElementById("lesson");
    if (!lesson || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (typing(event.target) || document.querySelector("dialog[open]") || lesson.querySelector(".htmx-request")) return;
    const button = [...lesson.querySelectorAll("button[data-key]")].find((b) => b.dataset.key === event.key && !b.disabled);
    if (!button) return;
    event.preventDefault();
    button.classList.add("pulse");
    button.click();
  });

  // A new pair starts at its prompt, wherever the last one was scrolled to.
  document.addEventListener("htmx:afterSwap", () => {
    const lesson = document.getElementById("lesson");
    if (lesson && lesson.getBoundingClientRect().top < 0) lesson.scrollIntoView();
  });
})();
