// The panes that show what there is: runs, which can be compared by ear, and what a model is.
import { ask, follow, make, options, play, safely, say } from "./shared.js";
import { current } from "./convert.js";

const runs = document.getElementById("runs");
const about = document.getElementById("about");
const LENT = "one that they did not learn from";
const OPENED = "the one in Convert";

function row({ name, pair, bundled, converts, report }) {
  const place = encodeURIComponent(name);
  const link = (text, href, more = {}) => make("a", { class: "button", href, "aria-label": `${text}: ${name}`, ...more }, text);
  const links = [
    ...(converts ? [link("Use", `#convert/with/${place}`)] : []),
    ...(report ? [link("Report", `/reports/${place}`, { target: "_blank" })] : []),
    link("About", `#about/${place}`),
  ];
  const kind = bundled ? "comes along" : converts ? "trained here" : "has learned nothing yet";
  const about = make("p", {}, make("strong", {}, name), make("br"), `${pair.join(" and ")}, ${kind}`);
  return make("li", { class: "card" }, about, make("div", { class: "row" }, ...links));
}

export function beginRuns() {
  const form = runs.querySelector("form");
  const { one, other, to, song } = form.elements;
  let models = [];
  const pairOf = (select) => models.find(({ name }) => name === select.value)?.pair ?? [];
  const direct = () => {
    const common = pairOf(one).filter((genre) => pairOf(other).includes(genre)).reverse();
    options(to, common.length ? common : ["nothing in common"]);
    form.querySelector("button").disabled = !common.length || one.value === other.value;
  };
  one.onchange = direct;
  other.onchange = direct;
  form.onsubmit = safely(runs, async (event) => {
    event.preventDefault();
    const wanted = { runs: [one.value, other.value], to: to.value, song: song.value === OPENED ? current() : null };
    play(runs.querySelector(".player"), null);
    const { id } = await ask("/api/comparisons", { form: wanted });
    await follow(runs, id);
  });
  return safely(runs, async () => {
    models = await ask("/api/models");
    runs.querySelector(".list").replaceChildren(...models.map(row));
    const names = models.filter(({ converts }) => converts).map(({ name }) => name);
    options(one, names);
    const common = names.filter((name) => name !== one.value && models.find((model) => model.name === name).pair
      .some((genre) => pairOf(one).includes(genre)));
    options(other, names, other.value || common[0]);
    options(song, current() ? [LENT, OPENED] : [LENT]);
    direct();
  });
}

export function begin() {
  const select = about.querySelector("select");
  select.onchange = () => { location.hash = `#about/${encodeURIComponent(select.value)}`; };
  return safely(about, async (wanted) => {
    const names = (await ask("/api/models")).map(({ name }) => name);
    options(select, names, wanted || select.value);
    say(about, "");
    const { html } = await ask(`/api/models/${encodeURIComponent(select.value)}`);
    about.querySelector(".facts").innerHTML = html; // ours: its words are escaped where it is made
  });
}
