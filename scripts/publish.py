"""Make a small run directory to hand on: the averaged generators alone, in half precision, with their settings.

python scripts/publish.py --run=runs/folk_jazz --out=pretrained/folk_jazz
"""

from __future__ import annotations

import command
from absl import flags

_RUN = flags.DEFINE_string("run", None, "run directory of gst_jax.train", required=True)
_OUT = flags.DEFINE_string("out", None, "folder to make", required=True)


def main() -> None:
    """Export the generators."""
    from gst_jax.learning import checkpoint
    from gst_jax.runs.directory import RunDirectory

    checkpoint.export_generators(RunDirectory.open(_RUN.value), _OUT.value)


if __name__ == "__main__":
    command.run(main)
