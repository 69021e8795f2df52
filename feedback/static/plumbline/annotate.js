// The annotating page. The next item is in the page already: an answer swaps it in at once and is sent behind
// the person's back. What is not yet saved waits in an outbox in localStorage, each entry with the key of its
// form, so that sending it again does no harm. Nothing here is needed: without scripts the forms post as they are.
"use strict";
(() => {
  const work = document.getElementById("work");
  if (!work) return;
  const stage = work.querySelector("[data-stage]");
  const bar = work.querySelector("[data-bar]");
  const nextPlace = work.querySelector("template[data-ahead]");
  const undoButton = work.querySelector("[data-undo] button");
  const diffButton = work.querySelector("[data-diff]");
  const mailbox = `plumbline.outbox.${work.dataset.person}.${work.dataset.queue}`;
  const PATIENCE = 15_000; // ms for one request
  const MUSING = 5_000; // ms without a sign of life that still count as activity
  const PAUSES = [1, 2, 4, 8, 15, 30]; // seconds between tries

  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* full or forbidden: memory only */ } },
    remove(key) { try { localStorage.removeItem(key); } catch { /* as above */ } },
  };

  let ahead = nextPlace.innerHTML.trim();
  let outbox = JSON.parse(store.get(mailbox) || "[]");
  const gone = new Set(outbox.map((entry) => entry.assignment)); // answered here; never shown again unless undone
  let sending = null, tries = 0, timer = 0;
  let seen = {}; // evidence: what happened while this item was on the screen
  let how = "key", shownAt = performance.now(), hiddenFor = 0, hiddenAt = 0, activeAt = Date.now();

  // --- What is on the stage ---------------------------------------------------------------------------
  const item = () => stage.querySelector("form.item");

  function show(html, focus = true) {
    stage.innerHTML = html;
    shownAt = performance.now();
    hiddenFor = 0;
    seen = {};
    clearBar("lease");
    const form = item();
    if (form) { restoreDraft(form); Plumbline.ready(form); }
    if (form && diffButton?.getAttribute("aria-pressed") === "true") Plumbline.diff.show(form);
    if (!focus) return;
    stage.querySelector("[data-start]")?.focus({ preventScroll: true });
    if (work.getBoundingClientRect().top < 0) work.scrollIntoView();
  }

  function advance() {
    if (ahead) show(ahead);
    else show('<div class="waiting"><p role="status">Fetching the next one …</p></div>', false);
    ahead = "";
  }

  // The server's view after an answer: what is shown stays; what it fetched ahead waits for its turn.
  function accept(data) {
    work.querySelector("[data-line]").textContent = data.line;
    undoButton.disabled = !data.can_undo;
    const open = [data.current, data.ahead].filter((piece) => piece && !gone.has(piece.id));
    if (!item() && open[0]?.html) show(open.shift().html);
    else if (!item() && !outbox.length && data.empty) show(data.empty);
    const next = open.find((piece) => piece.id !== item()?.dataset.assignment);
    if (next?.html) ahead = next.html;
  }

  // --- Answers on their way ---------------------------------------------------------------------------
  function post(entry) {
    store.set(mailbox, JSON.stringify(outbox = [...outbox, entry]));
    gone.add(entry.assignment);
    advance();
    drain();
  }

  function drain() {
    clearTimeout(timer);
    sending ??= sendAll().finally(() => { sending = null; });
    return sending;
  }

  async function sendAll() {
    while (outbox.length) {
      const entry = outbox[0];
      const answer = await ask(entry.url, entry.fields);
      if (answer.later) return waitAndTry(answer.later);
      tries = 0;
      store.set(mailbox, JSON.stringify(outbox = outbox.slice(1)));
      if (answer.error) refused(entry, answer.error);
      else { store.remove(draftKey(entry.item)); clearBar("later"); }
      const data = answer.data || (await look()).data;
      if (data) accept(data);
    }
  }

  // {data}, {error: ...} where sending again would not help, or {later: why}.
  async function ask(url, fields) {
    const body = new URLSearchParams(fields);
    for (const form of [item()]) if (form) body.append("shown", form.dataset.assignment);
    try {
      const answer = await fetch(url, {
        method: "POST", body, keepalive: true, redirect: "error", signal: AbortSignal.timeout(PATIENCE),
        headers: { Accept: "application/json", "X-CSRFToken": token() },
      });
      if (answer.status === 401 || answer.status === 403) return { later: "signed-out" };
      if (answer.status >= 500 || answer.status === 429) return { later: "trouble" };
      const data = await answer.json();
      return answer.ok ? { data } : { error: data.error };
    } catch { return { later: "offline" }; }
  }

  async function look() {
    try {
      const answer = await fetch(work.dataset.url, { headers: { Accept: "application/json" }, redirect: "error" });
      return answer.ok ? { data: await answer.json() } : {};
    } catch { return {}; }
  }

  // Signing in again changes the token: the cookie has the newest.
  function token() {
    return /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie)?.[1] || work.querySelector("[name=csrfmiddlewaretoken]").value;
  }

  function waitAndTry(why) {
    const n = outbox.length === 1 ? "Your answer is" : `${outbox.length} answers are`;
    const says = {
      "signed-out": `${n} not saved yet: you are signed out. Sign in again in another tab, then send.`,
      trouble: `${n} not saved yet: the server has trouble. We keep trying; nothing is lost.`,
      offline: `${n} not saved yet: there is no connection. It is kept here and sent as soon as there is one.`,
    };
    say(says[why], "later", why === "signed-out" ? work.dataset.signIn : "");
    timer = setTimeout(drain, 1000 * PAUSES[Math.min(tries++, PAUSES.length - 1)]);
  }

  function refused(entry, error) {
    if (entry.fields.some(([name]) => name === "skip" || name === "reason")) return;
    const written = (field) => entry.fields.find(([name]) => name === field)?.[1];
    const note = [written("content"), written("rationale")].filter(Boolean).join("\n\n");
    say(`${error.message} This answer was not taken; the next question is here.`, "refused", "", note);
  }

  // --- The bar that says what to do ---------------------------------------------------------------------
  function say(text, kind, signIn = "", note = "") {
    bar.replaceChildren(element("p", text));
    bar.dataset.bar = kind;
    if (note) {
      const kept = element("textarea", note);
      kept.readOnly = true;
      kept.setAttribute("aria-label", "Your note, so that it is not lost");
      bar.append(kept);
    }
    const row = element("p", "");
    row.className = "row";
    if (signIn) row.append(Object.assign(element("a", "Sign in"), { href: signIn, target: "_blank", className: "button small" }));
    row.append(button(kind === "later" ? "Send now" : "All right", kind === "later" ? drain : () => clearBar(kind)));
    bar.append(row);
    bar.hidden = false;
  }

  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const button = (text, act) => {
    const made = Object.assign(element("button", text), { type: "button", className: "button small" });
    made.addEventListener("click", act);
    return made;
  };
  function clearBar(kind) { if (bar.dataset.bar === kind) { bar.hidden = true; bar.replaceChildren(); } }

  // --- Submitting, skipping, taking back ------------------------------------------------------------------
  function fieldsOf(form, submitter) {
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
    if (submitter.name) fields.push([submitter.name, submitter.value]);
    for (const [name, count] of Object.entries(seen)) fields.push([name, String(Math.round(count))]);
    fields.push(["duration_ms", String(Math.round(performance.now() - shownAt - hiddenFor))], ["input", how]);
    return fields;
  }

  stage.addEventListener("submit", (event) => {
    const form = event.target.closest("form.item"), submitter = event.submitter;
    if (!form || !submitter) return event.preventDefault(); // Enter in a field chooses nothing
    event.preventDefault();
    const { assignment, item: about } = form.dataset;
    const url = submitter.getAttribute("formaction") || form.getAttribute("action");
    post({ url, fields: fieldsOf(form, submitter), assignment, item: about });
    if (how === "key") pulseAgain(submitter);
  });

  // The pressed button left with its item: its successor shows that the key was taken.
  function pulseAgain(submitter) {
    const keys = submitter.dataset.keys;
    const twin = keys && item()?.querySelector(`button[data-keys="${CSS.escape(keys)}"]`);
    if (twin) Plumbline.pulse(twin);
  }

  async function undo(form) {
    work.dataset.busy = "undo";
    try {
      await drain();
      if (outbox.length) return; // not saved yet: the bar says so
      const answer = await ask(form.action, [...new FormData(form)]);
      if (answer.error) say(answer.error.message, "refused");
      else if (answer.later) say("That needs a connection. Try again in a moment.", "refused");
      else takeBack(answer.data);
    } finally { delete work.dataset.busy; }
  }

  function takeBack(data) {
    if (data.current) {
      gone.delete(data.current.id);
      if (data.current.html) show(data.current.html);
    }
    ahead = data.ahead?.html || ahead;
    accept(data);
    work.querySelector("[data-say]").textContent = "Taken back. Here is the question again.";
  }

  work.querySelector("[data-undo]").addEventListener("submit", (event) => {
    event.preventDefault();
    undo(event.target);
  });

  // --- How, and how long -----------------------------------------------------------------------------------
  work.addEventListener("plumbline:key", (event) => {
    how = "key";
    const much = item()?.querySelector("[name=strength][value='3']");
    if (much && event.detail.startsWith("Shift+")) much.checked = true;
  });
  work.addEventListener("pointerdown", (event) => { how = event.pointerType || "mouse"; });
  work.addEventListener("click", (event) => {
    if (event.detail === 0 || !event.shiftKey || event.target.closest("[name=choice]") === null) return;
    const much = item().querySelector("[name=strength][value='3']");
    if (much) much.checked = true; // Shift with the mouse means the same
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") how = "key";
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches?.("#work textarea")) {
      event.preventDefault();
      const submit = item()?.querySelector("[data-default]");
      if (submit && !submit.disabled) submit.click();
      else event.target.blur();
    }
    if (event.key === "Escape" && event.target.matches?.("#work textarea")) event.target.blur();
  });
  for (const name of ["keydown", "pointermove", "wheel", "touchstart"]) {
    document.addEventListener(name, () => { add("active_ms", Math.min(Date.now() - activeAt, MUSING)); activeAt = Date.now(); }, { passive: true });
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = performance.now();
    else if (hiddenAt) hiddenFor += performance.now() - hiddenAt;
  });

  function add(name, amount = 1) { seen[name] = (seen[name] || 0) + amount; }
  let typedAt = 0;
  stage.addEventListener("keydown", (event) => {
    if (!event.target.matches("[data-written]")) return;
    add("typing_ms", Math.min(Date.now() - typedAt, MUSING));
    typedAt = Date.now();
  });
  stage.addEventListener("paste", (event) => {
    if (!event.target.matches("[data-written]")) return;
    add("pastes");
    add("pasted_characters", event.clipboardData?.getData("text").length || 0);
  });
  work.querySelector("details.panel")?.addEventListener("toggle", (event) => { if (event.target.open) add("guidelines_opened"); });

  // --- Drafts: everything said in the form, until it is saved -------------------------------------------------
  const OWN = ["csrfmiddlewaretoken", "key", "assignment"];
  const draftKey = (about) => `plumbline.draft.${work.dataset.person}.${about}`;

  function restoreDraft(form) {
    const draft = store.get(draftKey(form.dataset.item));
    if (!draft) return;
    const said = JSON.parse(draft);
    for (const field of form.elements) {
      const values = said.filter(([name]) => name === field.name).map(([, value]) => value);
      if (field.type === "radio" || field.type === "checkbox") field.checked = values.includes(field.value);
      else if (values.length && !OWN.includes(field.name)) field.value = values[0];
    }
    form.setAttribute("data-touched", "");
  }

  function keepDraft(event) {
    const form = event.target.form || event.target.closest("form.item");
    if (!form) return;
    const said = [...new FormData(form)].filter(([name]) => !OWN.includes(name));
    store.set(draftKey(form.dataset.item), JSON.stringify(said));
  }
  stage.addEventListener("input", keepDraft);
  stage.addEventListener("change", keepDraft);

  // --- The rest ---------------------------------------------------------------------------------------------
  diffButton?.addEventListener("click", () => {
    add("diff_opened");
    const on = diffButton.getAttribute("aria-pressed") !== "true";
    diffButton.setAttribute("aria-pressed", String(on));
    if (item()) Plumbline.diff[on ? "show" : "hide"](item());
  });

  async function beat() {
    const form = item();
    if (!form || document.hidden || Date.now() - activeAt > 1000 * work.dataset.lease) return;
    const answer = await ask(work.dataset.heartbeat, [["assignment", form.dataset.assignment]]);
    if (answer.error?.code === "lease_lost" && form === item() && !gone.has(form.dataset.assignment)) {
      say("Your time on this question ran out. You can still answer it, unless somebody else has it by now.", "lease");
    }
  }
  setInterval(beat, 1000 * Math.max(5, Math.min(120, work.dataset.lease / 3)));

  addEventListener("online", drain);
  addEventListener("pageshow", async (event) => { // back from the browser's own cache: look again
    const data = event.persisted && (await look()).data;
    if (data) accept(data);
  });
  addEventListener("beforeunload", (event) => { if (outbox.length && tries) event.preventDefault(); });

  if (item()) { restoreDraft(item()); Plumbline.ready(item()); }
  if (outbox.length) { // left from before a reload
    if (gone.has(item()?.dataset.assignment)) advance();
    drain();
  }
})();
