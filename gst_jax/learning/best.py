"""Keep the generators that measure best on held-out music, and know when training no longer helps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from gst_jax.config import ConfigError
from gst_jax.learning import checkpoint
from gst_jax.learning.cyclegan import Parameters
from gst_jax.runs import seals
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

Metrics = dict[str, float]


class Ear(Protocol):
    """What measures generators: `evaluation.held_out.Ear`."""

    def __call__(self, generators: Parameters) -> Metrics:
        """Measure generators `{"ab", "ba"}`; of the result, `score` is to be high."""

    def equaliser(self) -> Metrics:
        """Measure the equaliser in the same way."""


Listener = Callable[[RunDirectory, tuple], Ear | None]  # makes the ear of a run from its genres
# Is told of a run's averaged generators `{"ab", "ba"}`, the micro-batches they saw, and the seconds of stepping.
Watcher = Callable[[RunDirectory, Parameters, int, float], None]


class Best:
    """The measurements of a run, with the best generators so far in its directory.

    They are functions of the step, so a run that was interrupted measures, keeps and ends as one that was not. The
    equaliser (step -1) and the generators before training (step 0) are there to compare with, and are never kept.
    """

    def __init__(self, run: RunDirectory, ear: Ear | None) -> None:
        """Read what was measured before; without an ear nothing is.

        Raises:
            ConfigError: when that is damaged.
        """
        self._run, self._ear = run, ear
        entries, damaged = seals.read_lines(run.measures)
        if damaged:
            raise ConfigError(
                f"{run.measures} is damaged in line {damaged[0]}; put a copy back, or remove that line, whose "
                "generators then no longer count among the best"
            )
        self._entries = {entry["step"]: entry for entry in entries}
        if ear is not None and not entries:
            self._entries[-1] = _timed(-1, 0.0, ear.equaliser)

    def measure(self, generators: Parameters, step: int, seconds: float) -> None:
        """Measure averaged generators `{"ab", "ba"}`, and keep them where no trained ones were better.

        Args:
            generators: to be measured.
            step: micro-batches seen.
            seconds: of stepping so far.
        """
        if self._ear is None:
            return
        ear = self._ear
        entry = _timed(step, seconds, lambda: ear(generators))
        others = [other["score"] for key, other in self._entries.items() if key > 0 and key != step]
        if step > 0 and all(entry["score"] > score for score in others):
            checkpoint.write_generators(self._run.best, generators)
        self._entries[step] = entry
        write_text(self._run.measures, "".join(seals.line(self._entries[key]) for key in sorted(self._entries)))

    def best(self, step: float = math.inf) -> Metrics | None:
        """Return the best measurement of trained generators up to a step, the first of equals; None where none is."""
        entries = [self._entries[key] for key in sorted(self._entries) if 0 < key <= step]
        return max(entries, key=lambda entry: entry["score"], default=None)

    def newest(self, step: int) -> Metrics | None:
        """Return the last measurement of trained generators up to a step; None where there is none."""
        steps = [key for key in self._entries if 0 < key <= step]
        return self._entries[max(steps)] if steps else None

    def since(self, step: int) -> int:
        """Return how many measurements up to a step came after the best."""
        best = self.best(step)
        return 0 if best is None else sum(best["step"] < key <= step for key in self._entries)

    @property
    def seconds(self) -> float:
        """How long all measurements took together."""
        return sum(entry["took"] for entry in self._entries.values())


def _timed(step: int, seconds: float, measure: Callable[[], Metrics]) -> Metrics:
    """Return a measurement with its place, and with how long it took."""
    start = time.monotonic()
    found = measure()
    return {"step": step, "seconds": seconds, "took": time.monotonic() - start, **found}
