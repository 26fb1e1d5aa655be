"""Print how a run does beside the trivial methods: python -m gst_jax.evaluate --run=runs/folk_jazz."""

from __future__ import annotations

import sys

from absl import app, flags

_RUN = flags.DEFINE_string("run", None, "Run directory of gst_jax.train.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where to write the figures as JSON; default: RUN/evaluation_SPLIT.json.")
_SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "Choose by validation; report test once.")


def main(arguments: list[str]) -> None:
    """Evaluate, print the table, write the JSON."""
    if len(arguments) > 1:
        sys.exit(f"gst_jax: unexpected {' '.join(arguments[1:])!r}; every input is a flag")
    try:
        from pathlib import Path

        from tqdm import tqdm

        from gst_jax import evaluation, provenance

        report = evaluation.evaluate(_RUN.value, _SPLIT.value, progress=tqdm)
        print(evaluation.table(report))
        out = Path(_OUT.value or Path(_RUN.value) / f"evaluation_{_SPLIT.value}.json")
        evaluation.write_json(report, provenance.collect(command=" ".join(sys.argv)), out)
        print(f"written: {out}")
    except (ValueError, OSError) as error:
        sys.exit(f"gst_jax: {error}")


if __name__ == "__main__":
    app.run(main)
