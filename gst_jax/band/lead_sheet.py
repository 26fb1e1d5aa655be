"""What an accompanist needs to know of a song: when its beats fall, its key, and a chord for each bar."""

from __future__ import annotations

from dataclasses import dataclass

from gst_jax.corpus.composition import Mode
from gst_jax.types import Array


@dataclass(frozen=True)
class Confidence:
    """How sure the ear was of each thing that it heard, from 0 (a guess) to 1 (certain)."""

    beats: float
    downbeats: float
    key: float
    chords: float


STEPS = 4  # of a beat: sixteenth notes where a beat is a quarter


@dataclass(frozen=True)
class Steps:
    """What sounds in each step of a song's beats, as the bars of two songs are compared by it."""

    notes: Array  # how strongly each pitch class sounds, float32 [beats * STEPS, 12]
    bass: Array  # the same of the low ones
    onsets: Array  # how far what begins there stands out, in deviations, float32 [beats * STEPS]
    balance: Array  # dB in each band against the song's mean there, float32 [beats * STEPS, `features.BANDS`]


@dataclass(frozen=True)
class LeadSheet:
    """A song as its accompanist sees it, of whole bars.

    Sound before the first bar line (a pickup, an intro without a beat) and after the last is left to the song.
    """

    seconds: float  # the song's length
    beats: Array  # seconds of every beat, rising, float64 [bars * meter + 1]; the last is the end of the last bar
    meter: int  # beats in a bar, 3 or 4
    tonic: int  # pitch class, 0 = C
    mode: Mode
    chords: tuple[int, ...]  # the root's scale degree in that mode, one a bar
    phrases: str  # a letter for every four bars; the same letter where the music is alike
    levels: Array  # dB of each bar against the song's loudest bars, at most 0, float64 [bars]
    tuning: float  # cents of the song's A above 440 Hz
    confidence: Confidence
    steps: Steps

    @property
    def bars(self) -> int:
        """Return the length in bars."""
        return len(self.chords)
