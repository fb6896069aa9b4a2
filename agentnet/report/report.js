"use strict";
// What a page can do beyond being read: nothing is fetched, and without this every text is there all the same.
for (const each of document.querySelectorAll("[data-scripted]")) each.hidden = false;
for (const each of document.querySelectorAll("[data-still]")) each.hidden = true;

// Browsers that do not unfold what a link leads to by themselves.
function unfold() {
  let at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!at) return;
  for (let up = at; up; up = up.parentElement) if (up.localName === "details") up.open = true;
  at.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();

for (const field of document.querySelectorAll("[data-search]")) {
  const rows = [...document.getElementById(field.dataset.search).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const found = document.querySelector(`[data-found="${CSS.escape(field.dataset.search)}"]`);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
    found.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

function play(place) {
  const every = JSON.parse(document.getElementById(place.dataset.player).textContent);
  const [select, button, slider, said, canvas] =
    ["select", "button", "input", "output", "canvas"].map((name) => place.querySelector(name));
  const pen = canvas.getContext("2d");
  let timer = 0;

  function draw() {
    const shown = every[select.value], step = Number(slider.value), n = shown.counts.length;
    const side = canvas.clientWidth || 600;
    const scale = (side - 28) / 1000, dots = devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * dots);
    pen.setTransform(dots * scale, 0, 0, dots * scale, 14 * dots, 14 * dots);
    const style = getComputedStyle(place), colour = (name) => style.getPropertyValue(name);
    const line = (from, to) => {
      pen.moveTo(shown.xy[2 * from], shown.xy[2 * from + 1]);
      pen.lineTo(shown.xy[2 * to], shown.xy[2 * to + 1]);
    };
    const isEngaged = (agent) => shown.engaged[agent] >= 0 && shown.engaged[agent] <= step;
    pen.lineWidth = 1.5;
    pen.strokeStyle = colour("--edge");
    pen.beginPath();
    for (let i = 0; i < shown.edges.length; i += 2) line(shown.edges[i], shown.edges[i + 1]);
    pen.stroke();
    pen.lineWidth = 4;
    pen.strokeStyle = colour("--strong");
    pen.beginPath();
    shown.source.forEach((source, agent) => { if (source >= 0 && isEngaged(agent)) line(source, agent); });
    pen.stroke();
    shown.engaged.forEach((engaged, agent) => {
      pen.beginPath();
      pen.arc(shown.xy[2 * agent], shown.xy[2 * agent + 1], engaged === 0 ? 16 : 10, 0, 2 * Math.PI);
      pen.fillStyle = isEngaged(agent) ? colour(`--w${Math.floor((engaged * 8) / place.dataset.steps)}`) : colour("--paper");
      pen.fill();
      pen.lineWidth = engaged === step ? 6 : 2;
      pen.strokeStyle = engaged === step ? colour("--new") : colour("--ink");
      pen.stroke();
    });
    const all = Number(select.selectedOptions[0].dataset.agents), engaged = shown.counts[step];
    const before = step ? shown.counts[step - 1] : 0;
    said.textContent =
      `step ${step} of ${n - 1}: ${engaged} of ${all} agents engaged (${((100 * engaged) / all).toFixed(1)}%), ` +
      `${engaged - before} of them at this step`;
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "▶ Play";
  }
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    button.textContent = "❚❚ Pause";
    draw();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      draw();
      if (slider.value === slider.max) stop();
    }, 700);
  });
  slider.addEventListener("input", () => { stop(); draw(); });
  select.addEventListener("change", () => {
    stop();
    slider.max = every[select.value].counts.length - 1;
    slider.value = slider.max;
    draw();
  });
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  place.querySelector("svg").remove();
  canvas.hidden = false;
  draw();
}
for (const place of document.querySelectorAll("[data-player]")) play(place);
