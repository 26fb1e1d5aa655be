"""Write the page on which a run is heard and seen, also while it trains.

For example:

  gst_jax report --run=runs/folk_jazz
  gst_jax report --run=folk_jazz             a bundled one; the page goes here
"""

from __future__ import annotations

from absl import flags

from gst_jax.runs import command_line

_RUN = flags.DEFINE_string("run", None, "run directory of gst_jax train, or a bundled one by name", required=True)
_OUT = flags.DEFINE_string(
    "out", None, "HTML file for the page alone (default: report.html in the run; here, of a bundled one)"
)


def main() -> None:
    """Convert its songs, write the page, say where it is."""
    from gst_jax.runs import startup

    startup.prepare()
    with startup.plain_messages():
        from pathlib import Path

        from gst_jax.presentation import report
        from gst_jax.runs.directory import RunDirectory
        from gst_jax.runs.terminal import Bar

        run = RunDirectory.open(_RUN.value)
        out = _OUT.value or (f"{run.path.name}_report.html" if run.is_bundled else None)
        if out is not None and not Path(out).parent.is_dir():
            raise FileNotFoundError(f"--out: there is no folder {Path(out).parent}; make it first")
        print(report.write(_RUN.value, Bar, out))


if __name__ == "__main__":
    command_line.run(main)
