"""Learn two genres; the same command again goes on where it was stopped.

For example:

  gst_jax train --audio_dir=my_music       my_music holds a folder per genre
  gst_jax train --pair=folk_jazz           on the built-in music
"""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from gst_jax.runs import command_line

if TYPE_CHECKING:
    from gst_jax.config import Config

_PAIR = flags.DEFINE_string(
    "pair", None, "two genres, as folk_jazz; all: folk_rock, then folk_jazz (default: the two folders, or folk_rock)"
)
_AUDIO_DIRS = flags.DEFINE_multi_string(
    "audio_dir", [], "folder of one folder per genre, or corpus: the built-in one (default); may be repeated"
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "where the run is kept (default: runs/PAIR); run again to resume")
_MINUTES = flags.DEFINE_float(
    "minutes", math.inf, "stop after this many minutes of stepping (default: no limit)", lower_bound=0
)
_INIT_FROM = flags.DEFINE_string("init_from", None, "run directory to take the first parameters from")
_CONFIG = flags.DEFINE_string(
    "config", None, "TOML file of settings (or a bundled name: full, pictures, smoke; default: frames)"
)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "also write for TensorBoard, into RUN_DIR/tensorboard")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, to train in several processes")
_PROCESSES = flags.DEFINE_integer("processes", None, "how many those are (default: as Slurm and others say, else 1)")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "which of them this is, from 0 on")
_SET = flags.DEFINE_multi_string("set", [], "one setting, as training.epochs=3; may be repeated")


def main() -> None:
    """Train each pair asked for, then write its samples, pictures, report."""
    from gst_jax.runs import startup

    startup.prepare()
    with startup.plain_messages("the same command goes on with what was saved"):
        from gst_jax import config, data

        pairs = data.find_pairs(_PAIR.value, data.find_audio_dirs(_AUDIO_DIRS.value), default="folk_rock")
        if len(pairs) > 1 and _RUN_DIR.value:
            raise config.ConfigError("--run_dir holds one run; leave it out with --pair=all, or name one pair")
        settings = config.load(_CONFIG.value, _SET.value)
        from gst_jax.learning import processes

        with processes.joined(_COORDINATOR.value, _PROCESSES.value, _PROCESS_ID.value):
            is_interrupted = any(_train(pair, settings) for pair in pairs)
    if is_interrupted:
        sys.exit(130)  # as shells expect, so that what was to follow does not


def _train(pair: tuple[str, str], settings: Config) -> bool:
    """Train one pair, showing how it goes; tell whether it was interrupted."""
    from gst_jax.evaluation import held_out
    from gst_jax.learning import loop, processes
    from gst_jax.presentation import live, progress, report
    from gst_jax.runs.terminal import Bar, say

    name = "_".join(pair)
    run_dir = _RUN_DIR.value or f"runs/{name}"
    given: Any = dict(audio_dirs=_AUDIO_DIRS.value, init_from=_INIT_FROM.value, minutes=_MINUTES.value)
    if not processes.is_first():  # which alone speaks, measures and reports
        return loop.train(pair, settings, run_dir, **given).interrupted
    shown = live.Live(run_dir, _TENSORBOARD.value)
    bar: Bar | None = None  # from the first step on, below the bars of rendering or decoding

    def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
        nonlocal bar
        if bar is None:
            bar = Bar(total=total, initial=step - 1, desc=name, unit="batch", at_most=True)
        bar.note = progress.line(metrics)
        bar.update(1)
        shown.on_log(step, metrics)

    watching: Any = dict(say=say, on_step=on_step, on_measure=shown.on_measure, progress=Bar)
    listen = functools.partial(held_out.prepare, progress=Bar)
    summary = loop.train(pair, settings, run_dir, **given, listen=listen, **watching)
    shown.close()
    if bar is not None:
        bar.close()
    say("writing the report" + ("; Ctrl-C again leaves it out" if summary.interrupted else ""))
    page = report.write(run_dir, Bar)
    print(progress.ending(name, summary), progress.next_commands(run_dir, page, pair[1]), sep="\n")
    return summary.interrupted


if __name__ == "__main__":
    command_line.run(main)
