"""Read the JSON files of results/ and lay tables out; used by tables.py, band_tables.py and judge_tables.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
METHODS = (
    *("conversion", "untrained generator", "equaliser", "equaliser, a filter alone", "distortion", "musaicing"),
    *("untouched input", "true target, rearranged", "true target, reorchestrated"),
)
TITLES = {
    "true target, rearranged": "*true arrangement*",
    "true target, reorchestrated": "*the same notes re-orchestrated*",
    "true target, training tracks": "*training tracks of the target*",
}
STYLE = "kernel distance to target"

Directions = dict[str, dict[str, Any]]  # figures of the methods, by "folk to rock"


def read(name: str) -> dict[str, Any]:
    """Read a JSON file of results/."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def interval(estimate: Sequence[float], places: int) -> str:
    """Write a figure with its 95 % interval."""
    value, low, high = (f"{number:.{places}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def across(found: Directions, methods: Sequence[str], cell: Callable[[dict[str, Any]], str]) -> str:
    """Lay out a row for each method and a column for each direction."""
    rows = [
        [TITLES.get(method, method), *(cell(part["methods"][method]) for part in found.values())]
        for method in methods
    ]
    return table(["", *found], rows)
