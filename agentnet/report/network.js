"use strict";
// Draws a network at a step on a canvas: for reports and for the live page.
//   shown: xy, edges, engaged, source (numbers alone); fill: (agent) -> colour; ties: pairs that are drawn strong.
function drawNetwork(canvas, shown, step, fill, ties) {
  const pen = canvas.getContext("2d"), side = canvas.clientWidth || 600;
  const scale = (side - 28) / 1000, dots = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * dots);
  pen.setTransform(dots * scale, 0, 0, dots * scale, 14 * dots, 14 * dots);
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name);
  const lines = (pairs, width, name) => {
    pen.lineWidth = width;
    pen.strokeStyle = colour(name);
    pen.beginPath();
    for (let i = 0; i < pairs.length; i += 2) {
      pen.moveTo(shown.xy[2 * pairs[i]], shown.xy[2 * pairs[i] + 1]);
      pen.lineTo(shown.xy[2 * pairs[i + 1]], shown.xy[2 * pairs[i + 1] + 1]);
    }
    pen.stroke();
  };
  const isEngaged = (agent) => shown.engaged[agent] >= 0 && shown.engaged[agent] <= step;
  lines(shown.edges, 1.5, "--edge");
  lines(ties || shown.source.flatMap((source, agent) => (source >= 0 && isEngaged(agent) ? [source, agent] : [])), 4, "--strong");
  shown.engaged.forEach((engaged, agent) => {
    pen.beginPath();
    pen.arc(shown.xy[2 * agent], shown.xy[2 * agent + 1], engaged === 0 ? 16 : 10, 0, 2 * Math.PI);
    pen.fillStyle = colour(fill(agent, isEngaged(agent)));
    pen.fill();
    pen.lineWidth = engaged === step ? 6 : 2;
    pen.strokeStyle = colour(engaged === step ? "--new" : "--ink");
    pen.stroke();
  });
}

// Moves a slider on by itself; `draw` is called at each step, and once it stands still.
function playSteps(button, slider, draw) {
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "▶ Play";
  };
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
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return stop;
}
