// The pane that trains: two genres, what was found in them, and how the trainings go.
import { ask, button, capital, make, play, safely, say, seconds, send, wait } from "./shared.js";

const pane = document.getElementById("train");
const form = pane.querySelector("form");
const found = pane.querySelector(".found");
const list = pane.querySelector(".trainings");
const sides = [];
const cards = new Map(); // of the trainings, by name
let batch = null; // the name of what this page sends
let number = 0; // of the newest look: older ones are not shown

// Fill in the card of a genre: a name with files, or a folder.
function side(root, word) {
  const genre = make("input", { name: `genre_${word}`, autocomplete: "off", maxlength: 40 });
  const folder = make("input", { list: "folders", autocomplete: "off", placeholder: "my_music/qawwali" });
  const input = make("input", { type: "file", multiple: "", hidden: "" });
  const choose = button("choose", "Choose files");
  choose.setAttribute("aria-label", `Choose files of ${word}`);
  const drop = make("div", { class: "drop" }, choose, make("p", {}, "or drop files or a folder here"), input);
  const count = make("p", { class: "note", "aria-live": "polite" });
  const refused = make("ul");
  const one = { genre, folder, taken: 0 };
  const take = safely(pane, async (files) => {
    if (!genre.value.trim()) throw new Error(`Name the genre first, then give ${word} its files.`);
    batch ??= (await ask("/api/music", { method: "POST" })).batch;
    genre.readOnly = true; // its files lie under that name
    folder.disabled = true;
    for (const [index, file] of files.entries()) {
      count.textContent = `Taking in ${index + 1} of ${files.length}`;
      try {
        await send(`/api/music/${batch}`, file, { "X-Genre": encodeURIComponent(genre.value) });
        one.taken += 1;
      } catch (error) {
        refused.append(make("li", {}, `${file.name}: ${error.message}`));
      }
    }
    count.textContent = `${one.taken} file${one.taken === 1 ? "" : "s"} taken in`;
  });
  choose.onclick = () => input.click();
  input.onchange = () => {
    take([...input.files]);
    input.value = "";
  };
  drop.ondragover = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const named = entries.find(({ isDirectory }) => isDirectory);
    if (named && !genre.value.trim()) genre.value = named.name;
    await take((await Promise.all(entries.map(inside))).flat());
  };
  root.append(
    make("label", { class: "field" }, "Name", genre), drop, count, refused,
    make("label", { class: "field" }, "or a folder on this computer", folder),
  );
  sides.push(one);
}

// List the files of what was dropped, folders with all that is in them.
async function inside(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => { entry.file(resolve, reject); })];
  const reader = entry.createReader();
  const files = [];
  for (;;) { // a reader gives some at a time
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return files;
    files.push(...(await Promise.all(some.map(inside))).flat());
  }
}

// Look over the music, and show the table as soon as it is there.
async function look() {
  number += 1;
  const mine = number;
  found.hidden = true;
  const places = sides.map(({ genre, folder, taken }) =>
    taken ? { batch, genre: genre.value } : folder.value.trim() ? { folder: folder.value.trim() } : { batch, genre: genre.value });
  const { id } = await ask("/api/looks", { form: { sides: places, settings: form.elements.settings.value } });
  for (;;) {
    const state = await ask(`/api/looks/${id}`);
    if (mine !== number) return;
    if (state.error) throw new Error(state.error);
    const line = state.place ? `In line, ${state.place} before it` : capital(state.what || "looking over the music");
    say(pane, state.state === "done" ? "" : line);
    if (state.found) table(id, state);
    if (state.state === "done") return;
    await wait(400);
  }
}

function table(id, { found: { rows, cautions }, seconds: needed }) {
  if (found.dataset.look === id && !found.hidden) {
    if (needed) found.querySelector(".needed").textContent = `Training will take ${seconds(needed)} on this computer, or less.`;
    return;
  }
  const head = ["Genre", "Recordings", "Minutes", "Held out", "Not usable"].map((name) => make("th", { scope: "col" }, name));
  const lines = rows.map(({ genre, tracks, minutes, held_out, skipped }) =>
    make("tr", {}, make("th", { scope: "row" }, genre), ...[tracks, minutes, held_out, skipped.length].map((cell) => make("td", {}, String(cell)))));
  const skipped = rows.flatMap((row) => row.skipped);
  const start = button("primary start", "Start training");
  start.onclick = safely(pane, async () => {
    await ask("/api/trainings", { form: { do: "start", look: id } });
    found.hidden = true;
    say(pane, "Training has begun. This page may be closed meanwhile.");
    await refresh();
  });
  const needs = make("p", { class: "needed", "aria-live": "polite" }, "Timing a few batches …");
  found.replaceChildren(
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)),
    ...cautions.map((text) => make("p", { class: "note" }, `${capital(text)}.`)),
    ...(skipped.length ? [make("p", {}, "Not used:"), make("ul", {}, ...skipped.map((text) => make("li", {}, text)))] : []),
    needs, start,
  );
  found.dataset.look = id;
  found.hidden = false;
  if (needed) table(id, { found: { rows, cautions }, seconds: needed });
}

// Build the card of a training.
function card(name) {
  const parts = {
    root: make("section", { class: "card training", "aria-label": `Training of ${name}` }),
    title: make("h3"), said: make("p", { "aria-live": "polite" }), where: make("p", { class: "note" }),
    progress: make("progress", { max: 1, "aria-label": `Progress of ${name}` }), left: make("span", { class: "note" }),
    curve: make("div"), player: make("section", { class: "player", hidden: "" }),
    stop: button("stop", "Stop and keep"), resume: button("resume", "Resume"),
    use: make("a", { class: "button use", href: `#convert/with/${encodeURIComponent(name)}` }, "Use this model"),
    report: make("a", { class: "button", href: `/reports/${encodeURIComponent(name)}`, target: "_blank" }, "Report"),
    seen: "",
  };
  parts.title.textContent = name;
  const act = (what) => safely(pane, async () => {
    await ask("/api/trainings", { form: { do: what, name } });
    await refresh();
  });
  parts.stop.onclick = act("stop");
  parts.resume.onclick = act("resume");
  parts.root.append(
    parts.title, parts.said, make("div", { class: "bar" }, parts.progress, parts.left), parts.where,
    make("div", { class: "row" }, parts.stop, parts.resume, parts.use, parts.report), parts.curve, parts.player,
  );
  return parts;
}

const WORDS = { running: "It trains.", stopping: "It stops, and saves what it learned.", stopped: "Stopped.", finished: "Finished.", failed: "It failed." };

async function update(state) {
  const { name } = state;
  if (!cards.has(name)) {
    cards.set(name, card(name));
    list.prepend(cards.get(name).root);
  }
  const parts = cards.get(name);
  const works = state.state === "running" || state.state === "stopping";
  const begins = works && !state.step;
  const text = state.error ? `It failed: ${state.error}` : begins && state.said ? `${capital(state.said)}.` : WORDS[state.state];
  if (parts.said.textContent !== text) parts.said.textContent = text;
  parts.said.classList.toggle("error", Boolean(state.error));
  parts.progress.hidden = !works;
  parts.progress.value = state.share;
  parts.left.textContent = works && state.left ? `at most ${seconds(state.left)} left` : "";
  parts.where.textContent = state.where ?? "";
  parts.stop.hidden = state.state !== "running";
  parts.resume.hidden = works || state.state === "finished";
  parts.use.hidden = !state.step;
  parts.report.hidden = !state.has_report;
  const seen = `${state.measures} ${state.state}`;
  if (parts.seen === seen) return;
  parts.seen = seen;
  const { curve, ages } = await ask(`/api/trainings/${encodeURIComponent(name)}`);
  parts.curve.innerHTML = curve; // ours: its words are escaped where it is made
  await play(parts.player, ages);
}

async function refresh() {
  const states = await ask("/api/trainings");
  pane.querySelector(".none").hidden = states.length > 0;
  for (const state of states.reverse()) await update(state); // the newest comes last, and stands first
  return states.some(({ state }) => state === "running" || state === "stopping");
}

async function offer() {
  const folders = await ask("/api/folders");
  pane.querySelector("datalist").replaceChildren(
    ...folders.map(({ folder, files }) => make("option", { value: folder }, `${files} files`)));
}

export function begin() {
  form.append(make("datalist", { id: "folders" }));
  form.querySelectorAll(".side").forEach((root, index) => side(root, index ? "the other" : "one genre"));
  form.onsubmit = (event) => {
    event.preventDefault();
    safely(pane, look)();
  };
  let watches = false;
  return safely(pane, async () => {
    await offer();
    await refresh();
    if (watches) return;
    watches = true;
    try {
      while (!pane.hidden) {
        await wait(1000);
        await refresh();
      }
    } finally {
      watches = false;
    }
  });
}
