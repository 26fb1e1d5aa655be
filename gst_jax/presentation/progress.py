"""Say in a line how training goes, and in a few how it ended."""

from __future__ import annotations

import os
import shlex

from gst_jax.learning.best import Metrics
from gst_jax.learning.loop import Summary


def line(metrics: Metrics) -> str:
    """Say how training goes, by the metrics that were last logged, what matters most first; nothing before them."""
    if "step" not in metrics:
        return ""
    parts = []
    if "best/score" in metrics:
        parts.append(f"held out {metrics['newest/score']:.2f}")
        parts.append(f"best {metrics['best/score']:.2f} at minute {metrics['best/minute']:.1f}")
    losses = {name: metrics.get(f"generator/{name}") for name in ("adversarial", "cycle", "identity")}
    losses["discriminator"] = (metrics["discriminator/a"] + metrics["discriminator/b"]) / 2
    parts += [f"{name} {value:.2f}" for name, value in losses.items() if value is not None]
    return ", ".join([*parts, f"{metrics['segments_per_second']:.1f} segments/s"])


def ending(name: str, summary: Summary) -> str:
    """Say how the training of a pair ended."""
    how = "finished" if summary.finished else "stopped; the same command goes on"
    minute = None if summary.best_seconds is None else summary.best_seconds / 60
    return "\n  ".join(
        [
            f"{name}: {how}",
            f"{summary.steps} of {summary.total} batches seen, {summary.skipped} skipped, {summary.updates} updates",
            f"{summary.seconds / 60:.1f} min, compiled in {summary.compile_seconds:.0f} s, "
            f"peak memory {summary.peak_memory_mb:.0f} MB",
            *([] if minute is None else [f"best on held-out music at minute {minute:.1f}"]),
        ]
    )


def next_commands(run_dir: str | os.PathLike[str], page: str | os.PathLike[str], to: str) -> str:
    """Say how to hear a run, and how to convert with it."""
    options = shlex.join([f"--run={run_dir}", f"--to={to}"])
    return f"listen at {page}\nconvert your own: gst_jax convert song.mp3 {options}"
