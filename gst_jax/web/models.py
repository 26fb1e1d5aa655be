"""Find the runs that the studio converts with, and keep the newest of their translators ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gst_jax import bundled
from gst_jax.config import ConfigError
from gst_jax.conversion.translator import Translator
from gst_jax.presentation import sections
from gst_jax.presentation.player import Version, entry
from gst_jax.runs.directory import RunDirectory
from gst_jax.web.queue import Ticket

_READY = 6  # translators that are kept
_RATE = 16_000  # of the noise that warms one up

_LICENCE = (
    "Comes with gst_jax. It learned from music that a program composed, played with a General MIDI sound bank, and "
    "from a few real recordings under free licences, named in <code>pretrained/README.md</code>. The model is under "
    '<a href="https://creativecommons.org/licenses/by-sa/4.0/" rel="noreferrer">CC BY-SA 4.0</a>.'
)
_OWN = "Trained on this computer; whether you may publish what it makes depends on the music that it learned from."


class Models:
    """The bundled runs, and those in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look for runs of one's own.

        Args:
            folder: that holds run directories.
        """
        self.folder = folder
        self._ready: dict[tuple[Path, str, float], Translator] = {}

    def find(self) -> dict[str, RunDirectory]:
        """Return the runs by name, one's own first; a folder that is no run, or damaged, is left out."""
        found = {}
        own = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        for path in [*(path for path in own if RunDirectory.exists(path)), *bundled("pretrained").values()]:
            try:
                run = RunDirectory.open(path)
            except ConfigError:
                continue  # the command line says what is wrong with it
            name = path.name if path.parent == self.folder else f"{path.name} (bundled)"
            found[name] = run
        return found

    def open(self, name: object) -> RunDirectory:
        """Return a run by its name in `find`.

        Raises:
            ConfigError: when there is none.
        """
        runs = self.find()
        if not isinstance(name, str) or name not in runs:
            raise ConfigError(f"there is no run {name}; there are {', '.join(runs)}")
        return runs[name]

    def translator(self, run: RunDirectory, to: str) -> Translator:
        """Return what converts to a genre, by the generators that the run holds now; raises as `from_run`."""
        key = (run.path, to, _changed(run))
        if key not in self._ready:
            self._ready = dict([*self._ready.items()][1 - _READY :])
            self._ready[key] = Translator.from_run(run, to)
        return self._ready[key]

    def warm_up(self, ticket: Ticket) -> None:
        """Compile and load what the first conversion needs, so that nobody waits for it."""
        ticket.what = "getting ready"
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2 * _RATE).astype(np.float32)
        for path in ticket.progress([*bundled("pretrained").values()][:1]):
            run = RunDirectory.open(path)
            for to in run.pair:
                made = self.translator(run, to)(noise, _RATE)
            entry(Version("", "", made, _RATE), "", "")

    def converts(self, run: RunDirectory) -> bool:
        """Tell whether a run has learned something yet."""
        return _changed(run) > 0


def describe(name: str, run: RunDirectory) -> dict[str, Any]:
    """Return what a page shows of a run: its music, licence, and what was measured, as HTML that is ours."""
    parts = [
        f"<p>{_LICENCE}</p>" if run.is_bundled else f"<p>{_OWN}</p><p>{sections.where(run)}</p>",
        sections.evaluated(run),
        sections.held_out(run),
        sections.losses(run),
        sections.settings(run),
    ]
    return {"name": name, "html": "".join(parts)}


def _changed(run: RunDirectory) -> float:
    """Return when what converts was last written; 0 where there is nothing yet."""
    steps = [*run.checkpoints.iterdir()] if run.checkpoints.is_dir() else []
    times = [path.stat().st_mtime for path in (run.best, run.generators, *steps) if path.exists()]
    return max(times, default=0.0)
