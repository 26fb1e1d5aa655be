"""Show how far a long part of an evaluation is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from gst_jax.types import Progress

Item = TypeVar("Item")


def shown(items: Sequence[Item], progress: Progress | None, what: str, unit: str) -> Iterable[Item]:
    """Go through items under a progress bar; None is silent, and so is a part with nothing to do."""
    return progress(items, desc=what, unit=unit) if progress and items else items
