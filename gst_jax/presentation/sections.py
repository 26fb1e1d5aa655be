"""Write the parts of a run's page, each as HTML that says what it shows; one with nothing to show is empty."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gst_jax import config, data, evaluation
from gst_jax.learning.best import Best, Metrics
from gst_jax.presentation.charts import chart
from gst_jax.presentation.player import element, player
from gst_jax.runs import seals
from gst_jax.runs.directory import RunDirectory

Lines = list[Metrics]  # of a log

_SAME = 0.01  # of a score: less is within what two runs of one recipe differ by
KEYS = (
    '<p class="keys"><kbd>Space</kbd> plays, <kbd>1</kbd> to <kbd>9</kbd> switch, <kbd>&larr;</kbd> '
    "<kbd>&rarr;</kbd> move two seconds, <kbd>L</kbd> loops.</p>"
)
_LEGEND = (
    '<ul class="legend"><li><svg class="chart" viewBox="0 0 32 12" aria-hidden="true"><path d="M0 6H32"/></svg>'
    'this run, the best ringed</li><li><svg class="chart" viewBox="0 0 32 12" aria-hidden="true">'
    '<line class="start" x1="0" x2="32" y1="6" y2="6"/></svg>before training</li><li>'
    '<svg class="chart" viewBox="0 0 32 12" aria-hidden="true">'
    '<line class="flat" x1="0" x2="32" y1="6" y2="6"/></svg>equaliser, which learns nothing</li></ul>'
)

_LOSSES = {  # what is drawn in one figure, and what that can tell
    "Adversarial": (
        ["generator/adversarial"],
        "How easily conversions are told from real music. It rises as the discriminators learn, in a good run, too.",
    ),
    "There and back": (
        ["generator/cycle", "generator/identity"],
        "How far a piece is from itself after it was converted and converted back; who changes little comes back "
        "easily, so it may rise as conversions get better. In blue, where there is one, the identity loss: how much "
        "a generator changes what is of its target genre already.",
    ),
    "Discriminators": (
        ["discriminator/a", "discriminator/b"],
        "How wrong the two discriminators are. At the dotted line they cannot tell; near 0 they have won, and the "
        "generators learn little more.",
    ),
}


def lines(log: Path) -> Lines:
    """Return the lines of a log that are whole, none where nothing was written."""
    return seals.read_lines(log)[0]


def stored(path: Path) -> list[dict[str, Any]]:
    """Return what was kept for the page as JSON, nothing where nothing was, or it is damaged: it is made anew."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return []


def where(run: RunDirectory) -> str:
    """Say how far a run is, and which of its generators convert."""
    entries = lines(run.log)
    if not entries:
        return "Nothing was logged by this run." if run.is_exported else "This run has only begun."
    last = entries[-1]
    epochs = f"epoch {last['epoch']:.1f} of {run.config.training.epochs}"
    text = f"{last['step']:.0f} batches in {last['seconds'] / 60:.1f} minutes, {epochs}."
    best = Best(run, None).best()
    return text + (f" Best on held-out music at minute {best['seconds'] / 60:.1f}: that converts." if best else "")


def listen(players: Sequence[dict[str, Any]]) -> str:
    """Return the players of songs, and the blind test of them."""
    if not players:
        return ""
    is_told = any(part["name"].startswith("True ") for part in players[0]["versions"])
    told = " The last version is what a perfect conversion might be." if is_told else ""
    return f"""<h2>Listen</h2>
<p>Each player holds versions of the same seconds. Switching keeps the place, and all are equally loud. Does
<b>Converted</b> go further than the <b>Equaliser</b>, which only evens out levels, and further than <b>Untrained</b>,
where training began?{told}</p>
{KEYS}
{played(players)}"""


def played(players: Sequence[dict[str, Any]]) -> str:
    """Return players, and the blind test of what they play."""
    return f"""{"".join(map(element, players))}
<h2>Blind test</h2>
<section class="blind-test" aria-label="Blind test"><p>Ten pairs from the players above, without their names, and two
questions about each. The answers stay here; you can save them as a file.</p></section>"""


def learning(run: RunDirectory) -> str:
    """Return the player of one song at several ages of the run."""
    ages = stored(run.ages)
    if not ages:
        return ""
    best = Best(run, None).best()
    noted = [
        part | ({"note": "the best: it converts"} if best and part["step"] == best["step"] else {}) for part in ages
    ]
    noted[-1] |= {"chosen": True}
    a, b = run.pair
    title = f"{a.capitalize()} to {b}, as the run grew"
    return f"""<h2>Hear it learn</h2>
<p>The same five seconds, which it did not train on, converted before training and after some minutes of it.</p>
{element(player(title, noted))}"""


def held_out(run: RunDirectory) -> str:
    """Draw what was measured on held-out music."""
    measures = lines(run.measures)
    curve = [entry for entry in measures if entry["step"] >= 0]
    if not curve:
        return ""
    best = Best(run, None).best()
    figures = "".join(
        chart(
            title,
            [[(entry["seconds"] / 60, entry[name]) for entry in curve]],
            "minutes of training",
            [
                *(("flat", entry[name]) for entry in measures if entry["step"] < 0),
                *(("start", entry[name]) for entry in curve if entry["step"] == 0),
            ],
            None if best is None else (best["seconds"] / 60, best[name]),
            dots=True,
            least=0.1,
        )
        for name, title in (
            ("score", "Score"),
            ("style", "Style: nearness to real music"),
            ("notes", "Notes kept"),
        )
    )
    return f"""<h2>Did it get better?</h2>
<p>{_verdict(measures, best)} Measured on excerpts that it did not train on, in both directions. A good conversion is
near in style (1 is within real music) and keeps the notes (1 is all of them); the score is the style, less where more
than a quarter of the notes that an equaliser keeps are lost.</p>
<div class="charts">{figures}</div>{_LEGEND}"""


def losses(run: RunDirectory) -> str:
    """Draw the losses, folded away, each with what it can tell."""
    entries = lines(run.log)
    if len(entries) < 2:
        return ""
    cannot_tell = math.log(2) if run.config.loss.adversarial_loss == "logistic" else 0.25
    figures = "".join(
        chart(
            title,
            [[(entry["seconds"] / 60, entry[name]) for entry in entries] for name in names if name in entries[-1]],
            "minutes of training",
            [("flat", cannot_tell)] if title == "Discriminators" else [],
        ).replace("</figure>", f"<p>{text}</p></figure>")
        for title, (names, text) in _LOSSES.items()
    )
    return f"""<details><summary>The losses, which do not tell how good it is</summary>
<p>Networks train against each other here, so no loss falls to zero, and a rising one is no sign of failure.</p>
<div class="charts">{figures}</div></details>"""


def evaluated(run: RunDirectory) -> str:
    """Say what `gst_jax evaluate` found, the newest of each direction, or how to find out."""
    said: dict[str, list[str]] = {}
    for path in run.evaluations:
        found = evaluation.read_json(path)
        said |= evaluation.sentences(found | {"split": Path(found["split"]).name})
    if not said:
        command = f"gst_jax evaluate --run={html.escape(run.path.name)}"
        return f"<h2>How good is it?</h2><p>Not measured yet: <code>{command}</code> does, in minutes.</p>"
    cards = "".join(
        f'<div class="card"><h3>{html.escape(title.capitalize())}</h3>'
        + "".join(f"<p>{html.escape(sentence)}</p>" for sentence in about)
        + "</div>"
        for title, about in said.items()
    )
    return f"<h2>How good is it?</h2>{cards}"


def settings(run: RunDirectory) -> str:
    """List what made the run, without the names of the folders that it was made in, and every setting."""
    made = run.history[-1] if run.history else {}
    audio = [place if place == data.CORPUS else Path(place).name for place in run.audio_dirs]
    facts = {
        "Music": data.describe(audio),
        "Command": made.get("command"),
        "Date": made.get("date"),
        "Commit": made.get("commit"),
        "Machine": f"{made.get('cpu')}, {made.get('cores')} cores" if made else None,
        "Versions": ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items()),
    }
    rows = "".join(
        f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items() if value
    )
    every = html.escape(json.dumps(config.to_dict(run.config), indent=1))
    return f"""<h2>How it was made</h2><table>{rows}</table>
<details><summary>Every setting</summary><pre tabindex="0">{every}</pre></details>"""


def _verdict(measures: Lines, best: Metrics | None) -> str:
    """Say whether training helped, beside the equaliser and the start."""
    if best is None:
        return "Not yet: training has only begun."
    others = {"the equaliser": measures[0]["score"], "the start of training": measures[1]["score"]}
    parts = []
    for word, fits in (("above", 1), ("about that of", 0), ("below", -1)):
        names = [f"{name} ({other:.2f})" for name, other in others.items() if _compared(best["score"], other) == fits]
        parts += [f"{word} {' and '.join(names)}"] if names else []
    after = sum(entry["step"] > best["step"] for entry in measures)
    since = (
        f" The {after} measurement{'s' if after != 1 else ''} after it {'were' if after != 1 else 'was'} no better."
        if after
        else ""
    )
    text = f"At its best, after {best['seconds'] / 60:.1f} minutes, the score is {best['score']:.2f}, "
    return f"{text}{', '.join(parts)}.{since}"


def _compared(ours: float, theirs: float) -> int:
    """Tell whether a score is above another one, 1, below, -1, or too near to tell, 0."""
    return 0 if abs(ours - theirs) < _SAME else 1 if ours > theirs else -1
