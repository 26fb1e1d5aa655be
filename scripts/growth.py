"""Measure how the cost of a train step grows with batch, frames, channels, hours of sound, cores and devices.

    python scripts/growth.py --steps=5 --out=results/growth.json --plot=results/growth.png

Every point is a process of its own, so that cores and devices can differ.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import command
import numpy as np
import tiled_corpus
from absl import flags

from gst_jax import config, data
from gst_jax.runs import provenance, startup
from gst_jax.runs.atomic import replacing, write_text

SWEEPS = {
    "batch": [("training.batch_size", value) for value in (2, 4, 8, 16, 32)],
    "seconds": [("audio.segment_seconds", value) for value in (1.0, 2.0, 4.0, 8.0)],
    "channels": [("model.channels", value) for value in (16, 32, 64)],
    "hours": [("hours", value) for value in (1, 10, 100, 1000)],
    "cores": [("cores", value) for value in (1, 2)],
    "devices": [("devices", value) for value in (1, 2)],
}

_STEPS = flags.DEFINE_integer("steps", 8, "micro-batches of each point", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)
_PLOT = flags.DEFINE_string("plot", None, "picture to write", required=True)
_POINT = flags.DEFINE_string("point", None, "for the script itself: measure this point in this process")


def main() -> None:
    """Measure every point, each in its own process, or one of them in this one."""
    if _POINT.value:
        print(json.dumps(measure(*json.loads(_POINT.value), _STEPS.value)))
        return
    rows = []
    for sweep, points in SWEEPS.items():
        for point in points:
            call = [sys.executable, *sys.argv, f"--point={json.dumps(point)}"]
            done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"sweep": sweep, "value": point[1]} | json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            print(
                f"{sweep:10s} {point[1]!s:>5s}   {row['median_ms']:7.0f} ms   {row['segments_per_second']:5.1f} "
                f"segments/s   {row['gflops']:5.0f} GFLOP/s   {row['peak_mb']:5.0f} MB   compiled in "
                f"{row['compile_s']:.0f} s",
                flush=True,
            )
    result = {"points": rows, "provenance": provenance.collect()}
    write_text(_OUT.value, json.dumps(result, indent=1) + "\n")
    plot(rows, _PLOT.value)


def measure(key: str, value: float, steps: int) -> dict[str, float]:
    """Measure one point in this process."""
    if key == "devices":
        os.environ["JAX_NUM_CPU_DEVICES"] = str(value)
    startup.prepare(int(value) if key == "cores" else None)
    from gst_jax.speed import benchmark

    settings = config.load("configs/pictures.toml", [f"{key}={value}"] if "." in key else [])
    with tempfile.TemporaryDirectory() as folder:
        batches, started = start(value, settings, Path(folder)) if key == "hours" else (None, {})
        batch_at = batches.batch_at if batches else None
        row = benchmark.measure_step(settings, limit=1.0, steps=steps, batch_at=batch_at)
    names = ("median_ms", "p10_ms", "p90_ms", "segments_per_second", "direct_gflop", "gflops", "compile_s")
    return {name: row[name] for name in names} | {"peak_mb": provenance.peak_memory_mb()} | started


def start(hours: float, settings: config.Config, folder: Path) -> tuple[data.Batches, dict[str, float]]:
    """Load two genres of some hours each as `train` does before its first step.

    Returns:
        Their batches, and what that took: seconds to load the genres, to look them over, to find their transport and
        the first batch; peak MB, and MB of its own in the end, without the pages of files that it looks at.
    """
    from gst_jax.learning import transport

    tiled_corpus.make(hours, settings, folder / "music", folder / "cache")
    os.environ["GST_JAX_CACHE"] = str(folder / "cache")
    marks = [time.perf_counter()]
    genres = data.load_pair(("a", "b"), [folder / "music"], settings)
    marks.append(time.perf_counter())
    data.cautions(*genres, settings.audio)
    marks.append(time.perf_counter())
    transport.gaussian_transport(*genres, taps=31)
    batches = data.Batches(*genres, settings)
    batches.batch_at(0)
    marks.append(time.perf_counter())
    took = dict(zip(("load_s", "look_s", "transport_s"), np.diff(marks).tolist(), strict=True))
    own = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    return batches, took | {"start_peak_mb": provenance.peak_memory_mb(), "start_own_mb": int(own[1]) * 1024 / 1e6}


def plot(rows: list[dict], path: str) -> None:
    """Draw the time of a segment against each thing that grows."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(SWEEPS), figsize=(3 * len(SWEEPS), 3), layout="constrained")
    for axis, sweep in zip(axes, SWEEPS, strict=True):
        points = [row for row in rows if row["sweep"] == sweep]
        values = [row["value"] for row in points]
        axis.plot(values, [row["median_ms"] for row in points], "o-", label="measured")
        work = [row["direct_gflop"] / points[0]["direct_gflop"] * points[0]["median_ms"] for row in points]
        if work[0] != work[-1]:
            axis.plot(values, work, ":", label="in proportion to the work")
            axis.set(xscale="log", yscale="log")
        else:
            axis.set_ylim(bottom=0)
            axis.set_xscale("log")
        axis.set(xlabel=sweep, xticks=values, xticklabels=[f"{value:g}" for value in values])
        axis.minorticks_off()
    axes[0].set_ylabel("ms a micro-batch")
    axes[0].legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


if __name__ == "__main__":
    command.run(main)
