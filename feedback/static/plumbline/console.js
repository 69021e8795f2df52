// How long a reviewer looked at a judgment, sent along with what they decided.
(() => {
  const begun = Date.now();
  const clock = document.querySelector("[data-clock]");
  if (clock) clock.form.addEventListener("submit", () => { clock.value = Date.now() - begun; });
})();
