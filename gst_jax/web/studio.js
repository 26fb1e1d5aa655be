// The studio's page: which pane is shown, and what its panes share.
import { begin as beginConvert } from "./convert.js";
import { begin as beginTrain } from "./train.js";
import { begin as beginAbout, beginRuns } from "./runs.js";

const panes = ["convert", "train", "runs", "about"];
const shown = { convert: beginConvert(), train: beginTrain(), runs: beginRuns(), about: beginAbout() };

// Show the pane that the address names: #convert, #about/folk_jazz
function show() {
  const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const pane = panes.includes(name) ? name : "convert";
  for (const other of panes) document.getElementById(other).hidden = other !== pane;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${pane}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = document.querySelector(`#${pane} h1`).textContent;
  document.title = `${title} - gst_jax studio`;
  shown[pane](rest.join("/"));
}

addEventListener("hashchange", show);
show();
