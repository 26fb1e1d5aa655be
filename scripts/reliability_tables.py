"""Lay out what was tried of faults, files and load, and how often it held; used by tables.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layout import RESULTS, read, table

_TITLES = {  # by the name of the file
    "crashes": "Killed at random moments",
    "disk": "Faults of the disk",
    "files": "Files of every kind",
    "scale": "Past one machine",
}


def all_parts() -> str:
    """Return the tables of every `reliability_PART.json`, each below the command that made it."""
    names = [path.stem.removeprefix("reliability_") for path in sorted(RESULTS.glob("reliability_*.json"))]
    return "\n\n".join(part(name, read(f"reliability_{name}.json")) for name in names)


def part(name: str, found: dict[str, Any]) -> str:
    """Return the tables of one file.

    Args:
        name: of the part.
        found: its `provenance`, `rows` (what, tried, held, note) and, where there are such, `figures` (what, value,
            unit).
    """
    made = found["provenance"]
    heading = f"## {_TITLES.get(name, name.capitalize())}"
    command = f"`{made['command']}`, commit {made['commit'][:7]}, {made['date']}"
    rows = [[_safe(row["what"]), str(row["tried"]), _held(row), _safe(row.get("note", ""))] for row in found["rows"]]
    parts = [heading, command, table(["what", "tried", "held", ""], rows)]
    if figures := found.get("figures"):
        cells = [[_safe(one["what"]), _number(one["value"]), one["unit"]] for one in figures]
        parts.append(table(["", "measured", ""], cells))
    return "\n\n".join(parts)


def _held(row: dict[str, Any]) -> str:
    """Return how many trials held, in bold where one did not."""
    return f"{row['held']}" if row["held"] == row["tried"] else f"**{row['held']}**"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _safe(text: str) -> str:
    """Return a text that ends no cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _worst(values: Sequence[float]) -> str:
    """Write the median of sorted values, with the last."""
    return f"{values[len(values) // 2]:.1f} ({values[-1]:.1f})"


def studio() -> str:
    """How soon a song is heard in the studio, and what many clients at once do to it."""
    found = read("studio.json")
    heard, memory = found["first_seconds_of_three_minutes"], found["peak_memory_mb"]
    rows = [
        ["first ten seconds of a three-minute song, s after its upload, median (most)", _worst(heard["waited"])],
        ["processor time until then, s, median (most)", _worst(heard["processor"])],
        [f"{found['clients']} clients, {found['seconds_each']:g} s each, all at once: lost", str(found["lost"])],
        [
            "until all of it is there, s, median (95 %)",
            f"{found['waited']['p50']:.0f} ({found['waited']['p95']:.0f})",
        ],
        ["peak memory, MB, when ready, after the long songs, after the crowd", ", ".join(map(str, memory.values()))],
    ]
    return table(["the studio", ""], rows)
