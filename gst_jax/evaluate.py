"""Measure a run beside methods that learn nothing, on songs that it never heard.

For example:

  gst_jax evaluate --run=folk_jazz
  gst_jax evaluate --run=runs/folk_metal --audio_dir=other_music
"""

from __future__ import annotations

from absl import flags

from gst_jax.runs import command_line

_RUN = flags.DEFINE_string("run", None, "run directory of gst_jax train, or a bundled one by name", required=True)
_OUT = flags.DEFINE_string(
    "out",
    None,
    "JSON file for the figures, with a picture beside it (default: evaluation_SPLIT.json in the run; here, of a "
    "bundled one)",
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["validation", "test"], "tunes of the built-in corpus: choose by validation, report test once"
)
_AUDIO_DIR = flags.DEFINE_string(
    "audio_dir", None, "measure on these recordings, a folder per genre, that the run did not learn from"
)
_QUICK = flags.DEFINE_bool("quick", False, "leave out the conversions at other strengths")
_ALL = flags.DEFINE_bool("all", False, "print every measure of every method, with intervals, in wide lines")


def main() -> None:
    """Evaluate, print the table, write the JSON and the picture."""
    from gst_jax.runs import startup

    with startup.plain_messages():
        from pathlib import Path

        from gst_jax import evaluation
        from gst_jax.evaluation.measure import STRENGTHS
        from gst_jax.runs import provenance
        from gst_jax.runs.directory import RunDirectory
        from gst_jax.runs.terminal import Bar

        what = _SPLIT.value if _AUDIO_DIR.value is None else Path(_AUDIO_DIR.value).resolve().name
        run = RunDirectory.open(_RUN.value)
        usual = Path(f"{run.path.name}_evaluation_{what}.json") if run.is_bundled else run.evaluation(what)
        out = Path(_OUT.value) if _OUT.value else usual
        if not out.parent.is_dir():
            raise FileNotFoundError(f"--out: there is no folder {out.parent}; make it first")
        strengths = () if _QUICK.value else STRENGTHS
        report = evaluation.evaluate(_RUN.value, _SPLIT.value, strengths, Bar, _AUDIO_DIR.value)
        print(evaluation.table(report) if _ALL.value else evaluation.summary(report))
        evaluation.write_json(report, provenance.collect(), out)
        evaluation.write_plot(report, out.with_suffix(".png"))
        print(f"\nwritten, with every figure: {out}, {out.with_suffix('.png')}")


if __name__ == "__main__":
    command_line.run(main)
