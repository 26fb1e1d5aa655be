"""Reckon how long an epoch takes on 1, 8 and 64 accelerators: a model, not a measurement.

    python scripts/scaling.py

Prints the table of docs/scale.md, which says what is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import command
from layout import read, table

HOURS = 1000.0  # of music in a genre
SEGMENT_SECONDS = 2.0
LINKS = {1: (1.0, 0.0), 8: (300e9, 5e-6), 64: (30e9, 15e-6)}  # bytes a second that a ring carries, s for each hop


BATCH = "a batch of {0.batch} of {0.config}.toml, processor time"  # as results/reliability_scale.json calls it


@dataclass(frozen=True)
class Step:
    """A train step as it was measured on one H100."""

    name: str
    config: str
    parameters: int  # whose float32 gradients are summed
    batch: int  # segments of each genre on an accelerator
    seconds: float


STEPS = (
    Step("frames (default), 64 a device", "frames", 4_128_834, 64, 5.7e-3),
    Step("full (28M), 16 a device", "full", 28_244_356, 16, 36e-3),
)


def summing(parameters: int, devices: int) -> float:
    """Return the seconds in which a ring sums the gradients: 2 (n - 1) hops, on each of which 1 / n of them go."""
    rate, hop = LINKS[devices]
    return 2 * (devices - 1) * (4 * parameters / devices / rate + hop)


def main() -> None:
    """Print the table."""
    print(reckoned())


def reckoned() -> str:
    """Return the table: for each model and number of accelerators the step, its efficiency, an epoch's time."""
    figures = {figure["what"]: figure["value"] for figure in read("reliability_scale.json")["figures"]}
    rows = []
    for step in STEPS:
        host = figures[BATCH.format(step)] / 1e3
        for devices in LINKS:
            sums = summing(step.parameters, devices)
            whole = max(step.seconds + sums, host)  # the next batch is made meanwhile
            epoch = HOURS * 3600 / SEGMENT_SECONDS / (step.batch * devices) * whole
            rows.append(
                [
                    step.name,
                    str(devices),
                    f"{1e3 * step.seconds:.1f} + {1e3 * sums:.1f}",
                    f"{1e3 * host:.0f}",
                    f"{step.seconds / whole:.0%}",
                    f"{epoch / 60:.2g}",
                ]
            )
    head = ["", "accelerators", "ms a step: computing + summing", "ms a batch", "efficiency"]
    return table([*head, f"minutes for {HOURS:g} h"], rows)


if __name__ == "__main__":
    command.run(main)
