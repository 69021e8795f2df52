// The curves of a run, or of several on one chart a figure: asks every two seconds until all have finished.
"use strict";
(() => {
  const box = document.getElementById("curves");
  const log = document.getElementById("log");
  if (!box || !window.Chart) return;
  const charts = new Map();
  const LINES = ["--accent", "--warn", "--good", "--bad", "--ink-soft", "--ink"];
  const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4], [1, 4], [14, 4]];

  // A token may be light-dark(...), which a canvas cannot read: let the browser resolve it.
  function colour(token) {
    box.style.color = `var(${token})`;
    const resolved = getComputedStyle(box).color;
    box.style.color = "";
    return resolved;
  }

  function element(name, className, words = "") {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = words;
    return made;
  }

  function figure(curve) {
    const card = element("figure", "card curve");
    const title = element("figcaption", "");
    const now = element("span", "num soft");
    title.append(element("h3", "", curve.title), now);
    const frame = element("div", "curve-frame");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    frame.append(canvas);
    const warning = element("p", "small curve-warning");
    card.append(title, frame, element("p", "small soft", curve.healthy ? `Healthy: ${curve.healthy}` : ""), warning);
    box.append(card);
    return { now, canvas, warning, chart: new Chart(canvas, options()) };
  }

  function options() {
    const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--ink-soft"), maxTicksLimit: 6 }, border: { color: colour("--line") } };
    return {
      type: "line",
      data: { datasets: [] },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
        scales: { x: { ...axis, type: "linear", title: { display: true, text: "step", color: colour("--ink-soft") } }, y: axis },
        plugins: { legend: { display: false, labels: { color: colour("--ink"), usePointStyle: true, pointStyle: "line", pointStyleWidth: 28 } } },
      },
    };
  }

  function line(points, n, label) {
    const tint = colour(LINES[n % LINES.length]);
    return {
      label, data: points.map(([x, y]) => ({ x, y })), borderColor: tint, backgroundColor: tint, borderWidth: 2,
      borderDash: DASHES[n % DASHES.length], pointRadius: points.length < 3 ? 3 : 0, pointHitRadius: 12, tension: 0,
    };
  }

  function draw(curve) {
    if (!charts.has(curve.name)) charts.set(curve.name, figure(curve));
    const { now, canvas, warning, chart } = charts.get(curve.name);
    const lines = curve.lines || [{ run: curve.title, points: curve.points }];
    chart.data.datasets = lines.map(({ run, points }, n) => line(points, n, run));
    chart.options.plugins.legend.display = Boolean(curve.lines);
    chart.update("none");
    const ends = lines.map(({ run, points }) => {
      const [step, value] = points.at(-1);
      return `${curve.lines ? `${run} ` : ""}${value.toPrecision(3)} at step ${step}`;
    });
    now.textContent = curve.lines ? "" : ends[0];
    warning.textContent = (!curve.lines && curve.warning) || "";
    canvas.setAttribute("aria-label", `${curve.title}: ${ends.join("; ")}; ${lines[0].points[0][1].toPrecision(3)} at the start`);
  }

  let latest = [];

  function recolour() {
    for (const { chart } of charts.values()) chart.options = options().options;
    latest.forEach(draw);
  }

  function show(figures) {
    latest = figures.curves;
    document.getElementById("no-curves").hidden = latest.length > 0;
    latest.forEach(draw);
    if (log && figures.log && log.textContent !== figures.log) {
      const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.textContent = figures.log;
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
  }

  async function look() {
    let again = 2000;
    try {
      const answer = await fetch(box.dataset.url, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const figures = await answer.json();
        show(figures);
        if (figures.finished) return;
      }
    } catch { again = 5000; /* the server may be restarting: ask again */ }
    setTimeout(look, again);
  }

  document.addEventListener("plumbline:theme", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  if (log) log.scrollTop = log.scrollHeight;
  look();
})();
