"""Train in a process of its own, by the ordinary command, so that a page or the studio may be closed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock

from gst_jax.presentation import sections
from gst_jax.presentation.player import player
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.web import music
from gst_jax.web.guard import Refused
from gst_jax.web.music import Pair

_STARTED, _LOG = "studio.json", "studio.log"  # in the run directory: how it was started, what it printed


class Trainings:
    """The runs in a folder that this studio, or an earlier one, started; all that is known of them lies there."""

    def __init__(self, folder: Path) -> None:
        """Find what was started before.

        Args:
            folder: of run directories, which need not exist.
        """
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, pair: Pair) -> str:
        """Begin to learn a pair.

        Returns:
            The name of the run.

        Raises:
            Refused: when another one is training.
        """
        self._refuse_second()
        stem = "_".join(pair.genres)
        number = next(n for n in range(1, 10_000) if not (self._folder / _numbered(stem, n)).exists())
        name = _numbered(stem, number)
        (self._folder / name).mkdir(parents=True)
        options = [f"--pair={stem}", f"--run_dir={Path('runs', name)}"]
        options += [f"--audio_dir={place}" for place in pair.audio_dirs]
        options += [f"--set={text}" for text in music.OVERRIDES]
        options += [f"--config={preset}" for preset in [music.SETTINGS[pair.settings]] if preset]
        self._run(name, {"options": options, "genres": pair.genres, "audio_dirs": pair.audio_dirs})
        return name

    def resume(self, name: object) -> None:
        """Go on with a run, by the command that began it.

        Raises:
            Refused: when it is training, or was not started here.
        """
        self._refuse_second()
        started = self._started(name)
        self._run(str(name), started | {"stopping": False})

    def stop(self, name: object) -> None:
        """Have a run save what it learned, write its report and end, as Ctrl-C does.

        Raises:
            Refused: when it does not train.
        """
        started = self._started(name)
        if not self.is_running(str(name)):
            raise Refused(f"{name} is not training")
        if started.get("stopping"):
            raise Refused(f"{name} is stopping already")
        self._write(str(name), started | {"stopping": True})
        os.kill(started["process"], signal.SIGINT)

    def stop_all(self) -> None:
        """Stop what trains, without waiting for it to have saved: it does so by itself."""
        for name in self._names():
            with contextlib.suppress(Refused, ProcessLookupError):
                self.stop(name)

    def is_running(self, name: str) -> bool:
        """Tell whether a run trains, also one that an earlier studio started."""
        child = self._children.get(name)
        if child is not None:
            return child.poll() is None
        return _trains(self._folder / name, self._started(name).get("process", 0))

    def states(self) -> list[dict[str, Any]]:
        """Return how each run is doing, the newest first."""
        names = sorted(self._names(), key=lambda name: (self._folder / name / _STARTED).stat().st_mtime)
        return [self.state(name) for name in reversed(names)]

    def state(self, name: str) -> dict[str, Any]:
        """Return how a run is doing: where it is, how long it will take, and what it said last.

        Raises:
            Refused: when there is none.
        """
        started, folder = self._started(name), self._folder / name
        running = self.is_running(name)
        state: dict[str, Any] = {"name": name, "genres": started["genres"], "share": 0.0, "left": None}
        finished = False
        if RunDirectory.exists(folder):
            run = RunDirectory.open(folder)
            entries = sections.lines(run.log)
            if entries:
                last = entries[-1]
                share = min(last["epoch"] / run.config.training.epochs, 1.0)
                state |= {"share": share, "where": sections.where(run), "step": last["step"]}
                state["left"] = last["seconds"] * (1 - share) / share if share else None
            if run.summary.exists() and not running:
                finished = json.loads(run.summary.read_text(encoding="utf-8"))["finished"]
            state |= {"has_report": run.report.exists(), "measures": len(sections.lines(run.measures))}
        said = music.renamed(_last_line(folder / _LOG), tuple(started["audio_dirs"]))
        word = "stopping" if started.get("stopping") else "running"
        ended = "finished" if finished else "failed" if said.startswith("gst_jax: ") else "stopped"
        failed = said.removeprefix("gst_jax: ") if said.startswith("gst_jax: ") else ""
        is_interrupted = failed.startswith("interrupted")
        if is_interrupted:
            ended, failed = "stopped", ""
        return state | {"state": word if running else ended, "said": said, "error": "" if running else failed}

    def shown(self, name: str) -> dict[str, Any]:
        """Return the held-out curve of a run as HTML, and the player of one song at several ages."""
        self._started(name)
        if not RunDirectory.exists(self._folder / name):
            return {"curve": "", "ages": None}
        run = RunDirectory.open(self._folder / name)
        ages = sections.stored(run.ages)
        title = f"{run.pair[0].capitalize()} to {run.pair[1]}, as {name} grew"
        noted = [*ages[:-1], *(part | {"chosen": True} for part in ages[-1:])]
        return {"curve": sections.held_out(run), "ages": player(title, noted) if ages else None}

    def _names(self) -> list[str]:
        return [path.parent.name for path in self._folder.glob(f"*/{_STARTED}")]

    def _started(self, name: object) -> dict[str, Any]:
        """Return how a run was started."""
        if not isinstance(name, str) or name not in self._names():
            raise Refused(f"no run called {name} was started here", 404)
        return json.loads((self._folder / name / _STARTED).read_text(encoding="utf-8"))

    def _write(self, name: str, started: dict[str, Any]) -> None:
        write_text(self._folder / name / _STARTED, json.dumps(started, ensure_ascii=False, indent=1))

    def _refuse_second(self) -> None:
        busy = [name for name in self._names() if self.is_running(name)]
        if busy:
            raise Refused(f"{busy[0]} is training; one at a time: stop it, or wait until it is done")

    def _run(self, name: str, started: dict[str, Any]) -> None:
        """Start the process; it outlives the studio, and is no part of the terminal's Ctrl-C."""
        command = [sys.executable, "-m", "gst_jax", "train", *started["options"]]
        with (self._folder / name / _LOG).open("wb") as log:
            child = subprocess.Popen(
                command,
                cwd=self._folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self._children[name] = child
        self._write(name, started | {"process": child.pid})


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def _trains(folder: Path, process: int) -> bool:
    """Tell whether a process that an earlier studio started still trains, and its number was not given anew."""
    command = Path(f"/proc/{process}/cmdline")
    if sys.platform == "linux":
        return command.exists() and f"--run_dir={Path('runs', folder.name)}".encode() in command.read_bytes().split(
            b"\0"
        )
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            return False
    except filelock.Timeout:
        return True


def _last_line(log: Path) -> str:
    """Return the last line that a process printed."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return text.strip().rpartition("\n")[2].strip()
