"""How long a training will take, told by doing a little of it."""

import time

import numpy as np
import pytest

from gst_jax import config, data
from gst_jax.learning import loop
from gst_jax.speed import estimate
from gst_jax.speed.estimate import Pace

SMOKE = config.load("configs/smoke.toml", ["training.epochs=7", "training.accumulation_steps=4"])


class Batches:
    """Two segments of each genre a step, of noise."""

    steps_per_epoch = 5

    def batch_at(self, step):
        shape = (SMOKE.training.batch_size, SMOKE.audio.segment_frames, SMOKE.audio.n_mels)
        return {key: np.random.default_rng(step).standard_normal(shape, np.float32) for key in data.PARTS}


def test_a_training_takes_its_compilation_and_its_steps_rounded_up_to_whole_updates():
    assert loop.total_steps(5, SMOKE) == 36  # 35, in fours
    assert Pace(10.0, 0.5).training_seconds(Batches(), SMOKE) == pytest.approx(10 + 36 * 0.5)


def test_the_pace_is_that_of_real_steps():
    shown = []

    def progress(steps, total, desc, unit):
        shown.append((total, desc, unit))
        return steps

    pace = estimate.measure_pace(Batches(), SMOKE, progress)
    assert pace.compile_seconds > 0 and 0 < pace.step_seconds < 5
    assert shown == [(4, "timing", "batch")]


def test_a_slow_machine_is_not_kept_waiting(monkeypatch):
    """Where a step takes long, a few must do."""
    clock = iter(range(0, 10_000, 15))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    asked = []

    class Counted(Batches):
        def batch_at(self, step):
            asked.append(step)
            return super().batch_at(step)

    pace = estimate.measure_pace(Counted(), SMOKE)
    assert pace.step_seconds == 15 and asked == [0, 0, 1]
