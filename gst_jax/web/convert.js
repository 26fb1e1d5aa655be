// The pane that converts a song.
import { ask, capital, follow, make, options, play, safely, say, seconds, send } from "./shared.js";

const pane = document.getElementById("convert");
const form = pane.querySelector("form");
const { run, strength, band } = form.elements;
const again = form.querySelector(".again");
const directions = form.querySelector(".directions");
const input = pane.querySelector("input[type=file]");
const record = pane.querySelector(".record");
let models = [];
let song = null; // the id of the one that is shown
let recorder = null;

// Offer the models that have learned something; `wanted` is to be chosen.
async function offer(wanted) {
  models = (await ask("/api/models")).filter(({ converts }) => converts);
  const usual = models.find(({ bundled }) => bundled)?.name;
  options(run, models.map(({ name }) => name), wanted || run.value || usual);
  direct();
}

// Offer both directions of the model that is chosen.
function direct() {
  const model = models.find(({ name }) => name === run.value);
  const before = form.elements.to?.value;
  const [a, b] = model.pair;
  const to = before === a ? a : b;
  const choices = [[a, b], [b, a]].map(([from, target]) => {
    const radio = make("input", { type: "radio", name: "to", value: target });
    radio.checked = target === to;
    return make("label", { class: "choice" }, radio, `${capital(from)} to ${target}`);
  });
  directions.replaceChildren(directions.querySelector("legend"), ...choices);
}

async function convert() {
  const wanted = {
    run: run.value, to: form.elements.to.value, strength: Number(strength.value), band: band.checked ? 1 : 0,
  };
  await ask(`/api/songs/${song}`, { form: wanted });
  await show();
}

// Take in a file, and convert it as the form says.
async function take(file) {
  say(pane, `Taking in ${file.name}`);
  if (!models.length) await offer();
  const taken = await send("/api/songs", file);
  play(pane.querySelector(".player"), null);
  song = taken.id;
  history.replaceState(null, "", `#convert/${song}`);
  await convert();
}

async function show() {
  again.hidden = false;
  pane.querySelector(".keys").hidden = false;
  try {
    await follow(pane, song);
  } catch (error) {
    if (error.status === 404) forget();
    throw error;
  }
}

function forget() {
  song = null;
  again.hidden = true;
  pane.querySelector(".keys").hidden = true;
  pane.querySelector(".work").replaceChildren();
  play(pane.querySelector(".player"), null);
  history.replaceState(null, "", "#convert");
}

// Record until the button is pressed again.
async function listen() {
  if (recorder) return recorder.stop();
  let stream;
  try { // of music, not of speech: nothing is to be cleaned
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch {
    throw new Error("There is no microphone, or the browser does not allow it.");
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  const began = performance.now();
  const tick = () => { record.textContent = `Stop ${seconds((performance.now() - began) / 1000)}`; };
  const clock = setInterval(tick, 500);
  tick();
  record.classList.add("on");
  say(pane, "Recording");
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = safely(pane, async () => {
    clearInterval(clock);
    for (const track of stream.getTracks()) track.stop();
    const { mimeType } = recorder;
    recorder = null;
    record.classList.remove("on");
    record.textContent = "Record";
    const ending = mimeType.includes("mp4") ? "m4a" : mimeType.includes("ogg") ? "ogg" : "webm";
    await take(new File(parts, `recording.${ending}`));
  });
  recorder.start();
}

export function begin() {
  pane.querySelector(".choose").onclick = () => input.click();
  input.onchange = safely(pane, async () => {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (file) await take(file);
  });
  record.hidden = !navigator.mediaDevices?.getUserMedia || !window.MediaRecorder;
  record.onclick = safely(pane, listen);
  run.onchange = direct;
  strength.oninput = () => { form.querySelector("output").textContent = strength.value; };
  form.onsubmit = safely(pane, async (event) => {
    event.preventDefault();
    if (song) await convert();
  });
  pane.ondragover = (event) => {
    event.preventDefault();
    pane.classList.add("over");
  };
  pane.ondragleave = ({ relatedTarget }) => { if (!pane.contains(relatedTarget)) pane.classList.remove("over"); };
  pane.ondrop = safely(pane, async (event) => {
    event.preventDefault();
    pane.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) await take(file);
  });
  pane.querySelector(".player").addEventListener("click", ({ target }) => {
    if (target.matches(".download")) say(pane, "The file is being made; the browser saves it in a moment.");
  });
  return safely(pane, async (rest) => {
    const [kind, name] = rest.split("/");
    await offer(kind === "with" ? name : "");
    if (kind && kind !== "with" && kind !== song) {
      song = kind;
      await show();
    } else if (song) {
      history.replaceState(null, "", `#convert/${song}`);
    }
  });
}

export const current = () => song; // the song that another pane may take
