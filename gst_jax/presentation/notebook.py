"""The commands as plain functions, for a notebook: `gst_jax.load`, `gst_jax.fit`, `gst_jax.measure`."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gst_jax import config, data, evaluation, sound
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.evaluation import held_out
from gst_jax.learning import loop
from gst_jax.runs.directory import RunDirectory
from gst_jax.runs.terminal import Bar, say
from gst_jax.types import Array

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Run:
    """What learned two genres."""

    directory: RunDirectory
    summary: loop.Summary | None = None  # of the training, where this is what `fit` returned

    def to(self, genre: str) -> Converter:
        """Return what converts songs of the other genre to this one."""
        return Converter(genre, Translator.from_run(self.directory, to=genre), self.directory)

    def __repr__(self) -> str:
        """Name the genres, and how the training went."""
        a, b = self.directory.pair
        text = f"Run({str(self.directory.path)!r}: {a} and {b}"
        if self.summary is not None:
            text += f"; {self.summary.steps} of {self.summary.total} batches in {self.summary.seconds / 60:.1f} min"
        return text + f"). Convert with .to({b!r}) or .to({a!r})"


@dataclass(frozen=True)
class Converter:
    """Converts songs to one genre: call it."""

    genre: str
    translator: Translator
    run: RunDirectory  # whose recordings a band may borrow from

    def __call__(
        self, song: PathLike | Array, rate: int | None = None, strength: float = 1.0, band: float = 0.0
    ) -> Song:
        """Convert a file, or samples with their rate.

        Args:
            song: a path, or float samples [N] or [N, channels].
            rate: of the samples, in Hz; a file has its own.
            strength: 0 gives the song back, 1 converts wholly.
            band: how loud a band of the genre plays along: 0 not at all, 1 well, 2 twice that.

        Raises:
            ValueError: when there are samples without a rate, or what is given cannot be converted.
        """
        name = os.fspath(song) if isinstance(song, str | os.PathLike) else "the song"
        if isinstance(song, str | os.PathLike):
            wave = sound.read_wave(song)
            song, rate = wave.samples, wave.sample_rate
        if rate is None:
            raise ValueError("samples need their rate in Hz, as in to_jazz(samples, 44_100)")
        musicians = Band(self.genre, band).from_run(self.run, Bar) if band else None
        made = self.translator(song, rate, strength, name=name)
        return Song(made if musicians is None else musicians.over(made, song, rate), rate)

    def __repr__(self) -> str:
        """Say what a call gives."""
        return f"Converter to {self.genre}: call it with a path, or with samples and their rate"


@dataclass(frozen=True)
class Song:
    """Converted sound; a notebook that shows it plays it."""

    samples: Array  # float32 [N] or [N, channels]
    rate: int  # Hz

    def save(self, path: PathLike) -> Path:
        """Write WAV of 16 bit, in place of what has that name."""
        sound.write_wave(path, self.samples, self.rate, "PCM_16")
        return Path(path)

    def _repr_html_(self) -> str:
        """Play the sound in a notebook, where IPython is."""
        from IPython.display import Audio

        return Audio(self.samples.T, rate=self.rate, normalize=False)._repr_html_()

    def __repr__(self) -> str:
        """Say how long it is."""
        channels = 1 if self.samples.ndim == 1 else self.samples.shape[1]
        length = len(self.samples) / self.rate
        return f"Song({length:.1f} s, {self.rate} Hz, {channels} channel{'s' if channels > 1 else ''})"


class Measures(dict[str, Any]):
    """The report of an evaluation, which shows itself as sentences and a table."""

    def __repr__(self) -> str:
        """Write what the command prints."""
        return evaluation.summary(self)


def load(run: PathLike) -> Run:
    """Open a run by its path, or a bundled one by its name.

    Raises:
        ConfigError: when there is none.
    """
    return Run(RunDirectory.open(run))


def fit(
    *audio_dirs: PathLike,
    pair: str | None = None,
    run_dir: PathLike | None = None,
    minutes: float = math.inf,
    settings: Sequence[str] = (),
    config_file: PathLike | None = None,
) -> Run:
    """Train one pair as `gst_jax train` does; called again it goes on, and a finished run is returned at once.

    Args:
        *audio_dirs: each holds a folder per genre, or is "corpus", the built-in music; none is the latter alone.
        pair: two genres, as "folk_jazz"; None: the two there are, or folk_rock.
        run_dir: where the run is kept; None: runs/PAIR.
        minutes: of stepping, at most.
        settings: as "training.epochs=3".
        config_file: TOML file of settings, or a bundled name.

    Raises:
        ConfigError, AudioError, TrainingError: as the command says them.
    """
    pairs = data.find_pairs(pair, data.find_audio_dirs(audio_dirs), default="folk_rock")
    if len(pairs) > 1:
        raise config.ConfigError("fit trains one pair; call it once for each")
    place = Path(run_dir or Path("runs", "_".join(pairs[0])))
    listen = functools.partial(held_out.prepare, progress=Bar)
    options: dict[str, Any] = {"audio_dirs": audio_dirs, "minutes": minutes, "say": say, "progress": Bar}
    summary = loop.train(pairs[0], config.load(config_file, list(settings)), place, listen=listen, **options)
    return Run(RunDirectory.open(place), summary)


def measure(run: Run | PathLike, audio_dir: PathLike | None = None, split: str = "validation") -> Measures:
    """Measure a run beside methods that learn nothing, as `gst_jax evaluate` does; it takes minutes.

    Args:
        run: what `load` or `fit` returned, or its path.
        audio_dir: holds a folder of other recordings for each genre, to measure on.
        split: of the built-in tunes: validation, to choose by, or test, to report once.
    """
    path = run.directory.path if isinstance(run, Run) else run
    return Measures(evaluation.evaluate(path, split, (), Bar, audio_dir))
