"""Lay out what the outside judge says; used by tables.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import band_rows
from layout import METHODS, STYLE, across, interval, read, table

WITH_A_BAND = (
    *(band_rows.RIGHT, "conversion", band_rows.UNCONVERTED),
    *(*band_rows.WRONG, "untouched input"),
)


def outside_judge(kind: str, file: str = "outside_judge.json", methods: Sequence[str] = METHODS) -> str:
    """Kernel distance in the embedding of a music tagger, gain in the target's tag, MAUVE, on one kind of music."""
    found = {name: part for run in read(file)["runs"].values() for name, part in run[kind].items()}

    def cell(figures: dict[str, Any]) -> str:
        likeness = f", {figures['MAUVE'][0]:.2f}" if "MAUVE" in figures else ""
        return f"{interval(figures[STYLE], 2)}, {figures['called']:.2f}{likeness}"

    made = next(iter(found.values()))["methods"]
    rows = across(found, [method for method in methods if method in made], cell)
    return f"{rows}\n| *within the target* | {' | '.join(format(part['spread'], '.2f') for part in found.values())} |"


def seeds() -> str:
    """The outside judge's distances of the default recipe's conversions, a number for each seed."""
    runs = read("outside_judge_seeds.json")["runs"].values()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        for kind, parts in run.items():
            for direction, part in parts.items():
                found.setdefault((kind, direction), []).append(part["methods"])
    rows = []
    for (kind, direction), judged in found.items():
        untouched = judged[0]["untouched input"][STYLE][0]
        made = [methods["conversion"] for methods in judged]
        distances, called = (
            ", ".join(format(value, ".2f") for value in values)
            for values in ([one[STYLE][0] for one in made], [one["called"] for one in made])
        )
        rows.append([kind, direction, f"{untouched:.2f}", distances, called])
    return table(["music", "direction", "untouched", "conversion", "called"], rows)


def with_a_band(kind: str) -> str:
    """The rows that have a band, on one kind of music."""
    return outside_judge(kind, "outside_judge_band.json", WITH_A_BAND)
