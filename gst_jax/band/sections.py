"""Give the same letter to phrases of a song that are alike."""

from __future__ import annotations

import string

import numpy as np

from gst_jax.corpus.composition import PHRASE_BARS
from gst_jax.types import Array

_ALIKE = 0.7  # from here on two phrases share a letter
_LETTERS = string.ascii_uppercase + string.ascii_lowercase


def letter_phrases(notes: Array, chords: tuple[int, ...]) -> str:
    """Letter every four bars: a phrase gets the letter of the first one that it resembles, or one of its own.

    Args:
        notes: share of each pitch class in each bar, [bars, 12].
        chords: scale degrees, one a bar.
    """
    colour = notes - notes.mean(axis=0) if len(notes) else notes
    firsts: list[int] = []  # the bar that began each letter
    phrases = ""
    for bar in range(0, len(chords), PHRASE_BARS):
        likeness = [_likeness(colour, chords, first, bar) for first in firsts]
        best = int(np.argmax(likeness)) if likeness else -1
        if best < 0 or likeness[best] < _ALIKE and len(firsts) < len(_LETTERS):
            best = len(firsts)
            firsts.append(bar)
        phrases += _LETTERS[best]
    return phrases


def _likeness(colour: Array, chords: tuple[int, ...], first: int, second: int) -> float:
    """Compare two phrases, bar by bar as far as both go: the same chords and correlated notes give 1."""
    count = min(PHRASE_BARS, len(chords) - second)
    same = np.mean(np.equal(chords[first : first + count], chords[second : second + count]))
    one, other = (colour[start : start + count].ravel() for start in (first, second))
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(same + (one @ other / size if size > 0 else 1.0)) / 2
