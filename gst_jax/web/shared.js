// What the panes share: asking the studio, saying how things are, playing a song that is being converted.
const { make, mount, players, remove, replace } = Players;

export { make };
export const button = (name, text) => make("button", { type: "button", class: name }, text);

// Ask the studio for something; its refusals become errors whose message is for people.
export async function ask(path, { form, ...options } = {}) {
  if (form) options = { method: "POST", body: JSON.stringify(form), ...options };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The studio does not answer. Is gst_jax studio still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.error), { status: answer.status });
  return content;
}

// Send a file as it is; its name goes beside it.
export const send = (path, file, headers = {}) =>
  ask(path, { method: "POST", body: file, headers: { "X-File-Name": encodeURIComponent(file.name), ...headers } });

export function say(pane, text, bad = false) {
  const status = pane.querySelector(".status");
  if (status.textContent !== text) status.textContent = text; // or a screen reader would repeat it
  status.classList.toggle("bad", bad);
}

// Do what a control asks for, and say what went wrong.
export const safely = (pane, action) => async (...given) => {
  try {
    await action(...given);
  } catch (error) {
    say(pane, error.message, true);
  }
};

export const capital = (text) => text[0].toUpperCase() + text.slice(1);
export const seconds = (count) => {
  const whole = Math.round(count);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours, minutes, rest] = parts;
  const two = (part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};
export const options = (select, names, chosen = select.value) => {
  select.replaceChildren(...names.map((name) => make("option", {}, name)));
  if (names.includes(chosen)) select.value = chosen;
};
export const wait = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Show a player in a pane, or what replaces it; nothing hides it.
export async function play(root, data) {
  root.hidden = !data;
  const before = players.find((player) => player.root === root);
  if (data && before) await replace(before, data);
  else if (data) mount(root, data);
  else if (before) {
    before.deck.pause();
    remove(before);
  }
}

const waiting = ({ state, place, what }) => {
  if (state === "waiting") return place === 1 ? "in line, one before it" : `in line, ${place} before it`;
  return what || "beginning";
};

// One line for a conversion that is not done, or has something to say.
function line(conversion, cancel) {
  const { from, to, run, strength, band, state, share, notes, error } = conversion;
  const strong = strength === 1 ? "" : `, strength ${strength}`;
  const name = `${capital(from)} to ${to} by ${run}${strong}${band ? ", with a band" : ""}`;
  const works = state === "waiting" || state === "running";
  const parts = [make("span", {}, works ? `${name}: ${waiting(conversion)}` : name)];
  if (works) {
    const stop = button("stop", "Stop");
    stop.setAttribute("aria-label", `Stop ${name}`);
    stop.onclick = cancel;
    parts.push(make("progress", { max: 1, value: share, "aria-label": `Progress of ${name}` }), stop);
  }
  for (const note of notes) parts.push(make("p", { class: "note" }, `${note}.`));
  if (error) parts.push(make("p", { class: "error" }, error));
  return make("li", {}, ...parts);
}

// Follow the conversions of a song in a pane until all are done, or another song is followed there.
export async function follow(pane, id) {
  const work = pane.querySelector(".work");
  const root = pane.querySelector(".player");
  pane.followed = id;
  let ready = "";
  while (pane.followed === id) {
    const song = await ask(`/api/songs/${id}`);
    if (pane.followed !== id) return;
    const { conversions } = song;
    if (ready !== String(song.ready)) {
      ready = String(song.ready);
      await play(root, (await ask(`/api/songs/${id}?player`)).player);
    }
    const focused = work.querySelector(".stop:focus") !== null;
    const told = conversions.map((conversion, number) => [conversion, number]).filter(
      ([{ state, notes }]) => state !== "cancelled" && (state !== "done" || notes.length));
    work.replaceChildren(...told.map(([conversion, number]) =>
      line(conversion, safely(pane, () => ask(`/api/songs/${id}/${number}`, { method: "DELETE" })))));
    if (focused) work.querySelector(".stop")?.focus();
    const busy = conversions.filter(({ state }) => state === "waiting" || state === "running");
    const last = conversions.at(-1);
    if (busy.length) say(pane, `${busy[0].state === "waiting" ? "In line" : "Converting"}: ${song.name}`);
    else say(pane, last?.state === "done" ? `Done: ${song.name}, ${seconds(song.seconds)}` : "");
    if (!busy.length) return;
    await wait(350);
  }
}
