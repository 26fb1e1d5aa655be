"""Make what a listener compares: a song, its conversions, what learned nothing, and the truth where there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gst_jax import data, sound
from gst_jax.band import playing
from gst_jax.conversion import accompaniment
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.evaluation import methods
from gst_jax.evaluation.songs import on_corpus
from gst_jax.presentation.player import Version
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array

STRENGTHS = (0.5, 0.75, 1.0)
_SONGS = 2  # of each direction
_SECONDS = 8.0  # that are heard
_CONTEXT = 16.0  # seconds around them that are converted, so that a band has bars to listen to


@dataclass(frozen=True)
class Song:
    """A piece of a track that is converted, and the part of it that is heard."""

    name: str
    source: str  # its genre
    target: str  # the other one
    samples: Array  # float32 [N, C]
    sample_rate: int  # Hz
    heard: slice  # of the samples
    truth: Array | None = None  # the same tune as the target genre plays it, [N', C] at the same rate


def songs(run: RunDirectory) -> list[Song]:
    """Return the songs by which a run is heard, in both directions, unseen where there are such.

    Raises:
        AudioError: when its audio is gone.
    """
    tracks = data.sample_tracks(run, _SONGS)
    paired = on_corpus(run)
    found = []
    for source, target in (run.pair, run.pair[::-1]):
        for number, path in enumerate(tracks[source]):
            name = f"{'tune' if paired else 'song'} {number + 1}"
            found.append(song(name, source, target, path, tracks[target][number] if paired else None))
    return found


def song(name: str, source: str, target: str, path: Path, truth: Path | None = None) -> Song:
    """Read a song from the middle of a track.

    Args:
        name: to call it by.
        source: its genre.
        target: the genre to convert to.
        path: of the track.
        truth: of the same tune in the target genre, as long and at the same speed.
    """
    track = sound.read_wave(path)
    rate = track.sample_rate
    around = _middle(len(track.samples), round(_CONTEXT * rate))
    samples = track.samples[around]
    true = None if truth is None else sound.read_wave(truth)
    return Song(
        name=name,
        source=source,
        target=target,
        samples=samples,
        sample_rate=rate,
        heard=_middle(len(samples), round(_SECONDS * rate)),
        truth=None if true is None else sound.resample(true.samples, true.sample_rate, rate)[around],
    )


def _middle(length: int, wanted: int) -> slice:
    start = max(0, (length - wanted) // 2)
    return slice(start, min(start + wanted, length))


def versions(run: RunDirectory, song: Song, strengths: Sequence[float] = STRENGTHS) -> list[Version]:
    """Return the versions of a song, the original first.

    Args:
        run: whose generators convert.
        song: of its pair.
        strengths: of the conversions.

    Raises:
        CheckpointError: when nothing was trained yet.
    """
    source, target, rate = song.source, song.target, song.sample_rate
    trained = Translator.from_run(run, to=target)
    equalised = dataclasses.replace(trained, generator=methods.equaliser(run, source, target))
    beginning = dataclasses.replace(trained, generator=methods.untrained(run, source, target))
    found = [Version("Original", f"{source}, as played", song.samples[song.heard], rate)]
    for strength in strengths:
        made = trained(song.samples, rate, strength)
        ours = Version("Converted", "by the model", made[song.heard], rate, strength, chosen=strength == 1)
        found.append(ours)
        if strength == 1 and (played := _with_band(made, song)) is not None:
            found.append(dataclasses.replace(ours, samples=played[song.heard], has_band=True, chosen=False))
    for name, note, translator in (
        ("Equaliser", "learns nothing", equalised),
        ("Untrained", "where training began", beginning),
    ):
        found.append(Version(name, note, translator(song.samples, rate)[song.heard], rate))
    if song.truth is not None:
        part = song.truth[song.heard]
        missing = (song.heard.stop - song.heard.start) - len(part)
        part = np.pad(part, ((0, max(missing, 0)), (0, 0)))
        found.append(Version(f"True {target}", "the same tune, arranged", part, rate))
    return found


def _with_band(made: Array, song: Song) -> Array | None:
    """Let a band play along with a conversion; None where there is none, or it stays silent."""
    if song.target not in playing.GENRES:
        return None
    band, sheet = Band(song.target), accompaniment.hear([song.samples], song.sample_rate)
    if band.why_silent(sheet):
        return None
    return np.concatenate(list(band.along([made], sheet, song.sample_rate)))
