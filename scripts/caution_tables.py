"""Lay out how often the cautions are right; used by tables.py."""

from __future__ import annotations

from layout import read, table


def songs() -> str:
    """How often a song is said to sound like the genre it is converted to: of those of the source, of the target."""
    found = read("cautions.json")["songs"]
    rows = []
    for direction in found["built-in"]:
        counts = [found[kind][direction][2 * part : 2 * part + 2] for kind in found for part in (0, 1)]
        rows.append([direction, *(f"{said} of {count}" for count, said in counts)])
    head = [f"{kind}, songs of the {genre}" for kind in ("tunes", "recordings") for genre in ("source", "target")]
    return table(["", *head], rows)


def folders() -> str:
    """How often five recordings and five others are said to differ no more than by chance."""
    found = read("cautions.json")["folders"]
    pairs = found["built-in"]
    rows = [[pair, *("{1} of {0}".format(*part[pair]) for part in found.values())] for pair in pairs]
    return table(["five and five recordings", "tunes", "recordings"], rows)


def copies() -> str:
    """How many copies are found, and how many are taken for one."""
    found = read("cautions.json")["copies"]
    return (
        f"Of {found['copies']} recordings, MP3 copies of half the level, without the first second, were found: "
        f"{found['found']}. Of {found['pairs that are none']:,} other pairs, taken for copies: "
        f"{found['taken for copies']}."
    )
