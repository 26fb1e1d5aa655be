"""Keep figures as JSON with a checksum, so that a damaged one is never taken for another."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

_SUM = "crc32"


class DamagedError(ValueError):
    """What was written here is no longer what it was."""


def sealed(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a tree of JSON with its checksum."""
    return tree | {_SUM: zlib.crc32(json.dumps(tree).encode("ascii"))}


def unsealed(text: str) -> dict[str, Any]:
    """Read a tree that `sealed` gave; one without a checksum is of a version before 0.2.

    Raises:
        DamagedError: when it is another.
    """
    try:
        tree = json.loads(text)
        found = tree.pop(_SUM, None)
    except (json.JSONDecodeError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError(repr(error)) from error
    if found is not None and sealed(tree)[_SUM] != found:
        raise DamagedError("the checksum is of another content; where this was changed on purpose, remove crc32")
    return tree


def line(tree: dict[str, Any]) -> str:
    """Return a tree as a line of a log."""
    return json.dumps(sealed(tree)) + "\n"


def read_lines(log: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Read the lines of a log, without a last one that is not whole: it is being written, or its writer was killed.

    Returns:
        The trees, none where there is no log; and the numbers, from 1, of the lines that are damaged.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    trees, damaged = [], []
    for number, one in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            trees.append(unsealed(one))
        except DamagedError:
            damaged.append(number)
    return trees, damaged
