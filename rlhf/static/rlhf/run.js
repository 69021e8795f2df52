// The curves of a run: asks for its figures every two seconds until it has finished, and draws them.
"use strict";
(() => {
  const box = document.getElementById("curves");
  const log = document.getElementById("log");
  if (!box || !window.Chart) return;
  const charts = new Map();

  // A token may be light-dark(...), which a canvas cannot read: let the browser resolve it.
  function colour(token) {
    box.style.color = `var(${token})`;
    const resolved = getComputedStyle(box).color;
    box.style.color = "";
    return resolved;
  }

  function figure(curve) {
    const card = document.createElement("figure");
    card.className = "card curve";
    const title = document.createElement("figcaption");
    const head = document.createElement("h3");
    head.textContent = curve.title;
    const now = document.createElement("span");
    now.className = "num soft";
    title.append(head, now);
    const frame = document.createElement("div");
    frame.className = "curve-frame";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    frame.append(canvas);
    const hint = document.createElement("p");
    hint.className = "small soft";
    hint.textContent = curve.healthy ? `Healthy: ${curve.healthy}` : "";
    card.append(title, frame, hint);
    box.append(card);
    return { now, canvas, chart: new Chart(canvas, options()) };
  }

  function options() {
    const axis = { grid: { color: colour("--line") }, ticks: { color: colour("--ink-soft"), maxTicksLimit: 6 }, border: { color: colour("--line") } };
    return {
      type: "line",
      data: { datasets: [{ data: [], borderColor: colour("--accent"), backgroundColor: colour("--accent"), borderWidth: 2, pointRadius: 0, pointHitRadius: 12, tension: 0 }] },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, parsing: false, normalized: true,
        scales: { x: { ...axis, type: "linear", title: { display: true, text: "step", color: colour("--ink-soft") } }, y: axis },
        plugins: { legend: { display: false } },
      },
    };
  }

  function draw(curve) {
    if (!charts.has(curve.name)) charts.set(curve.name, figure(curve));
    const { now, canvas, chart } = charts.get(curve.name);
    const [step, value] = curve.points.at(-1);
    chart.data.datasets[0].data = curve.points.map(([x, y]) => ({ x, y }));
    chart.data.datasets[0].pointRadius = curve.points.length < 3 ? 3 : 0;
    chart.update("none");
    now.textContent = `${value.toPrecision(3)} at step ${step}`;
    canvas.setAttribute("aria-label", `${curve.title}: ${value.toPrecision(3)} at step ${step}, ${curve.points[0][1].toPrecision(3)} at the start`);
  }

  function recolour() {
    for (const { chart } of charts.values()) {
      const fresh = options();
      Object.assign(chart.data.datasets[0], { borderColor: fresh.data.datasets[0].borderColor, backgroundColor: fresh.data.datasets[0].backgroundColor });
      chart.options = fresh.options;
      chart.update("none");
    }
  }

  function show(figures) {
    document.getElementById("no-curves").hidden = figures.curves.length > 0;
    figures.curves.forEach(draw);
    if (figures.log && log.textContent !== figures.log) {
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
  log.scrollTop = log.scrollHeight;
  look();
})();
