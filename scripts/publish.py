"""Make a small run directory to hand on: the averaged generators alone, in half precision, with their settings.

python -m gst_jax.train --pair=folk_jazz --config=configs/frames.toml
python scripts/publish.py --run=runs/folk_jazz --out=pretrained/folk_jazz
"""

from __future__ import annotations

import argparse

from gst_jax.learning import checkpoint
from gst_jax.runs.directory import RunDirectory

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run directory of gst_jax.train")
    parser.add_argument("--out", required=True, help="folder to make")
    arguments = parser.parse_args()
    checkpoint.export_generators(RunDirectory.open(arguments.run), arguments.out)
