"""Find the key of a song and a chord for each of its bars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gst_jax.band.features import LOWEST_PITCH, PITCH_FPS, Features
from gst_jax.corpus.composition import MODES, PHRASE_BARS, Mode
from gst_jax.types import Array

# Semitones of a note's harmonics above it, and how much weaker each is than the one before.
_HARMONICS = (0, 12, 19, 24, 28, 31, 34, 36, 38, 40)
_DECAY = 0.9
_ROUNDS = 30
_NOTES, _BASS = slice(8, 60), slice(0, 24)  # rows of pitches: from 52 Hz to 1480 Hz, from 41 Hz to 156 Hz

# What a bar is expected to hold, as weights: how the corpus' training and validation tunes are told best.
_CHORD = (1.0, 0.5, 1.0, 0.03)  # root, third, fifth, seventh
_SCALE, _ELSEWHERE, _TONIC = 0.17, 0.036, 0.22  # any note of the scale, any note at all, a drone
_LEAKS = ((7, 0.08), (4, 0.09), (10, 0.1))  # what remains of harmonics, semitones above a note
_BASS_CHORD = (1.0, 0.14, 0.4, 0.0)
_BASS_SCALE, _BASS_ELSEWHERE = 0.03, 0.08
_BASS_WEIGHT, _FIRST_BASS_WEIGHT = 0.13, 0.36  # of the bass in a bar, on its first beat; the notes weigh 1
# In nats a bar, beside the notes' own:
_DIMINISHED = 1.0  # against a diminished triad
_STAY = 0.09  # against the same chord twice
_HOME = 0.05  # for the tonic's chord
_FIRST, _PHRASE, _LAST = 0.5, 0.25, 0.5  # for it in the first bar, at the start of each phrase, in the last bar
_SURENESS = 2.6  # independent notes that a bar's sound is worth
_SURE_BARS = 24  # more bars than this repeat one another


@dataclass(frozen=True)
class Chroma:
    """How strongly each pitch class sounds over time, at PITCH_FPS."""

    notes: Array  # float64 [P, 12]
    bass: Array  # float64 [P, 12]


@dataclass(frozen=True)
class BarChroma:
    """What sounds in each bar, shares that sum to 1 or nothing."""

    notes: Array  # [bars, 12]
    bass: Array  # [bars, 12]
    first_bass: Array  # [bars, 12], on the first beat


@dataclass(frozen=True)
class Harmony:
    """A key and a chord for each bar."""

    tonic: int  # pitch class
    mode: Mode
    chords: tuple[int, ...]  # scale degrees
    scale_chance: float  # of its seven notes, 0 to 1
    chord_chance: float  # of its chords, the mean over the bars


def listen(features: Features) -> Chroma:
    """Take the harmonics out of the pitches that were measured, and fold what is left into pitch classes.

    Each frame is a sum of notes with harmonics, no note negative (Lee & Seung's multiplicative rule).
    """
    size = features.pitches.shape[1]
    notes = np.eye(size)
    for number, semitones in enumerate(_HARMONICS):
        notes += (_DECAY**number if number else 0.0) * np.eye(size, k=semitones)
    heard = features.pitches.astype(np.float64)
    played = heard + 1e-6
    wanted, product = heard @ notes.T, notes @ notes.T
    for _ in range(_ROUNDS):
        played *= wanted / (played @ product + 1e-9)
    classes = np.eye(12)[(LOWEST_PITCH + np.arange(size)) % 12]
    return Chroma(played[:, _NOTES] @ classes[_NOTES], played[:, _BASS] @ classes[_BASS])


def between(curve: Array, times: Array) -> Array:
    """Sum a curve [P, K] at PITCH_FPS between times in seconds [n + 1]: [n, K]."""
    total = np.concatenate([np.zeros((1, curve.shape[1])), np.cumsum(curve, axis=0)])
    place = np.clip(np.asarray(times) * PITCH_FPS + 0.5, 0, len(curve))
    below = np.minimum(place.astype(int), len(curve) - 1)
    part = (place - below)[:, None]
    return np.diff(total[below] * (1 - part) + total[below + 1] * part, axis=0)


def in_bars(notes: Array, bass: Array, first: int, meter: int) -> BarChroma:
    """Gather beats [beats, 12] into whole bars, the first at beat `first`."""
    bars = (len(notes) - first) // meter
    kept = slice(first, first + bars * meter)
    grouped, low = (beats[kept].reshape(bars, meter, 12) for beats in (notes, bass))
    return BarChroma(_shares(grouped.sum(axis=1)), _shares(low.sum(axis=1)), _shares(low[:, 0]))


def likely_keys(chroma: Chroma, seconds: float, count: int = 6) -> list[tuple[int, int]]:
    """Return the likeliest keys, (tonic, place in MODES), with a chord for every second instead of every bar."""
    times = np.arange(0.0, max(seconds, 1.0) + 0.5)
    notes, bass = between(chroma.notes, times), between(chroma.bass, times)
    fit = _fits(in_bars(notes, bass, 0, 1)).max(axis=3).sum(axis=2)
    return [(int(key) // len(MODES), int(key) % len(MODES)) for key in np.argsort(-fit, axis=None)[:count]]


def chord_fit(bars: BarChroma, keys: list[tuple[int, int]]) -> Array:
    """Return how well one chord explains each bar, in the key of `keys` that does best: nats, float64 [bars]."""
    fits = _fits(bars, keys).max(axis=2)
    return fits[fits.sum(axis=1).argmax()]


def harmonise(bars: BarChroma) -> Harmony:
    """Find the key and the chords that explain bars best, by Viterbi search in every key at once.

    Phrases may begin with the first bar, or one to three bars later where the song was cut or has an upbeat.
    """
    fits = _fits(bars)
    fits[:, :, -1, 0] += _LAST
    found = [_search(fits, start) for start in range(PHRASE_BARS)]
    scores, paths, fits = max(found, key=lambda one: float(one[0].max()))
    tonic, mode = (int(place) for place in np.unravel_index(scores.argmax(), scores.shape))
    chords = tuple(paths[tonic, mode].tolist())
    chances = _softmax(_SURENESS * fits[tonic, mode])[np.arange(len(chords)), chords]
    return Harmony(tonic, MODES[mode], chords, _scale_chance(scores, tonic, mode, len(chords)), float(chances.mean()))


def _search(fits: Array, start: int) -> tuple[Array, Array, Array]:
    """Find the best chords in each key, where the phrases begin at bar `start`, 0 to 3.

    Args:
        fits: log-likelihoods [12, modes, bars, 7].
        start: the bar.

    Returns:
        The score of each key [12, modes], its chords [12, modes, bars], the log-likelihoods with the phrases' share.
    """
    fits = fits.copy()
    fits[:, :, start::PHRASE_BARS, 0] += _PHRASE
    if start == 0:
        fits[:, :, 0, 0] += _FIRST - _PHRASE
    best, choices = fits[:, :, 0], []
    for bar in range(1, fits.shape[2]):
        reached = best[..., :, None] - _STAY * np.eye(7)
        choices.append(reached.argmax(axis=2))
        best = reached.max(axis=2) + fits[:, :, bar]
    path = [best.argmax(axis=2)]
    for choice in reversed(choices):
        path.append(np.take_along_axis(choice, path[-1][..., None], 2)[..., 0])
    return best.max(axis=2), np.stack(path[::-1], axis=2), fits


def _scale_chance(scores: Array, tonic: int, mode: int, bars: int) -> float:
    """Return the chance of a key's seven notes, which several keys share, given the scores of all [12, modes]."""
    chances = _softmax(_SURENESS * min(1.0, _SURE_BARS / bars) * scores.ravel()).reshape(scores.shape)
    own = _scale(tonic, MODES[mode])
    same = [[_scale(other, kind) == own for kind in MODES] for other in range(12)]
    return float(chances[np.array(same)].sum())


def _scale(tonic: int, mode: Mode) -> frozenset[int]:
    return frozenset((tonic + step) % 12 for step in mode.steps)


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _shares(chroma: Array) -> Array:
    return chroma / np.maximum(chroma.sum(axis=-1, keepdims=True), 1e-9)


def _fits(bars: BarChroma, keys: list[tuple[int, int]] | None = None) -> Array:
    """Return the log-likelihood in nats of each chord in each bar: [12, modes, bars, 7], or [keys, bars, 7]."""
    low = _BASS_WEIGHT * bars.bass + _FIRST_BASS_WEIGHT * bars.first_bass
    if keys is not None:
        return np.stack([_in_key(bars.notes, low, tonic)[mode] for tonic, mode in keys])
    return np.stack([_in_key(bars.notes, low, tonic) for tonic in range(12)])


def _in_key(notes: Array, low: Array, tonic: int) -> Array:
    """Return the log-likelihoods of the chords on a tonic: [modes, bars, 7]."""
    expected, expected_bass, prior = _expectations()
    above, below = np.roll(notes, -tonic, axis=1), np.roll(low, -tonic, axis=1)
    return above @ expected.swapaxes(1, 2) + below @ expected_bass.swapaxes(1, 2) + prior[:, None]


@lru_cache(maxsize=1)
def _expectations() -> tuple[Array, Array, Array]:
    """Return for each chord log shares of pitch classes above the tonic, [modes, 7, 12] twice, and priors [modes, 7].

    The first shares are of all notes, the second of the bass.
    """
    notes = np.full((len(MODES), 7, 12), _ELSEWHERE)
    bass = np.full_like(notes, _BASS_ELSEWHERE)
    prior = np.zeros((len(MODES), 7))
    prior[:, 0] = _HOME
    for number, mode in enumerate(MODES):
        steps = list(mode.steps)
        notes[number, :, steps] += _SCALE
        notes[number, :, 0] += _TONIC
        bass[number, :, steps] += _BASS_SCALE
        for degree in range(7):
            for third, (weight, bass_weight) in enumerate(zip(_CHORD, _BASS_CHORD, strict=True)):
                step = steps[(degree + 2 * third) % 7]
                notes[number, degree, step] += weight
                bass[number, degree, step] += bass_weight
            if (steps[(degree + 4) % 7] - steps[degree]) % 12 == 6:
                prior[number, degree] -= _DIMINISHED
    notes = notes + sum(share * np.roll(notes, semitones, axis=2) for semitones, share in _LEAKS)
    return np.log(_shares(notes)), np.log(_shares(bass)), prior
