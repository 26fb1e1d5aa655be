"""Write a trained conversion for other programs, as ONNX or StableHLO.

  gst_jax export --to=jazz
  gst_jax export --run=runs/folk_metal --to=metal --format=stablehlo

The file takes the log-mel of a song and gives the converted one.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from gst_jax.runs import command_line

_TO = flags.DEFINE_string("to", None, "Genre to convert to, one of the run's pair.", required=True)
_RUN = flags.DEFINE_string("run", None, "Run of gst_jax train, or a bundled one by name; default: the one that fits.")
_FORMAT = flags.DEFINE_enum("format", "onnx", ["onnx", "stablehlo"], "What the other program reads; stablehlo: JAX.")
_OUT = flags.DEFINE_string("out", None, "File to write; default: RUN.GENRE.onnx or RUN.GENRE.stablehlo.zip, here.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the file, if there is one.")


def main() -> None:
    """Export one direction of a run."""
    from gst_jax.runs import startup

    with startup.plain_messages("nothing was written"):
        from gst_jax.runs.directory import RunDirectory, bundled_run

        run = RunDirectory.open(_RUN.value or bundled_run(_TO.value))

        from gst_jax.conversion import exporting

        out = Path(_OUT.value or f"{run.path.name}.{_TO.value}{exporting.SUFFIXES[_FORMAT.value]}")
        if out.exists() and not _OVERWRITE.value:
            raise FileExistsError(f"{out} exists and is left as it is; --overwrite replaces it")
        if not out.parent.is_dir():
            raise FileNotFoundError(f"--out: there is no folder {out.parent}; make it first")
        difference = exporting.export(run, _TO.value, _FORMAT.value, out)
        print(f"{out}\nit converts as gst_jax does, to {difference:.1g} dB on four random lengths")


if __name__ == "__main__":
    command_line.run(main)
