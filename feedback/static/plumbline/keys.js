// One key, one control: a press clicks the visible button (enters the field) whose data-keys holds it. Buttons and the help sheet
// are drawn from the same table (feedback/keys.py). Keys rest while somebody types, while a dialog is open,
// with Ctrl, Alt or Meta, on repeats, and while the page is busy.
"use strict";
(() => {
  const TEXT = "input:not([type=checkbox], [type=radio], [type=hidden]), textarea, select, [contenteditable]";

  // Digits by their place on the keyboard, so that Shift+1 is Shift+1 on every layout.
  function name(event) {
    const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code || "");
    if (digit && !(event.code.startsWith("Numpad") && !/^[0-9]$/.test(event.key))) {
      return (event.shiftKey && event.key !== digit[1] ? "Shift+" : "") + digit[1];
    }
    return event.key.length === 1 ? event.key.toLowerCase() : event.key;
  }

  function resting(event) {
    if (event.defaultPrevented || event.repeat || event.isComposing) return true;
    if (event.ctrlKey || event.altKey || event.metaKey) return true;
    if (event.target instanceof Element && event.target.closest(TEXT)) return true;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary, input")) return true; // it presses these
    return Boolean(document.querySelector("[data-busy]"));
  }

  function pulse(button) {
    button.classList.remove("pulse");
    void button.offsetWidth; // starts the animation afresh
    button.classList.add("pulse");
  }

  document.addEventListener("keydown", (event) => {
    if (resting(event)) return;
    const press = name(event);
    const sheet = document.querySelector("dialog[open], :popover-open");
    if (sheet && press !== "?") return;
    const found = [...document.querySelectorAll(`[data-keys~="${CSS.escape(press)}"]`)];
    const button = found.find((b) => !b.disabled && b.checkVisibility());
    if (!button) return;
    event.preventDefault();
    button.dispatchEvent(new CustomEvent("plumbline:key", { bubbles: true, detail: press }));
    if (button.matches("textarea")) return button.focus();
    pulse(button);
    button.click();
  });

  window.Plumbline = { ...window.Plumbline, pulse };
})();
