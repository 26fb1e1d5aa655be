"""Measure generators on held-out excerpts while they train: how near in style, and how many notes are left."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gst_jax import data, sound
from gst_jax.conversion.translator import ConversionError, Translator, compiled
from gst_jax.evaluation import analysis
from gst_jax.evaluation.methods import LogMels, equaliser
from gst_jax.evaluation.metrics import bands, content, style
from gst_jax.evaluation.metrics.transcription import Transcription, transcribe
from gst_jax.evaluation.progress import shown
from gst_jax.learning import cyclegan, models
from gst_jax.learning.loop import Metrics
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array, Progress

_EXCERPTS, _SECONDS = 4, 10.0  # of each genre, that are converted
_LONGEST = 60.0  # seconds of a track that excerpts are cut from
_TRACKS, _UNSEEN, _TRACK_SECONDS = 16, 4, 20.0  # real music of each genre to compare to, so much of it held out
_LEAST_DEVIATION = 0.1  # dB
_ENOUGH = 0.75  # of the notes that the equaliser keeps


@dataclasses.dataclass(frozen=True)
class _Excerpt:
    """A piece to convert, with its notes."""

    waveform: Array  # [N] at the run's sample rate and level
    notes: Transcription


@dataclasses.dataclass(frozen=True)
class Ear:
    """What the generators of a run are measured by; call it with both of them."""

    run: RunDirectory
    excerpts: dict[str, list[_Excerpt]]  # by genre
    reference: dict[str, list[Array]]  # by genre: windows of real tracks from `bands.describe`, [W_i, D] each
    scale: tuple[Array, Array]  # mean and deviation of all those windows, [D] each
    fine_structure: dict[str, Array]  # by genre
    enough_notes: float = 0.0  # fewer make the score smaller

    def __call__(self, generators: cyclegan.Parameters) -> Metrics:
        """Measure generators `{"ab", "ba"}`, averaged over both directions.

        Returns:
            `style`: 1 less the kernel distance (maximum mean discrepancy) to real music of the target, so 1 is inside
            it. `notes`: the F-measure of the semitones that sound. `score`: the style, less where notes are lost.
        """
        return self._measure(
            lambda source, target: compiled(
                generators["ab" if target == self.run.pair[1] else "ba"], self.run, source, target
            )
        )

    def equaliser(self) -> Metrics:
        """Measure the equaliser, as a call measures generators."""
        return self._measure(functools.partial(equaliser, self.run))

    def _measure(self, make: Callable[[str, str], LogMels]) -> Metrics:
        parts = [self._direction(make, *direction) for direction in (self.run.pair, self.run.pair[::-1])]
        near, notes = np.mean(parts, axis=0)
        score = near * min(1.0, notes / self.enough_notes) if self.enough_notes else near
        return {"style": float(near), "notes": float(notes), "score": float(score)}

    def _direction(self, make: Callable[[str, str], LogMels], source: str, target: str) -> tuple[float, float]:
        """Return how near the conversions from one genre to another are, and how much of their notes is left."""
        audio = self.run.config.audio
        translator = Translator(
            audio=audio,
            generator=make(source, target),
            fine_structure=self.fine_structure[target],
            context=models.context(self.run.config.model),
            source=self.run.statistics[source],
            song_share=self.run.config.model.song_share,
        )
        excerpts = self.excerpts[source]
        try:
            made = [translator(excerpt.waveform, audio.sample_rate) for excerpt in excerpts]
        except ConversionError:  # what `convert` would refuse to write is the worst there is
            return 0.0, 0.0
        windows = [self._standardised(_described(waveform, self.run)) for waveform in made]
        real = [self._standardised(track) for track in self.reference[target]]
        width = style.bandwidth(np.concatenate(real))
        means = [style.kernel_means(*pair, width) for pair in ((windows, windows), (real, real), (windows, real))]
        notes = [
            content.agreement(excerpt.notes, _transcribed(waveform, audio.sample_rate))["pitch"]
            for excerpt, waveform in zip(excerpts, made, strict=True)
        ]
        return max(1 - float(np.sqrt(max(style.kernel_distance(*means), 0.0))), 0.0), float(np.mean(notes))

    def _standardised(self, windows: Array) -> Array:
        mean, deviation = self.scale
        return (windows - mean) / deviation


def prepare(run: RunDirectory, genres: Sequence[data.Genre], progress: Progress | None = None) -> Ear | None:
    """Read what the generators of a run will be measured by.

    Args:
        run: that trains.
        genres: the pair's, as loaded.
        progress: called like `tqdm.tqdm` on the tracks; None is silent.

    Returns:
        None where a genre has no track that does not train.
    """
    held_out = {genre.name: data.unseen_tracks(genre, run) for genre in genres}
    if not all(held_out.values()):
        return None
    training = {genre.name: [track.path for track in genre.recordings] for genre in genres}
    reference = {
        name: [_described(piece, run) for piece in _pieces(_chosen(paths, training[name]), run, progress)]
        for name, paths in held_out.items()
    }
    windows = np.concatenate([windows for tracks in reference.values() for windows in tracks])
    scale = windows.mean(axis=0), np.maximum(windows.std(axis=0), _LEAST_DEVIATION)
    excerpts = {name: _excerpts(paths, run) for name, paths in held_out.items()}
    ear = Ear(run, excerpts, reference, scale, {genre.name: genre.fine_structure for genre in genres})
    return dataclasses.replace(ear, enough_notes=_ENOUGH * ear.equaliser()["notes"])


def _chosen(unseen: Sequence[Path], training: Sequence[Path]) -> list[Path]:
    """Choose real tracks to compare to: unseen ones, and enough others of the training, evenly."""
    few = list(unseen[:_UNSEEN])
    places = np.unique(np.linspace(0, len(training) - 1, _TRACKS - len(few)).round().astype(int))
    return few + [training[place] for place in places]


def _pieces(paths: Sequence[Path], run: RunDirectory, progress: Progress | None) -> list[Array]:
    """Read the beginnings of tracks: [N] each."""
    tracks = shown(paths, progress, "reading what to measure by", "track")
    return [data.read_mono(path, run.config.audio, _TRACK_SECONDS) for path in tracks]


def _described(waveform: Array, run: RunDirectory) -> Array:
    return bands.describe(sound.log_mel(waveform, run.config.audio), run.config.audio)


def _excerpts(paths: Sequence[Path], run: RunDirectory) -> list[_Excerpt]:
    """Cut tracks into excerpts, those of one track spread over its first minute."""
    rate = run.config.audio.sample_rate
    length = int(_SECONDS * rate)
    tracks = [data.read_mono(path, run.config.audio, _LONGEST) for path in paths[:_EXCERPTS]]
    turns = -(-_EXCERPTS // len(tracks))  # excerpts of one track
    cut = []
    for number in range(_EXCERPTS):
        turn, track = divmod(number, len(tracks))
        start = max(len(tracks[track]) - length, 0) * turn // max(turns - 1, 1)
        excerpt = tracks[track][start:][:length]
        cut.append(_Excerpt(excerpt, _transcribed(excerpt, rate)))
    return cut


def _transcribed(waveform: Array, rate: int) -> Transcription:
    return transcribe(analysis.common(waveform, rate), analysis.ANALYSIS.sample_rate)
