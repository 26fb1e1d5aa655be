"""Measure generators on held-out excerpts while they train: how near in style, and how many notes are left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gst_jax import data
from gst_jax.conversion.translator import ConversionError, Translator, compiled
from gst_jax.evaluation import analysis, rivals
from gst_jax.evaluation.metrics import content, style
from gst_jax.evaluation.metrics.transcription import Transcription, transcribe
from gst_jax.evaluation.progress import shown
from gst_jax.learning import cyclegan, models
from gst_jax.learning.loop import Metrics
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array, Progress

_EXCERPTS, _SECONDS = 4, 10.0  # of each genre, that are converted
_LONGEST = 60.0  # seconds of a track that excerpts are cut from
_TRACKS, _TRACK_SECONDS = 8, 20.0  # of each genre, to tell genres apart by

Generator = Callable[[Array], Array]  # log-mels in dB [T, M] -> [T, M]


@dataclasses.dataclass(frozen=True)
class _Excerpt:
    """A piece to convert, with its notes."""

    waveform: Array  # [N] at the run's sample rate and level
    notes: Transcription


@dataclasses.dataclass(frozen=True)
class Ear:
    """What the generators of a run are measured by; call it with both of them."""

    run: RunDirectory
    embedding: style.StyleEmbedding
    width: float  # of the kernel
    excerpts: dict[str, list[_Excerpt]]  # by genre
    reference: dict[str, list[Array]]  # by genre: real tracks in the embedding, [W_i, K] each
    fine_structure: dict[str, Array]  # by genre

    def __call__(self, generators: cyclegan.Parameters) -> Metrics:
        """Measure generators `{"ab", "ba"}`, averaged over both directions.

        Returns:
            `style`: 1 less the kernel distance (maximum mean discrepancy) to real music of the target, so 1 is inside
            it. `notes`: the F-measure of the semitones that sound. `score`: their harmonic mean.
        """
        return self._measure(
            lambda source, target: compiled(
                generators["ab" if target == self.run.pair[1] else "ba"], self.run, source, target
            )
        )

    def equaliser(self) -> Metrics:
        """Measure the equaliser, as a call measures generators."""

        def make(source: str, target: str) -> Generator:
            before, after = self.run.statistics[source], self.run.statistics[target]
            return lambda log_mel: rivals.equalise(log_mel, before, after)

        return self._measure(make)

    def _measure(self, make: Callable[[str, str], Generator]) -> Metrics:
        parts = [self._direction(make, *direction) for direction in (self.run.pair, self.run.pair[::-1])]
        near, notes = np.mean(parts, axis=0)
        return {"style": float(near), "notes": float(notes), "score": float(2 * near * notes / (near + notes + 1e-9))}

    def _direction(self, make: Callable[[str, str], Generator], source: str, target: str) -> tuple[float, float]:
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
        windows = [analysis.embed(waveform, audio.sample_rate, self.embedding) for waveform in made]
        means = [
            style.kernel_means(one, other, self.width)
            for one, other in (
                (windows, windows),
                (self.reference[target], self.reference[target]),
                (windows, self.reference[target]),
            )
        ]
        distance = np.sqrt(max(style.kernel_distance(*means), 0.0))
        notes = [
            content.agreement(excerpt.notes, _transcribed(waveform, audio.sample_rate))["pitch"]
            for excerpt, waveform in zip(excerpts, made, strict=True)
        ]
        return max(1 - distance, 0.0), float(np.mean(notes))


def prepare(run: RunDirectory, genres: Sequence[data.Genre], progress: Progress | None = None) -> Ear | None:
    """Read what the generators of a run will be measured by.

    Args:
        run: that trains.
        genres: the pair's, as loaded.
        progress: called like `tqdm.tqdm` on the tracks; None is silent.

    Returns:
        None where a genre has no track that does not train.
    """
    audio = run.config.audio
    held_out = {genre.name: data.unseen_tracks(genre, run) for genre in genres}
    if not all(held_out.values()):
        return None
    training = {genre.name: _pieces([track.path for track in genre.recordings], run, progress) for genre in genres}
    embedding = analysis.fit_embedding(training, audio.sample_rate, progress)
    unseen = {name: _pieces(paths, run, progress) for name, paths in held_out.items()}
    reference = {
        name: [analysis.embed(piece, audio.sample_rate, embedding) for piece in [*pieces, *training[name]][:_TRACKS]]
        for name, pieces in unseen.items()
    }
    width = style.bandwidth(np.concatenate([windows for tracks in reference.values() for windows in tracks]))
    excerpts = {name: _excerpts(paths, run) for name, paths in held_out.items()}
    structures = {genre.name: genre.fine_structure for genre in genres}
    return Ear(run, embedding, width, excerpts, reference, structures)


def _pieces(paths: Sequence[Path], run: RunDirectory, progress: Progress | None) -> list[Array]:
    """Read the beginnings of tracks, evenly chosen where there are many: [N] each."""
    chosen = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, _TRACKS).round().astype(int))]
    tracks = shown(chosen, progress, "reading what to measure by", "track")
    return [data.read_mono(path, run.config.audio, _TRACK_SECONDS) for path in tracks]


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
