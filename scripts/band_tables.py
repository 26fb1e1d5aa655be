"""Lay out how well the band hears and what it plays; used by tables.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import band_rows
import borrowed_rows
from layout import STYLE, across, interval, read, table

# Columns: what they are called, the figure, how it is written.
COLUMNS = (
    ("beats, F", "beats", "{:.3f}"),
    ("first beats, F", "downbeats", "{:.3f}"),
    ("error", "onset error", "{:.1f} ms"),
    ("meter", "meter", "{:.0%}"),
    ("tempo halved or doubled", "half or double tempo", "{:.0%}"),
    ("tonic", "tonic", "{:.0%}"),
    ("scale", "scale", "{:.0%}"),
    ("tonic and mode", "tonic and mode", "{:.0%}"),
    ("chords", "chords", "{:.0%}"),
    ("band plays", "plays", "{:.0%}"),
)


def row(name: str, figures: dict[str, float]) -> list[str]:
    """Write the figures of some tunes; times are in seconds."""
    cells = (form.format(figures[key] * (1000 if key == "onset error" else 1)) for _, key, form in COLUMNS)
    return [name, *cells]


def hearing() -> str:
    """All tunes, in each way that they are played."""
    tunes = read("band_hearing.json")["tunes"]
    return table(["", *(title for title, *_ in COLUMNS)], [row(name, part["all"]) for name, part in tunes.items()])


def hearing_by_genre() -> str:
    """Each genre's tunes, as they are and with a drifting tempo."""
    tunes = read("band_hearing.json")["tunes"]
    rows = [
        row(f"{genre}, {condition}", figures)
        for condition in ("as it is", "drifting tempo")
        for genre, figures in tunes[condition].items()
        if genre != "all"
    ]
    return table(["", *(title for title, *_ in COLUMNS)], rows)


def silent() -> str:
    """How often the band is silent on sounds that have no beat or no key."""
    found = read("band_hearing.json")["silent"]
    return table(["", "silent"], [[kind, f"{share:.0%}"] for kind, share in found.items()])


def joined() -> str:
    """How many real recordings the band would join, and why not the others."""
    found = read("band_hearing.json")["recordings"]
    rows = []
    for genre, part in found.items():
        reasons = sorted(set(part["silent"].values()))
        why = "; ".join(f"{list(part['silent'].values()).count(reason)}: {reason}" for reason in reasons)
        rows.append([genre, f"{part['plays']} of {part['recordings']}", why])
    return table(["", "joined", "silent on"], rows)


def content(measured: str) -> str:
    """Chords and beats of bands that play as they should and in wrong ways: alone, or the mix with one."""
    ending = {"alone": "", "mix": " of the mix"}[measured]

    def cell(figures: dict[str, Any]) -> str:
        return ", ".join(f"{figures[name + ending][0]:.2f}" for name in ("chord", "beat"))

    rows = (band_rows.RIGHT, *band_rows.WRONG, "conversion", "true target, rearranged")
    files = [read(f"band_content_{pair}.json") for pair in ("folk_rock", "folk_jazz")]
    return across({name: part for file in files for name, part in file["directions"].items()}, rows, cell)


def cost() -> str:
    """What a band costs: times real time without and with it, and the seconds that its two halves take."""
    rows = [
        [f"{song}, to {target}"]
        + [f"{figures[f'times real time {name}']:.0f}" for name in ("without", "with")]
        + [f"{figures[name]:.1f}" for name in ("hearing", "playing", "with, processor")]
        for song, targets in read("band_cost.json")["songs"].items()
        for target, figures in targets.items()
    ]
    return table(
        ["", "times real time without", "with", "s hearing", "s playing", "s of processor time in all"], rows
    )


def borrowed_called() -> str:
    """The outside judge's distance to the target and how far its tag rose, with borrowed bars."""

    def cell(figures: dict[str, Any]) -> str:
        return f"{interval(figures[STYLE], 2)}, {figures['called']:.2f}"

    return across(read("borrowed_band.json")["directions"], borrowed_rows.ROWS, cell)


def borrowed_fit() -> str:
    """What borrowed and random bars share with the song."""
    rows = [
        f"{row}, {place}, {measure}"
        for place in ("alone", "with the song")
        for measure in borrowed_rows.SHARED
        for row in (borrowed_rows.RIGHT, borrowed_rows.RANDOM)
    ]
    return _borrowed("fit", rows, 2)


def borrowed_copying() -> str:
    """The share of the borrowed bars' pitches that sounds in each mix."""
    return _borrowed("copying", ("song alone", "with what is borrowed", "with the whole bars"), 3)


def borrowed_lengths() -> str:
    """How long the passages are that are borrowed."""
    return _borrowed("fit", ("bars between joins", "longest passage, seconds"), 1)


def _borrowed(part: str, rows: Sequence[str], places: int) -> str:
    found = read("borrowed_band.json")["directions"]
    cells = [[name, *(interval(one[part][name], places) for one in found.values())] for name in rows]
    return table(["", *found], cells)
