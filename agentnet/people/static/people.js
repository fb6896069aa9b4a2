"use strict";
// A page asks for news of itself, and is loaded again once it shows what is not so any more. A server that is
// being started again answers nothing for a while: then the page stays, with what was filled in.
const page = document.body.dataset;
const time = document.querySelector(".time");
let isSent = false;
let endsAt = time ? performance.now() + 1000 * Number(time.dataset.left) : 0;

async function listen() {
  for (;;) {
    try {
      const reply = await fetch(page.here + "/news?state=" + encodeURIComponent(page.state));
      if (reply.status === 403) return;
      const news = await reply.json();
      if (isSent) return; // the page that the form leads to says what became of it
      if (news.state !== page.state) return location.replace(page.here);
      if (news.left_s !== null) endsAt = performance.now() + 1000 * news.left_s;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

function count() {
  const left = Math.max(0, Math.round((endsAt - performance.now()) / 1000));
  time.textContent = time.textContent.replace(/\d+/, left);
}

for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (isSent) event.preventDefault();
    isSent = true;
  });
}
// A page that a browser kept, and shows again by its back button, shows what was.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.replace(page.here);
});
if (time) setInterval(count, 1000);
listen();

// What is being filled in outlives a Send to a server that is away: this tab keeps it until another page is shown.
const question = document.querySelector("[name=question]");
const kept = JSON.parse(sessionStorage.getItem("filled") ?? "{}");
if (question && kept.question === question.value) {
  for (const field of question.form.elements) {
    const values = kept.values[field.name];
    if (!values) continue;
    if (["radio", "checkbox"].includes(field.type)) field.checked = values.includes(field.value);
    else field.value = values[0];
  }
} else {
  sessionStorage.removeItem("filled");
}
question?.form.addEventListener("input", () => {
  const filled = new FormData(question.form);
  const values = Object.fromEntries([...filled.keys()].map((name) => [name, filled.getAll(name)]));
  sessionStorage.setItem("filled", JSON.stringify({ question: question.value, values }));
});
