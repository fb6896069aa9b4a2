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

  function draw() {
    const shown = every[select.value], step = Number(slider.value), n = shown.counts.length;
    drawNetwork(canvas, shown, step, (agent, isEngaged) =>
      isEngaged ? `--w${Math.floor((shown.engaged[agent] * 8) / place.dataset.steps)}` : "--paper");
    const all = Number(select.selectedOptions[0].dataset.agents), engaged = shown.counts[step];
    const before = step ? shown.counts[step - 1] : 0;
    said.textContent =
      `step ${step} of ${n - 1}: ${engaged} of ${all} agents engaged (${((100 * engaged) / all).toFixed(1)}%), ` +
      `${engaged - before} of them at this step`;
  }
  const stop = playSteps(button, slider, draw);
  select.addEventListener("change", () => {
    stop();
    slider.max = every[select.value].counts.length - 1;
    slider.value = slider.max;
    draw();
  });
  place.querySelector("svg").remove();
  canvas.hidden = false;
  draw();
}
for (const place of document.querySelectorAll("[data-player]")) play(place);
