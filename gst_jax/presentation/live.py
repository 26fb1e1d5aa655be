"""Show a run while it trains: its page, a sample of its age, and where asked for TensorBoard."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from gst_jax.config import ConfigError
from gst_jax.learning.best import Metrics
from gst_jax.presentation import ages, report
from gst_jax.presentation.player import spectrogram
from gst_jax.presentation.sections import lines
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array

_SHARE = 0.003  # of the time: with the measuring on held-out music, 4.2 to 4.6 % of it, less than a twentieth


class Live:
    """What a training shows; its methods are what `loop.train` calls."""

    def __init__(self, run_dir: str | os.PathLike[str], tensorboard: bool = False) -> None:
        """Show the page, and more where TensorBoard is wanted.

        Raises:
            ConfigError: when that cannot be.
        """
        self._board = Board(RunDirectory.board(run_dir)) if tensorboard else None
        self._song: Array | None = None
        self._began: float | None = None
        self._spent = 0.0

    def on_log(self, step: int, metrics: Metrics) -> None:
        """Show the newest losses, where that costs next to nothing."""
        if self._board is not None and metrics.get("step") == step:
            self._board.scalars(step, {name: value for name, value in metrics.items() if name != "step"})

    def on_measure(self, run: RunDirectory, generators: Any, step: int, seconds: float) -> None:
        """Convert a sample and write the page anew, unless that was done so often that it would delay the training.

        Args:
            run: that trains.
            generators: averaged parameters `{"ab", "ba"}`.
            step: micro-batches seen.
            seconds: of stepping so far.
        """
        start = time.monotonic()
        self._began = start if self._began is None else self._began
        measured = {entry["step"]: entry for entry in lines(run.measures)}.get(step)
        if self._board is not None and measured is not None:
            shown = {f"held_out/{name}": measured[name] for name in ("score", "style", "notes")}
            self._board.scalars(step, shown)
        if self._spent > _SHARE * (start - self._began):
            return
        self._song = ages.song(run) if self._song is None else self._song
        made = ages.add(run, self._song, generators["ab"], step, seconds)
        report.refresh(run)
        if self._board is not None:
            self._board.sample(step, "_to_".join(run.pair), made, run.config.audio.sample_rate)
        self._spent += time.monotonic() - start

    def close(self) -> None:
        """End what is shown while the run trains."""
        if self._board is not None:
            self._board.close()


class Board:
    """TensorBoard's files of a run, by tensorboardX."""

    def __init__(self, folder: Path) -> None:
        """Prepare to write into a folder.

        Raises:
            ConfigError: when tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ConfigError("--tensorboard needs tensorboardX: pip install 'gst_jax[tensorboard]'") from error
        self._open = lambda step: SummaryWriter(str(folder), purge_step=step)
        self._writer: Any = None

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write figures by name."""
        for name, value in values.items():
            self._at(step).add_scalar(name, value, step)

    def sample(self, step: int, name: str, waveform: Array, rate: int) -> None:
        """Write a conversion [N] to hear and its spectrogram to see."""
        self._at(step).add_audio(name, waveform[:, None], step, rate)
        self._at(step).add_image(name, spectrogram(waveform, rate), step, dataformats="HWC")
        self._at(step).flush()

    def close(self) -> None:
        """Write what waits to be written."""
        if self._writer is not None:
            self._writer.close()

    def _at(self, step: int) -> Any:
        """Return the writer; a run that goes on hides what it had shown of the steps that it repeats."""
        self._writer = self._open(step) if self._writer is None else self._writer
        return self._writer
