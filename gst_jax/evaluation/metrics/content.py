"""Compare the notes, chords and beats of two sounds: how much of the music survived a conversion.

The F-measures equal those of mir_eval 0.8.2 (to 1e-16 on random events and notes) and are too short for a dependency.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gst_jax.evaluation.metrics.transcription import Transcription
from gst_jax.types import Array

ONSET_TOLERANCE = 0.05  # seconds, as in MIREX
BEAT_TOLERANCE = 0.07  # seconds, as in MIREX
MEASURES = ("chroma", "pitch", "note", "chord", "onset", "beat")


def agreement(one: Transcription, other: Transcription) -> dict[str, float]:
    """Return how well two transcriptions agree, from 0 to 1.

    Returns:
        By the names in MEASURES: `chroma`, the mean cosine of frames; `pitch`, the F-measure of the semitones that
        sound in each frame; `note`, the F-measure of notes of the same semitone that start within 50 ms; `chord`,
        the share of frames with the same triad; `onset` and `beat`, the F-measures of times within 50 and 70 ms.
    """
    frames = min(len(one.roll), len(other.roll))
    chroma = np.sum(one.chroma[:frames] * other.chroma[:frames], axis=1)
    sounding = np.any(one.roll[:frames], axis=1) | np.any(other.roll[:frames], axis=1)
    chords = (one.chords[:frames], other.chords[:frames])
    named = (chords[0] >= 0) | (chords[1] >= 0)
    shared = np.sum(one.roll[:frames] & other.roll[:frames])
    return {
        "chroma": _mean(chroma[sounding]),
        "pitch": f_measure(int(shared), int(one.roll[:frames].sum()), int(other.roll[:frames].sum())),
        "note": note_f_measure(one.notes, other.notes),
        "chord": _mean((chords[0] == chords[1])[named]),
        "onset": event_f_measure(one.onsets, other.onsets, ONSET_TOLERANCE),
        "beat": event_f_measure(one.beats, other.beats, BEAT_TOLERANCE),
    }


def above_chance(sources: Sequence[Transcription], conversions: Sequence[Transcription]) -> dict[str, Array]:
    """Return the agreement of each song with its conversion, minus what unrelated songs reach by chance.

    Args:
        sources: of the songs, [songs].
        conversions: of the same songs in the same order, [songs].

    Returns:
        For each of MEASURES [songs]: the agreement of song i with its own conversion, minus its mean agreement with
        the conversions of the other songs (nothing is subtracted when there is no other).
    """
    every = [[agreement(source, conversion) for conversion in conversions] for source in sources]
    matrices = {name: np.array([[cell[name] for cell in row] for row in every]) for name in MEASURES}
    others = ~np.eye(len(sources), dtype=bool)
    return {
        name: np.diag(matrix) - (matrix * others).sum(axis=1) / np.maximum(others.sum(axis=1), 1)
        for name, matrix in matrices.items()
    }


def event_f_measure(one: Array, other: Array, tolerance: float) -> float:
    """Return the F-measure of two sorted lists of times, [n] and [m] seconds, matched one to one."""
    return f_measure(_matches(one, other, tolerance), len(one), len(other))


def note_f_measure(one: Array, other: Array) -> float:
    """Return the F-measure of notes [n, 2] (onset in seconds, MIDI number) matched at the same semitone."""
    matches = sum(
        _matches(np.sort(one[one[:, 1] == pitch, 0]), np.sort(other[other[:, 1] == pitch, 0]), ONSET_TOLERANCE)
        for pitch in np.intersect1d(one[:, 1], other[:, 1])
    )
    return f_measure(matches, len(one), len(other))


def f_measure(matches: int, one: int, other: int) -> float:
    """Return the harmonic mean of precision and recall; 1 when both sides are empty."""
    return 2 * matches / (one + other) if one + other else 1.0


def _matches(one: Array, other: Array, tolerance: float) -> int:
    """Count the pairs of the largest one-to-one matching of sorted times, which on a line the greedy one is."""
    count = first = second = 0
    while first < len(one) and second < len(other):
        difference = one[first] - other[second]
        if abs(difference) <= tolerance + 1e-9:
            count, first, second = count + 1, first + 1, second + 1
        elif difference < 0:
            first += 1
        else:
            second += 1
    return count


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else 1.0
