"""Estimate how long training will take on this machine by doing a little of it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import jax

from gst_jax.config import Config
from gst_jax.data import Batches
from gst_jax.learning import cyclegan, loop, stepping
from gst_jax.types import Progress

_STEPS = 4  # the first one warms up
_ENOUGH_SECONDS = 20.0  # of stepping, where a step is slow


@dataclass(frozen=True)
class Pace:
    """How fast a machine trains."""

    compile_seconds: float
    step_seconds: float  # median, of one micro-batch

    def training_seconds(self, batches: Batches, settings: Config) -> float:
        """Return how long a whole training will take."""
        return self.compile_seconds + self.step_seconds * loop.total_steps(batches.steps_per_epoch, settings)


def measure_pace(batches: Batches, settings: Config, progress: Progress | None = None) -> Pace:
    """Compile the train step, then time a few micro-batches; what they learn is thrown away.

    Args:
        batches: to train on; the time depends on their shape alone, so one pair stands for all.
        settings: of the run.
        progress: called like `tqdm.tqdm` on the micro-batches.
    """
    placement = stepping.place(settings)
    train_step, compile_seconds = stepping.compile_step(settings, placement, batches.batch_at(0))
    state = placement.state(cyclegan.init_state(settings))
    steps = range(_STEPS)
    seconds = []
    for step in steps if progress is None else progress(steps, total=_STEPS, desc="timing", unit="batch"):
        batch = placement.batch(batches.batch_at(step))
        start = time.perf_counter()
        state, metrics = train_step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > _ENOUGH_SECONDS:
            break
    return Pace(compile_seconds, statistics.median(seconds[1:] or seconds))
