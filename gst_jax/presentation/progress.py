"""Say in a line how training goes, and in a few how it ended."""

from __future__ import annotations

import os
import shlex

from gst_jax.learning.best import Metrics
from gst_jax.learning.loop import Summary


def line(metrics: Metrics) -> str:
    """Say how training goes, by the metrics that were last logged; nothing before the first."""
    if "step" not in metrics:
        return ""
    best = [f"best at minute {metrics['best/minute']:.1f}"] if "best/minute" in metrics else []
    losses = {name: metrics.get(f"generator/{name}") for name in ("adversarial", "cycle", "identity")}
    losses["discriminator"] = (metrics["discriminator/a"] + metrics["discriminator/b"]) / 2
    values = [f"{name} {value:.2f}" for name, value in losses.items() if value is not None]
    return ", ".join([*best, *values, f"{metrics['segments_per_second']:.1f} segments/s"])


def ending(summary: Summary) -> str:
    """Say how training ended."""
    best = (
        "" if summary.best_seconds is None else f", best on held-out music at minute {summary.best_seconds / 60:.1f}"
    )
    return (
        f"{summary.steps} of {summary.total} batches seen, {summary.skipped} skipped, {summary.updates} updates in "
        f"{summary.seconds / 60:.1f} min (compiled in {summary.compile_seconds:.0f} s, peak memory "
        f"{summary.peak_memory_mb:.0f} MB{best})\n"
        f"{'finished' if summary.finished else 'stopped; the same command goes on'}"
    )


def next_command(run_dir: str | os.PathLike[str], to: str) -> str:
    """Say how to convert with a run."""
    options = shlex.join([f"--run={run_dir}", f"--to={to}"])
    return f"convert your own: python -m gst_jax.convert {options} song.mp3 --out=converted/"
