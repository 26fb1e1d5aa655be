"""An arrangement: the notes and drum strokes of every role."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gst_jax.corpus.composition import LEAD_IN, PHRASE_BARS, Tune

LOWEST_VELOCITY, HIGHEST_VELOCITY = 12, 127


@dataclass(frozen=True)
class Note:
    """One pitched note, in seconds."""

    onset: float
    duration: float
    pitch: int  # MIDI
    velocity: int  # 1 to 127
    slide: float = 0.0  # semitones away where it starts, gliding to its pitch
    vibrato: float = 0.0  # semitones of depth


@dataclass(frozen=True)
class Hit:
    """One drum stroke, named by its role in the kit: low, back, tick, open, ghost, high, mid, floor, ride, crash."""

    onset: float  # seconds
    stroke: str
    velocity: int


@dataclass(frozen=True)
class Arrangement:
    """Everything that is played, whatever the instruments."""

    seconds: float
    tonic: int  # pitch class
    parts: dict[str, tuple[Note, ...]]  # by role: lead, harmony, chords, pad, drone, bass
    drums: tuple[Hit, ...]


class Score:
    """Collect notes on the beat grid of a tune and play them as people do: loosely, swung where asked."""

    def __init__(self, tune: Tune, rng: np.random.Generator, swing: float = 0.5, looseness: float = 0.006) -> None:
        """Start an empty score.

        Args:
            tune: gives the grid.
            rng: moves onsets and velocities.
            swing: where in a beat its second half starts; 0.5 is straight, 0.667 a triplet.
            looseness: deviation of onsets in seconds.
        """
        self.tune = tune
        self.rng = rng
        self.swing = swing
        self.looseness = looseness
        self.parts: dict[str, list[Note]] = {}
        self.drums: list[Hit] = []
        # Loudness of each phrase: a piece breathes.
        self.strength = [float(rng.uniform(0.82, 1.0)) for _ in tune.phrases]

    def note(
        self,
        role: str,
        beat: float,
        beats: float,
        pitch: int,
        velocity: float,
        slide: float = 0.0,
        vibrato: float = 0.0,
        late: float = 0.0,
    ) -> None:
        """Add a note of `role`; `beat` counts from the first beat, `late` is in seconds."""
        onset = max(0.0, self._seconds(beat) + late + self.rng.normal(0.0, self.looseness))
        end = self._seconds(beat + beats) + late
        loudness = self._loudness(beat, velocity)
        note = Note(round(onset, 5), round(max(0.04, end - onset), 5), pitch, loudness, slide, vibrato)
        self.parts.setdefault(role, []).append(note)

    def hit(self, beat: float, stroke: str, velocity: float) -> None:
        """Add a drum stroke."""
        onset = max(0.0, self._seconds(beat) + self.rng.normal(0.0, self.looseness / 2))
        self.drums.append(Hit(round(onset, 5), stroke, self._loudness(beat, velocity)))

    def phrase_of(self, bar: int) -> str:
        """Return the letter of the phrase that a bar belongs to."""
        return self.tune.phrases[bar // PHRASE_BARS]

    def finish(self) -> Arrangement:
        """Return what was collected, in order of time."""
        return Arrangement(
            seconds=self.tune.seconds,
            tonic=self.tune.tonic,
            parts={role: tuple(sorted(notes, key=lambda note: note.onset)) for role, notes in self.parts.items()},
            drums=tuple(sorted(self.drums, key=lambda hit: hit.onset)),
        )

    def _seconds(self, beat: float) -> float:
        whole, part = divmod(beat, 1.0)
        if part < 0.5:
            part = part * 2 * self.swing
        else:
            part = self.swing + (part - 0.5) * 2 * (1 - self.swing)
        return LEAD_IN + (whole + part) * self.tune.beat_seconds

    def _loudness(self, beat: float, velocity: float) -> int:
        phrase = min(int(beat) // (PHRASE_BARS * self.tune.meter), len(self.strength) - 1)
        loudness = velocity * self.strength[phrase] + self.rng.normal(0.0, 4.0)
        return int(np.clip(round(loudness), LOWEST_VELOCITY, HIGHEST_VELOCITY))
