// What single kinds of question need beside plain forms: ranking by keys, arrows and dragging; points row by row;
// passages marked in an answer. Everything is kept in the form's own fields, so the form is what is sent.
"use strict";
(() => {
  const work = document.getElementById("work");
  if (!work) return;
  const stage = work.querySelector("[data-stage]");
  const changed = (form) => form.dispatchEvent(new Event("change", { bubbles: true }));

  // --- Ranking: groups of slots, best first, read from the selects and written back to them -------------------
  const cards = (form) => [...form.querySelectorAll(".rank-card")];
  const rankOf = (card) => Number(card.querySelector("select").value);

  function groups(form) {
    const found = new Map();
    for (const card of cards(form).sort((a, b) => rankOf(a) - rankOf(b))) {
      found.set(rankOf(card), [...(found.get(rankOf(card)) || []), card.dataset.slot]);
    }
    return [...found.values()];
  }

  function write(form, ranks, touched = true) {
    const list = form.querySelector("[data-ranks]"), focused = document.activeElement;
    ranks = ranks.filter((rank) => rank.length);
    ranks.forEach((rank, n) => rank.forEach((slot, place) => {
      const card = form.querySelector(`.rank-card[data-slot="${slot}"]`);
      card.querySelector("select").value = String(n + 1);
      card.querySelector("[data-move=tie]").setAttribute("aria-pressed", String(place > 0));
      card.classList.toggle("tied", place > 0);
      list.append(card);
    }));
    if (form.contains(focused)) focused.focus({ preventScroll: true }); // moving a node takes its focus away
    form.querySelector("[data-ranking-line]").textContent = ranks.map((rank) => rank.join(" = ")).join(" > ");
    if (!touched) return;
    form.querySelector(".choices .primary").disabled = false;
    changed(form);
  }

  function place(form, slot, tie) {
    const placed = form.placed ||= [];
    if (placed.flat().includes(slot)) return;
    if (tie && placed.length) placed.at(-1).push(slot);
    else placed.push([slot]);
    const rest = groups(form).map((rank) => rank.filter((other) => !placed.flat().includes(other)));
    write(form, [...placed, ...rest]);
  }

  function move(form, slot, how) {
    const ranks = groups(form), at = ranks.findIndex((rank) => rank.includes(slot));
    const alone = ranks[at].length === 1, first = ranks[at][0] === slot;
    if (how === "tie" && !first) ranks.splice(at, 1, ranks[at].filter((s) => s !== slot), [slot]);
    else if (how === "tie" && at > 0) ranks.splice(at - 1, 2, [...ranks[at - 1], slot], ranks[at].filter((s) => s !== slot));
    else if (how !== "tie" && !alone) {
      const rest = ranks[at].filter((s) => s !== slot);
      ranks.splice(at, 1, ...(how === "up" ? [[slot], rest] : [rest, [slot]]));
    } else if (how === "up" && at > 0) ranks.splice(at - 1, 2, [slot], ranks[at - 1]);
    else if (how === "down" && at < ranks.length - 1) ranks.splice(at, 2, ranks[at + 1], [slot]);
    write(form, ranks);
  }

  function afresh(form) {
    form.placed = [];
    write(form, cards(form).map((card) => [card.dataset.slot]).sort(), false);
    form.querySelector(".choices .primary").disabled = true;
  }

  let tieNext = false;
  work.addEventListener("plumbline:key", (event) => { tieNext = event.detail.startsWith("Shift+"); });
  stage.addEventListener("click", (event) => {
    const form = event.target.closest("form.item"), button = event.target.closest("button");
    if (!form || !button) return;
    const slot = button.closest(".rank-card")?.dataset.slot;
    if (button.dataset.press) place(form, slot, tieNext || event.shiftKey);
    if (button.dataset.move) move(form, slot, button.dataset.move);
    if ("afresh" in button.dataset) afresh(form);
    if ("reveal" in button.dataset) { form.classList.remove("veiled"); button.closest(".veil").remove(); }
    if ("mark" in button.dataset) mark(form);
    tieNext = false;
  });
  stage.addEventListener("change", (event) => {
    if (event.target.matches(".rank-card select")) write(event.target.form, groups(event.target.form));
    if (event.target.matches("[data-scale] input")) nextScale(event.target);
  });

  stage.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-grip]");
    if (!grip) return;
    event.preventDefault();
    const card = grip.closest(".rank-card"), list = card.parentElement, form = card.closest("form");
    card.classList.add("dragged");
    const over = (e) => {
      const after = [...list.children].find((other) => {
        const box = other.getBoundingClientRect();
        return other !== card && e.clientY < box.top + box.height / 2;
      });
      if (after) { if (card.nextElementSibling !== after) after.before(card); }
      else if (list.lastElementChild !== card) list.append(card);
    };
    const drop = () => {
      card.classList.remove("dragged");
      document.removeEventListener("pointermove", over);
      for (const end of ["pointerup", "pointercancel"]) document.removeEventListener(end, drop);
      const ranks = [];
      let before = null;
      for (const other of list.children) {
        const same = other !== card && before && before !== card && rankOf(before) === rankOf(other);
        if (same) ranks.at(-1).push(other.dataset.slot);
        else ranks.push([other.dataset.slot]);
        before = other;
      }
      write(form, ranks);
    };
    // On the document: a card that is moved in the tree loses a pointer that it had captured.
    document.addEventListener("pointermove", over);
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, drop);
  });

  // --- Points: the digits belong to one row at a time ------------------------------------------------------------
  function atScale(form, scale, look = true) {
    for (const other of form.querySelectorAll("[data-scale]")) {
      other.classList.toggle("current", other === scale);
      for (const input of other.querySelectorAll("input")) {
        if (other === scale) input.dataset.keys = input.value;
        else delete input.dataset.keys;
      }
    }
    if (look) scale?.scrollIntoView({ block: "nearest" });
  }

  function nextScale(input) {
    const all = [...input.form.querySelectorAll("[data-scale]")], at = all.indexOf(input.closest("[data-scale]"));
    atScale(input.form, all[at + 1] || all[at]);
  }
  stage.addEventListener("focusin", (event) => {
    const scale = event.target.closest("[data-scale]");
    if (scale) atScale(scale.closest("form"), scale, false);
  });

  // --- Marked passages ----------------------------------------------------------------------------------------------
  const marks = (form) => JSON.parse(form.elements.spans?.value || "[]");

  const paneOf = (node) => (node instanceof Element ? node : node?.parentElement)?.closest("[data-text]");
  let passage = null; // what was selected last: choosing the mark may take the selection away

  document.addEventListener("selectionchange", () => {
    const selected = getSelection(), quote = String(selected).trim(), pane = paneOf(selected.anchorNode);
    if (!quote || !pane || !pane.contains(selected.focusNode)) return;
    passage = { pane, slot: pane.closest("[data-slot]").dataset.slot, quote };
  });

  function mark(form) {
    const say = form.querySelector("[data-mark-say]");
    if (!passage || !form.contains(passage.pane)) { say.textContent = say.dataset.how; return; }
    say.textContent = "";
    const { slot, quote } = passage;
    keep(form, [...marks(form), { slot, quote, mark: form.querySelector("[data-mark-as]").value }]);
    passage = null;
    getSelection().removeAllRanges();
  }

  function keep(form, spans) {
    form.elements.spans.value = spans.length ? JSON.stringify(spans) : "";
    listMarks(form);
    changed(form);
  }

  function listMarks(form) {
    const titles = form.querySelector("[data-mark-as]"), list = form.querySelector("[data-mark-list]");
    list.replaceChildren(...marks(form).map((span, n) => {
      const row = document.createElement("li"), quote = document.createElement("q"), drop = document.createElement("button");
      const title = [...titles.options].find((option) => option.value === span.mark)?.text || span.mark;
      quote.textContent = span.quote.length > 120 ? `${span.quote.slice(0, 120)}…` : span.quote;
      quote.dir = "auto";
      Object.assign(drop, { type: "button", className: "button quiet small", textContent: "×" });
      drop.setAttribute("aria-label", `${list.dataset.drop} ${n + 1}`);
      drop.addEventListener("click", () => keep(form, marks(form).filter((_, i) => i !== n)));
      row.append(`${title} (${span.slot}): `, quote, " ", drop);
      return row;
    }));
  }

  // A new item is on the stage (or a draft was put into it).
  function ready(form) {
    if (form.querySelector("[data-ranks]")) {
      const fresh = !form.hasAttribute("data-touched");
      write(form, groups(form), false);
      form.querySelector(".choices .primary").disabled = fresh;
    }
    const scales = [...form.querySelectorAll("[data-scale]")];
    if (scales.length) atScale(form, scales.find((scale) => !scale.querySelector(":checked")) || scales[0], false);
    if (form.elements.spans) listMarks(form);
  }

  window.Plumbline = { ...window.Plumbline, ready };
})();
