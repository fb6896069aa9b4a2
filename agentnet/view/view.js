"use strict";
// Texts come from models, people and files: they are only ever put as text.
const PAGE_ROWS = 200, REDRAW_MS = 1000;
const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });
const duration = (s) => {
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(s % 60)} s` : `${Math.ceil(s)} s`;
};
const clock = (at) => new Date(at * 1000).toLocaleString("sv");

function make(name, text, attributes = {}, ...children) {
  const found = document.createElement(name);
  if (text !== null && text !== undefined) found.textContent = text;
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  found.append(...children);
  return found;
}
const put = (place, ...children) => place.replaceChildren(...children);
const header = (cells) => make("tr", null, {}, ...cells.map((each) => make("th", each, { scope: "col" })));
const row = (first, ...cells) => make("tr", null, {}, make("th", first, { scope: "row" }),
  ...cells.map((each) => make("td", each, typeof each === "number" || /^[\d.,-]*$/.test(each) ? { class: "number" } : {})));

class Panel {
  constructor(run, name) {
    this.run = run;
    this.at = run.at.querySelector(`[data-part="${name}"]`);
  }
  find(what) { return this.at.querySelector(what); }
  is(what) { return this.find(`[data-is="${what}"]`); }
  async ask(path, query, signal) {
    const answer = await fetch(`${this.run.number}/${path}?${new URLSearchParams(query)}`, { signal });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
}

class Progress extends Panel {
  show(now) {
    const status = this.is("status");
    if (status.textContent !== now.status) status.textContent = now.status;
    this.is("left").textContent = now.uncounted ? `counting, ${number(now.uncounted)} realizations to go`
      : now.left_s !== null ? `about ${duration(now.left_s)} left`
      : now.left_unknown ? `how long it will take is not known yet: ${now.left_unknown}` : "";
    const bar = this.find("progress");
    bar.max = now.n_realizations;
    bar.value = now.ended;
    const money = typeof now.dollars === "string" ? now.dollars : `$${number(now.dollars, 4)}`;
    const facts = {
      experiment: now.experiment, model: now.model, "": now.label,
      realizations: `${number(now.ended)} of ${number(now.n_realizations)}` + (now.playing ? `, ${number(now.playing)} playing` : ""),
      answers: number(now.n), "a second": now.is_over ? "" : number(now.rate, 1),
      yes: now.yes + now.no ? `${number(now.yes)} (${number((100 * now.yes) / (now.yes + now.no), 1)}%)` : "",
      missing: `${number(now.missing)}` + (now.missing ? ` (${number((100 * now.missing) / now.n, 2)}%)` : ""),
      calls: number(now.calls), "from the cache": now.cached ? number(now.cached) : "",
      "tokens in": number(now.prompt_tokens), "tokens out": number(now.completion_tokens),
      "cost so far": money, begun: clock(now.began_at),
    };
    put(this.is("facts"), ...Object.entries(facts).filter(([, value]) => value !== "").map(([name, value]) =>
      make("div", null, {}, make("dt", name || "note"), make("dd", value))));
    const troubles = Object.entries(now.troubles).map(([kind, n]) => `${number(n)} ${kind}`);
    this.run.at.querySelector('[data-is="troubles"]').textContent = troubles.length ? `Troubles: ${troubles.join(", ")}.` : "No troubles.";
    if (now.playing + now.ended) this.run.network.offer(now);
  }
}

class Curves extends Panel {
  constructor(run) {
    super(run, "curves");
    this.select = this.find("select");
    for (const [place, what] of [[this.select, "change"], [window, "resize"], [matchMedia("(prefers-color-scheme: dark)"), "change"]])
      place.addEventListener(what, () => this.draw());
  }
  show(curves) {
    this.curves = curves.filter((each) => each.means.length);
    this.at.hidden = !this.curves.length;
    const names = [...new Set(this.curves.map((each) => each.name))];
    if (names.join("\n") !== [...this.select.options].map((each) => each.value).join("\n")) {
      const was = this.select.value;
      put(this.select, ...names.map((name) => make("option", name)));
      if (names.includes(was)) this.select.value = was;
    }
    this.draw();
  }
  name(condition) { return this.run.names[condition] ?? "all"; }
  draw() {
    const shown = (this.curves || []).filter((each) => each.name === this.select.value);
    if (!shown.length) return;
    const points = shown.flatMap((each) => each.means), steps = points.map(([step]) => step), values = points.map(([, value]) => value);
    const [first, last] = [Math.min(...steps), Math.max(...steps, Math.min(...steps) + 1)];
    let [low, high] = [Math.min(0, ...values), Math.max(...values)];
    if (low === 0 && high <= 1) high = 1;
    if (high === low) high = low + 1;
    const canvas = this.find("canvas"), pen = canvas.getContext("2d"), dots = devicePixelRatio || 1;
    const [wide, tall] = [canvas.clientWidth || 480, canvas.clientHeight || 240];
    canvas.width = Math.round(wide * dots);
    canvas.height = Math.round(tall * dots);
    pen.scale(dots, dots);
    const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name);
    const x = (step) => 44 + ((wide - 56) * (step - first)) / (last - first), y = (value) => tall - 24 - ((tall - 36) * (value - low)) / (high - low);
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colour("--faint");
    pen.strokeStyle = colour("--line");
    pen.textAlign = "right";
    for (let i = 0; i <= 4; i++) {
      const value = low + ((high - low) * i) / 4;
      pen.fillText(number(value, 2), 38, y(value) + 4);
      pen.beginPath(); pen.moveTo(44, y(value)); pen.lineTo(wide - 12, y(value)); pen.stroke();
    }
    pen.textAlign = "center";
    const every = Math.max(1, Math.ceil((last - first) / Math.max(2, Math.floor(wide / 60))));
    for (let step = first; step <= last; step += every) pen.fillText(step, x(step), tall - 8);
    shown.forEach((each, i) => {
      pen.strokeStyle = pen.fillStyle = colour(`--c${i % 8}`);
      pen.setLineDash(i < 8 ? [] : [6, 3]);
      pen.lineWidth = 2;
      pen.beginPath();
      for (const [step, value] of each.means) pen.lineTo(x(step), y(value));
      pen.stroke();
      const [step, value] = each.means.at(-1);
      pen.beginPath(); pen.arc(x(step), y(value), 3, 0, 2 * Math.PI); pen.fill();
    });
    put(this.find(".legend"), ...shown.map((each, i) => make("span", null, {}, make("i", null, { class: `line c${i % 8}` }), ` ${this.name(each.condition)}`)), "by step");
    const tables = shown.map((each) => new Map(each.means)), rows = [...new Set(steps)].sort((a, b) => a - b);
    put(this.find("thead"), header(["step", ...shown.map((each) => this.name(each.condition))]));
    put(this.find("tbody"), ...rows.map((step) => row(step, ...tables.map((each) => each.has(step) ? number(each.get(step), 4) : ""))));
  }
}

class Conditions extends Panel {
  show({ names, counts }) {
    this.run.names = names;
    this.at.hidden = !counts.length;
    const decided = counts.some((each) => each.yes + each.no);
    put(this.find("thead"), header(["condition", "kind", "answers", ...(decided ? ["yes", "no", "share of yes"] : []), "missing"]));
    put(this.find("tbody"), ...counts.map((each) => row(
      names[each.condition] ?? "none of the run's", each.kind, number(each.n),
      ...(decided ? [number(each.yes), number(each.no), each.yes + each.no ? number(each.yes / (each.yes + each.no), 3) : ""] : []),
      number(each.missing))));
  }
}

class Network extends Panel {
  constructor(run) {
    super(run, "network");
    [this.select, this.slider, this.said, this.canvas] = ["select", '[type="range"]', "output", "canvas"].map((what) => this.find(what));
    this.which = this.is("realization");
    this.stop = playSteps(this.find("button"), this.slider, () => this.draw());
    this.select.addEventListener("change", () => this.draw());
    this.which.addEventListener("change", () => { this.stop(); this.load(); });
  }
  offer(now) {
    this.which.max = now.n_realizations - 1;
    if (!this.begun) {
      this.begun = true;
      this.load();
    } else if (this.shown && !this.waits && !now.is_over) {
      // One after the other, however fast the run is.
      this.waits = true;
      setTimeout(() => this.load(true).finally(() => { this.waits = false; }), REDRAW_MS);
    }
  }
  async load(moves = false) {
    const realization = this.which.value || "0";
    try {
      const found = await this.ask("network", { realization, ...(moves ? { moves: 1 } : {}) });
      if (!found || (moves && (!this.shown || this.realization !== realization))) return;
      this.shown = moves ? { ...this.shown, ...found } : found;
      this.realization = realization;
    } catch (error) {
      this.said.textContent = error.message;
      return;
    }
    this.at.hidden = false;
    const { counts, ties, measures, groups } = this.shown;
    const steps = [counts.length - 1, ...Object.keys(ties), ...Object.values(measures).flatMap((each) => Object.keys(each))].map(Number);
    const isLast = this.slider.value === this.slider.max;
    this.slider.max = Math.max(0, ...steps);
    if (isLast || !moves) this.slider.value = this.slider.max;
    const names = [...(counts.length ? ["when engaged"] : []), ...Object.keys(measures), ...Object.keys(groups)];
    const was = this.select.value;
    put(this.select, ...names.map((name) => make("option", name)));
    if (names.includes(was)) this.select.value = was;
    this.draw();
  }
  draw() {
    if (!this.shown) return;
    const { counts, ties, measures, groups, engaged } = this.shown, step = Number(this.slider.value), by = this.select.value;
    const group = groups[by], measured = measures[by], n = Number(this.slider.max) + 1;
    let fill, legend = [];
    if (measured) {
      const every = Object.values(measured).flat().filter((value) => value !== null), [low, high] = [Math.min(...every), Math.max(...every)];
      const at = measured[step] || [];
      fill = (agent) => at[agent] === null || at[agent] === undefined ? "--paper" : `--w${high > low ? Math.floor((7.99 * (at[agent] - low)) / (high - low)) : 3}`;
      legend = [`${by} ${number(low, 2)} `, ...Array.from({ length: 8 }, (_, i) => make("i", null, { class: `w${i}` })), ` ${number(high, 2)}`];
    } else if (group) {
      // Without engagement everybody has a colour; with it those who engaged have.
      fill = (agent, isEngaged) => group.of[agent] < 0 || (counts.length && !isEngaged) ? "--paper" : `--c${group.of[agent]}`;
      legend = group.names.map((name, i) => make("span", null, {}, make("i", null, { class: `c${i}` }), ` ${name}`));
      if (counts.length) legend.push(make("span", null, {}, make("i"), " not engaged"));
    } else {
      fill = (agent, isEngaged) => isEngaged ? `--w${Math.floor((engaged[agent] * 8) / n)}` : "--paper";
      legend = counts.length ? ["engaged at step 0 ", ...Array.from({ length: 8 }, (_, i) => make("i", null, { class: `w${i}` })), ` ${n - 1}; never `, make("i")] : [];
    }
    drawNetwork(this.canvas, this.shown, step, fill, counts.length ? null : ties[step] || []);
    put(this.find(".legend"), ...legend);
    const part = this.shown.agents.length < this.shown.n_agents ? `; the ${number(this.shown.agents.length)} nearest to the first are drawn` : "";
    const said = counts.length ? `: ${number(counts[Math.min(step, counts.length - 1)])} of ${number(this.shown.n_agents)} agents engaged${part}`
      : `: ${number(this.shown.n_agents)} agents${part}` + (ties[step] ? `, ${ties[step].length / 2} interviews` : "");
    this.said.textContent = `step ${step} of ${n - 1}${said}`;
  }
}

class Decisions extends Panel {
  constructor(run) {
    super(run, "decisions");
    [this.form, this.newest, this.rows, this.found, this.more] = [this.find("form"), this.is("newest"), this.is("rows"), this.is("found"), this.is("more")];
    this.keys = new Set();
    let timer = 0;
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    this.form.addEventListener("input", (event) => {
      if (event.target.name === "follow") return;
      clearTimeout(timer);
      timer = setTimeout(() => this.search(), 250);
    });
    this.more.addEventListener("click", () => this.look(this.after));
    this.search();
  }
  query() {
    return Object.fromEntries([...new FormData(this.form)].filter(([name, value]) => name !== "follow" && value !== ""));
  }
  search() {
    put(this.newest);
    put(this.rows);
    this.keys.clear();
    this.through = 0;
    this.look(null);
  }
  // Looks through one part of the log after the other until a page is full, the log ends, or something else is wanted.
  async look(after) {
    this.looking?.abort();
    const looking = this.looking = new AbortController();
    const query = this.query(), until = this.rows.rows.length + 50;
    try {
      do {
        const page = await this.ask("decisions", { ...query, ...(after ? { after: JSON.stringify(after) } : {}) }, looking.signal);
        for (const each of page.rows) this.rows.append(this.row(each));
        after = this.after = page.after;
        this.through += page.looked_through;
        const n = number(this.rows.rows.length);
        this.found.textContent = after ? `${n} shown, in the order of the log` + (page.rows.length ? "" : `; ${number(this.through)} looked through`) : `${n} found in the log so far`;
      } while (after && this.rows.rows.length < until);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.found.textContent = error.message;
    }
    this.more.hidden = !after;
  }
  show(newest) {
    if (!this.form.elements.follow.checked || (!this.known && this.run.isOver)) return;
    this.known = true;
    const query = this.query(), words = (query.search || "").toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (each) => ["realization", "step", "agent"].every((name) => !(name in query) || each[name] === Number(query[name])) &&
      (!query.answer || this.answer(each) === query.answer) &&
      words.every((word) => [each.text, each.rationale, each.value, each.missing, each.persona, each.voice, each.news].some((text) => text && text.toLowerCase().includes(word)));
    for (const each of [...newest].reverse()) {
      const key = this.key(each);
      if (this.keys.has(key) || !fits(each)) continue;
      this.keys.add(key);
      this.newest.prepend(this.row(each));
    }
    while (this.newest.rows.length > PAGE_ROWS) {
      this.keys.delete(this.newest.lastChild.dataset.key);
      this.newest.lastChild.remove();
    }
  }
  key(each) { return JSON.stringify([each.log, ["realization", "kind", "step", "agent", "source", "repeat"].map((name) => each[name])]); }
  answer(each) { return each.missing ? "missing" : each.decision === 1 ? "yes" : each.decision === 0 ? "no" : ""; }
  row(each) {
    const lines = (...texts) => make("td", null, {}, ...texts.filter(Boolean).map((text) => make("span", text)));
    const isBare = (each.text || "").trim().toLowerCase() === this.answer(each), said = each.rationale || (isBare ? "" : each.text) || "";
    const more = make("details", null, {}, make("summary", "prompt, reply, attempts"));
    more.addEventListener("toggle", () => { if (more.open && more.childElementCount === 1) this.unfold(more, each); });
    return make("tr", null, { "data-key": this.key(each), "data-at": each.at },
      make("th", null, { scope: "row" }, make("span", `realization ${each.realization}`), make("span", `${each.kind}, step ${each.step}`)),
      lines(`agent ${each.agent}`, each.voice || each.profile, each.source >= 0 && `asked by ${each.source}`, each.news),
      lines(this.answer(each) || "answered", each.missing, each.value && each.value.slice(0, 120)),
      make("td", said.slice(0, 600), { class: "text" }),
      make("td", null, { class: "asked" }, more));
  }
  async unfold(place, each) {
    try {
      const full = await this.ask("decision", { key: this.key(each) });
      for (const [role, text] of full.messages) place.append(make("b", role), make("pre", text));
      for (const [name, text] of Object.entries(full.told)) place.append(make("b", name), make("pre", text));
      if (each.persona) place.append(make("b", "persona"), make("pre", each.persona));
      if (each.text !== null) place.append(make("b", "reply"), make("pre", each.text));
      if (each.rationale) place.append(make("b", "reason"), make("pre", each.rationale));
      for (const trouble of full.attempts) place.append(make("b", `trouble: ${trouble.trouble_kind}`), make("pre", [trouble.detail, trouble.text].filter(Boolean).join("\n")));
      place.append(make("p", `${each.attempts} calls, ${each.asks} asks, ${number(each.latency_s, 2)} s, temperature ${each.temperature}${each.cached ? ", from the cache" : ""}; ${each.model || "no model"}, ${clock(each.at)}`, { class: "note" }));
    } catch (error) {
      place.append(make("p", error.message, { class: "absent" }));
    }
  }
}

class Incidents extends Panel {
  show(incidents) {
    const told = (detail) => Object.entries(detail).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
    put(this.find("ol"), ...[...incidents].reverse().map(({ at, kind, detail }) => make("li", `${clock(at)} ${kind}${Object.keys(detail).length ? `: ${told(detail)}` : ""}`)));
  }
}

class Run {
  constructor(at) {
    this.at = at;
    this.number = at.dataset.run;
    this.names = [];
    this.network = new Network(this);
    this.panels = { progress: new Progress(this, "progress"), conditions: new Conditions(this, "conditions"), curves: new Curves(this),
      incidents: new Incidents(this, "incidents"), newest: new Decisions(this) };
  }
  take(part, is) {
    if (part === "progress") this.isOver = is.is_over;
    this.panels[part].show(is);
  }
}

const runs = [...document.querySelectorAll("[data-run]")].map((at) => new Run(at));
const connection = document.getElementById("connection");
const stream = new EventSource("stream");
const say = (text, isLost) => { connection.textContent = text; connection.classList.toggle("lost", isLost); };
stream.onopen = () => say("", false);
stream.onerror = () => say("The connection is lost: the program that serves this page has ended, or is busy. It is tried again.", true);
stream.onmessage = (event) => {
  const { run, part, is } = JSON.parse(event.data);
  runs[run].take(part, is);
};
