"""Say in a few sentences, with a small table, how an evaluation came out."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from gst_jax.evaluation.criteria import CALLED_TARGET

_ROWS = {  # of the table, by method
    "conversion": "the conversions",
    "untrained generator": "where training began",
    "equaliser": "an equaliser",
    "untouched input": "the untouched songs",
    "true target, rearranged": "true {target} of the tunes",
    "true target, training tracks": "real {target}",
}
_MEASURES = (("style", "kernel distance to target"), ("style", "songs called target"), ("content", "note"))
_WIDTH = 80

Figures = dict[str, dict[str, Any]]  # of one method: {kind: {measure: (value, low, high)}}


def summary(report: dict[str, Any]) -> str:
    """Write what matters of each direction, for people: sentences, then a table, in 80 columns."""
    lines = []
    said = sentences(report)
    for (direction, part), (title, about) in zip(report["directions"].items(), said.items(), strict=True):
        _, target = _genres(direction, report["classifier"])
        lines += [title, ""]
        for sentence in about:
            lines += textwrap.wrap(sentence, _WIDTH)
        lines += ["", *_table(part["methods"], target), ""]
        met = sum(criterion[3] for criterion in part["criteria"])
        lines += [f"It meets {met} of {len(part['criteria'])} criteria; --all lists them, with every measure.", ""]
    for genre, share in report["classifier"].items():
        if share < CALLED_TARGET:
            lines.append(
                f"Caution: the classifier knows only {share:.0%} of real {genre}, so its word counts little."
            )
    return "\n".join(lines).rstrip()


def sentences(report: dict[str, Any]) -> dict[str, list[str]]:
    """Say of each direction how near, taken for what, how many notes kept; by a title that says what was measured."""
    said = {}
    for direction, part in report["directions"].items():
        source, target = _genres(direction, report["classifier"])
        count = len(part["songs"])
        title = f"{source} to {target}, {report['split']}, {count} song{'s' if count != 1 else ''}"
        said[title] = [*_sentences(part["methods"], target), *part["findings"]]
    return said


def _genres(direction: str, genres: dict[str, float]) -> tuple[str, str]:
    """Split the name of a direction; a genre may be called `a_to_b` itself."""
    return next((a, b) for a in genres for b in genres if f"{a}_to_{b}" == direction)


def _sentences(methods: dict[str, Figures], target: str) -> list[str]:
    """Say how near the conversions are, what a classifier takes them for, how many notes are left."""
    near = {name: methods[name]["style"]["kernel distance to target"] for name in _ROWS if name in methods}
    ours, equaliser = near["conversion"], near["equaliser"]
    step = _nearer(ours[0], near["untouched input"][0])
    apart = ours[2] < equaliser[1] or equaliser[2] < ours[1]
    place = "nearer" if ours[0] < equaliser[0] else "further away"
    called = {name: methods[name]["style"]["songs called target"][0] for name in ("conversion", "untouched input")}
    notes = [_value(methods[name], "content", "note") for name in ("conversion", "untouched input")]
    first = f"In style the conversions are {step} real {target} than the untouched songs, and {place} than "
    return [
        first + f"an equaliser, which learns nothing{'.' if apart else '; that may be chance.'}",
        f"A classifier takes {_percent(called['conversion'])} of them for {target}, and "
        f"{_percent(called['untouched input'])} of the untouched songs.",
        f"Notes kept: {notes[0]} of 1; of an untouched song this measure finds {notes[1]}.",
    ]


def _nearer(ours: float, theirs: float) -> str:
    share = 1 - ours / theirs if theirs > 0 else 0.0
    return f"{abs(share):.0%} {'nearer to' if share >= 0 else 'further from'}"


def _table(methods: dict[str, Figures], target: str) -> list[str]:
    rows = [f"{'':30}{'distance in style':>19}{'called it':>13}{'notes kept':>14}"]
    for name, title in _ROWS.items():
        if name in methods:
            distance, called, notes = (_value(methods[name], *measure) for measure in _MEASURES)
            rows.append(f"{title.format(target=target)[:29]:30}{distance:>19}{called:>13}{notes:>14}")
    return rows


def _value(figures: Figures, kind: str, measure: str) -> str:
    """Return a figure as text, a dash where there is none."""
    value = figures.get(kind, {}).get(measure, (math.nan,))[0]
    if math.isnan(value):
        return "-"
    return _percent(value) if measure == "songs called target" else f"{value:.2f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"
