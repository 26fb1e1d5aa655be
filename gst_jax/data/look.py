"""Look at two genres before they are trained on: say what would be learned in place of their style."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.data.genres import Genre, Track, drawn
from gst_jax.sound import levels
from gst_jax.types import Array

_ENOUGH_MINUTES = 2.0  # less is learned by heart before anything else is
_LISTENED = 10_000  # frames of a recording, two and a half minutes, that are looked at
_RECORDINGS = 128  # of a genre, at most, that are; drawn by their names, so that copies of one name meet

_DIVISIONS, _UNLIKELY = 200, 0.05  # of recordings at random, of which so few may be as far apart as the genres
_TELLING = 5  # recordings of a genre, at least: fewer can be divided in too few ways

_HEARD, _RARE = sound.LOG_MEL_FLOOR + 5, 0.99  # dB that a band in use reaches, in one frame of a hundred
_NARROWER = 0.85  # how far up one genre reaches, over the other: below, its recordings were cut

_BANDS = 32  # of a fingerprint: 31 bits say which of two neighbouring bands grew more
_BLUR, _LATER = 24, 12  # frames that are averaged, and over which they grow
_COMMON = 20  # times that a fingerprint may occur in a genre: more often, it is of something that stands still
_SLACK = 4  # frames by which the lag of a copy may be taken for another
_SAME = 20  # fingerprints in common at one lag; `results/cautions.json` says how often that is right


def cautions(a: Genre, b: Genre, audio: AudioConfig) -> list[str]:
    """Return what to say, a line each, of music that is too little, too alike, in both genres, or cut off.

    Loudness is not looked at: every recording is brought to one level.

    Args:
        a: a genre.
        b: the genre to be learned beside it.
        audio: how both became frames.
    """
    said = []
    for genre in (a, b):
        if genre.minutes < _ENOUGH_MINUTES:
            seconds = 60 * genre.minutes
            said.append(f"only {seconds:.0f} s of {genre.name}: too little to learn from; half an hour is good")
    if copies := find_copies(a, b):
        (one, other), *more = copies
        and_more = f" (and {len(more)} more)" if more else ""
        said.append(
            f"{a.name}/{one.path.name} and {b.name}/{other.path.name} are one recording{and_more}: "
            "keep each in one folder"
        )
    if _alike(a, b):
        said.append(
            f"{a.name} and {b.name} differ no more than their recordings dealt out at random: little to learn"
        )
    (narrow, low), (wide, high) = sorted((_reach(genre, audio), genre.name) for genre in (a, b))
    if narrow < _NARROWER * wide:
        said.append(
            f"{low} mostly ends at {narrow:.0f} Hz, {high} at {wide:.0f} Hz: the model would learn that as style; "
            "take recordings that reach alike"
        )
    return said


def _heard(genre: Genre) -> list[Track]:
    """Return the recordings of a genre that are looked at."""
    chosen = set(drawn([track.path for track in genre.recordings], _RECORDINGS))
    return [track for track in genre.recordings if track.path in chosen]


def _frames(genre: Genre) -> Iterator[Array]:
    """Yield the frames [t, M] dB of each recording that is looked at, two and a half minutes at most."""
    for track in _heard(genre):
        yield genre.log_mel[track.start : track.start + min(track.frames, _LISTENED)]


def _alike(a: Genre, b: Genre) -> bool:
    """Tell whether the recordings of two genres, dealt out at random, would often differ as much as the genres do.

    How much is how far apart the levels of the bands are (a permutation test).
    """
    if min(len(a.recordings), len(b.recordings)) < _TELLING:
        return False
    moments = []
    for frames in itertools.chain(_frames(a), _frames(b)):
        song = levels.Levels(frames.shape[1])
        song.add(frames, pauses=False)
        squares = song.deviation**2 + song.mean**2
        moments.append(song.frames * np.stack([np.ones_like(squares), song.mean, squares]))
    rng = np.random.default_rng(0)
    dealt = np.arange(len(moments)) < len(_heard(a))
    ways = np.stack([dealt, *(rng.permutation(dealt) for _ in range(_DIVISIONS))])
    one, other = (_levels_of(np.tensordot(way.astype(float), np.array(moments), 1)) for way in (ways, ~ways))
    apart = levels.divergence(*one, *other) + levels.divergence(*other, *one)
    return float(np.mean(apart[1:] >= apart[0])) > _UNLIKELY


def _levels_of(moments: Array) -> tuple[Array, Array]:
    """Return mean and deviation [..., M] of summed moments [..., 3, M]."""
    count, total, squares = np.moveaxis(moments, -2, 0)
    count = np.maximum(count, 1)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, levels.MIN_DEVIATION**2))


def _reach(genre: Genre, audio: AudioConfig) -> float:
    """Return up to which frequency half of a genre's recordings reach, Hz."""
    bins = np.fft.rfftfreq(audio.n_fft, 1 / audio.sample_rate)
    tops = np.array([bins[np.flatnonzero(band)[-1]] if band.any() else 0.0 for band in sound.mel_filters(audio)])
    used = (np.quantile(frames, _RARE, axis=0) > _HEARD for frames in _frames(genre))
    return float(np.median([tops[bands].max(initial=0.0) for bands in used]))


def find_copies(a: Genre, b: Genre) -> list[tuple[Track, Track]]:
    """Find recordings that are in both genres, also in another format, at another level, or cut at the start.

    A fingerprint is a whole number a frame (Haitsma & Kalker 2002, "A highly robust audio fingerprinting system"):
    copies have many in common at one lag. They are looked up in a sorted list, so that it takes time in proportion
    to the music, not to the pairs of recordings.
    """
    prints, tracks, times = _fingerprints(_frames(a))
    others, other_tracks, other_times = _fingerprints(_frames(b))
    first, last = (np.searchsorted(others, prints, side) for side in ("left", "right"))
    found = np.where(last - first <= _COMMON, last - first, 0)
    mine = np.repeat(np.arange(len(prints)), found)
    theirs = np.repeat(first, found) + np.arange(len(mine)) - np.repeat(np.cumsum(found) - found, found)
    lags = (times[mine] - other_times[theirs]) // _SLACK
    pairs, counts = np.unique(np.stack([tracks[mine], other_tracks[theirs], lags]), axis=1, return_counts=True)
    same = dict.fromkeys((int(one), int(other)) for one, other, _ in pairs[:, counts >= _SAME].T)
    ours, yours = _heard(a), _heard(b)
    return [(ours[one], yours[other]) for one, other in same]


def _fingerprints(recordings: Iterable[Array]) -> tuple[Array, Array, Array]:
    """Return the fingerprints of recordings, sorted, with the number of the recording and the frame of each."""
    found: list[Sequence[Array]] = []
    for number, frames in enumerate(recordings):
        edges = np.linspace(0, frames.shape[1], _BANDS + 1).astype(int)
        sums = np.cumsum(np.add.reduceat(frames, edges[:-1], axis=1, dtype=np.float64) / np.diff(edges), axis=0)
        blurred = (sums[_BLUR:] - sums[:-_BLUR]) / _BLUR
        slopes = np.diff(blurred, axis=1)
        bits = slopes[_LATER:] > slopes[:-_LATER]
        loud = np.flatnonzero(blurred[_LATER:].max(axis=1, initial=sound.LOG_MEL_FLOOR) > levels.PAUSE)
        found.append((bits[loud] @ (1 << np.arange(_BANDS - 1)), np.full(len(loud), number), loud))
    prints, tracks, times = (np.concatenate(parts, dtype=np.int32) for parts in zip(*found, strict=True))
    order = np.argsort(prints, kind="stable")
    return prints[order], tracks[order], times[order]
