"""Lay out what was tried of faults, files and load, and how often it held; used by tables.py."""

from __future__ import annotations

from typing import Any

from layout import RESULTS, read, table

_TITLES = {  # by the name of the file
    "crashes": "Killed at random moments",
    "disk": "Faults of the disk",
    "files": "Files of every kind",
    "scale": "Past one machine",
    "studio": "The studio under attack",
}


def all_parts() -> str:
    """Return the tables of every `reliability_PART.json`, each below the command that made it."""
    names = [path.stem.removeprefix("reliability_") for path in sorted(RESULTS.glob("reliability_*.json"))]
    return "\n\n".join(part(name, read(f"reliability_{name}.json")) for name in names)


def part(name: str, found: dict[str, Any]) -> str:
    """Return the tables of one file.

    Args:
        name: of the part.
        found: its `provenance`, or that of its `parts`; `rows` (what, tried, held, note) and, where there are such,
            `figures` (what, value, unit).
    """
    heading = f"## {_TITLES.get(name, name.capitalize())}"
    makers: dict[str, list[str]] = {}
    for each, made in found.get("parts", {name: found["provenance"]}).items():
        makers.setdefault(f"`{made['command']}`, commit {made['commit'][:7]}, {made['date']}", []).append(each)
    commands = [f"{maker}: {', '.join(made)}" if len(makers) > 1 else maker for maker, made in makers.items()]
    rows = [[_safe(row["what"]), str(row["tried"]), _held(row), _safe(row.get("note", ""))] for row in found["rows"]]
    parts = [heading, *commands, table(["what", "tried", "held", ""], rows)]
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
