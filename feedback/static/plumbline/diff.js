// Marks the words by which two panes differ: the words outside their longest common subsequence.
"use strict";
(() => {
  const MOST = 1500; // words a side; the table below grows with the product

  function words(pane) {
    const found = [];
    const walker = document.createTreeWalker(pane, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      for (const match of walker.currentNode.data.matchAll(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu)) {
        found.push({ node: walker.currentNode, from: match.index, text: match[0].toLowerCase(), length: match[0].length });
      }
    }
    return found;
  }

  // Classic dynamic programme, from the end, so that the walk back reads forwards.
  function mine(a, b) {
    const wide = b.length + 1;
    const best = new Uint16Array((a.length + 1) * wide);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        best[i * wide + j] = a[i].text === b[j].text
          ? best[(i + 1) * wide + j + 1] + 1
          : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
      }
    }
    const only = [[], []];
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i].text === b[j].text) { i++; j++; }
      else if (j >= b.length || (i < a.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) only[0].push(a[i++]);
      else only[1].push(b[j++]);
    }
    return only;
  }

  function mark(list) {
    for (const word of [...list].reverse()) { // from the end: earlier places in a node stay right
      const rest = word.node.splitText(word.from);
      rest.splitText(word.length);
      const element = document.createElement("mark");
      rest.replaceWith(element);
      element.append(rest);
    }
  }

  function show(form) {
    const panes = [...form.querySelectorAll("[data-text]")];
    if (panes.length !== 2 || form.dataset.diffed) return;
    const both = panes.map((pane) => words(pane).slice(0, MOST));
    mine(...both).forEach(mark);
    form.dataset.diffed = "yes";
  }

  function hide(form) {
    for (const element of form.querySelectorAll("[data-text] mark")) element.replaceWith(...element.childNodes);
    form.querySelectorAll("[data-text]").forEach((pane) => pane.normalize());
    delete form.dataset.diffed;
  }

  window.Plumbline = { ...window.Plumbline, diff: { show, hide } };
})();
