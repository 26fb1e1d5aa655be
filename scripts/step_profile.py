"""Tell where the time of a train step goes, by XLA's own trace of each operation.

    python scripts/step_profile.py --out=results/step_profile.json

On one core, so that each moment belongs to one operation and all of them together are the step. Each is counted where
the program that XLA compiled says that it comes from. Linux, whose scheduler can be told to use one core.
"""

from __future__ import annotations

import collections
import json
import os
import statistics
import tempfile
import time
from typing import Any

import command
import step_parts
from absl import flags

from gst_jax import config
from gst_jax.runs import provenance, startup
from gst_jax.runs.atomic import write_text

_CONFIGS = flags.DEFINE_list("configs", ["frames", "pictures"], "recipes to look at")
_STEPS = flags.DEFINE_integer("steps", 20, "steps to trace, in turn", lower_bound=1)
_OUT = flags.DEFINE_string("out", "results/step_profile.json", "JSON file to write")


def main() -> None:
    """Profile each recipe in each precision that it has."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # before XLA starts a thread for each core
    startup.prepare()
    from gst_jax.speed import benchmark

    found = {"sgemm_gflops": benchmark.sgemm_gflops(30), "steps": {}, "provenance": provenance.collect()}
    for name in _CONFIGS.value:
        for precision in ("float32", "bfloat16") if name == "frames" else ("float32",):
            settings = config.load(name, [f"training.precision={precision}"])
            found["steps"][f"{name} {precision}"] = profile(settings, benchmark.step_gflop(settings), _STEPS.value)
            print(name, precision, json.dumps(found["steps"][f"{name} {precision}"], indent=1), flush=True)
    write_text(_OUT.value, json.dumps(found, indent=1) + "\n")


def profile(settings: config.Config, gflop: float, steps: int) -> dict[str, Any]:
    """Return milliseconds of one step, whole and by kind, as medians."""
    import jax
    import numpy as np

    from gst_jax.learning import cyclegan, stepping

    rng = np.random.default_rng(0)
    shape = (settings.training.batch_size, settings.audio.segment_frames, settings.audio.n_mels)
    placement = stepping.place(settings)
    batch = placement.batch({part: rng.standard_normal(shape, np.float32) for part in ("a", "b", "real_a", "real_b")})
    step, _ = stepping.compile_step(settings, placement, batch)
    kinds = step_parts.kinds_of(step.as_text())
    state = placement.state(cyclegan.init_state(settings))
    state, _ = jax.block_until_ready(step(state, batch))
    whole, parts = [], []
    for _ in range(steps):
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                start = time.perf_counter()
                state, _ = jax.block_until_ready(step(state, batch))
                whole.append(1e3 * (time.perf_counter() - start))
            parts.append(step_parts.milliseconds(folder, kinds))
    return {
        "direct_gflop": gflop,
        "median_ms": statistics.median(whole),
        "parts_ms": {kind: statistics.median(part[kind] for part in parts) for kind in step_parts.KINDS},
        "operations": collections.Counter(kinds.values()),
    }


if __name__ == "__main__":
    command.run(main)
