"""Compose tunes by rule: melodies over chords, before a genre arranges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

PHRASE_BARS = 4
LEAD_IN = 0.1  # seconds before the first beat, room for a player who is early
TAIL = 1.4  # seconds after the last bar, for the strings to ring


@dataclass(frozen=True)
class Mode:
    """A seven-note scale (a thaat of North Indian music) with the harmonies it carries well."""

    name: str
    steps: tuple[int, ...]  # semitones above the tonic
    progressions: tuple[tuple[int, ...], ...]  # chord roots as scale degrees, one a bar
    ragas: tuple[tuple[int, ...], ...]  # degrees that a melody uses


@dataclass(frozen=True)
class Tone:
    """One note of a melody, in beats and in scale degrees (7 is an octave)."""

    onset: float
    duration: float
    degree: int


@dataclass(frozen=True)
class Tune:
    """A melody over chords on a beat grid."""

    tonic: int  # pitch class, 0 = C
    mode: Mode
    meter: int  # beats in a bar
    tempo: float  # beats a minute
    chords: tuple[int, ...]  # the root's scale degree, one a bar
    phrases: str  # one letter for every four bars
    melody: tuple[Tone, ...]

    @property
    def bars(self) -> int:
        """The length in bars."""
        return len(self.chords)

    @property
    def beat_seconds(self) -> float:
        """One beat in seconds."""
        return 60.0 / self.tempo

    @property
    def seconds(self) -> float:
        """The length of its recording, lead-in and tail included."""
        return LEAD_IN + self.bars * self.meter * self.beat_seconds + TAIL

    def pitch(self, degree: int, octave: int = 5) -> int:
        """Return the MIDI pitch of a scale degree; degree 0 is the tonic in that octave (5 holds middle C)."""
        octaves, step = divmod(degree, 7)
        return 12 * (octave + octaves) + self.tonic + self.mode.steps[step]

    def chord(self, bar: int, size: int = 3, octave: int = 5) -> list[int]:
        """Return the MIDI pitches of a bar's chord in thirds: 3 for a triad, 4 with its seventh, 5 with the ninth."""
        return [self.pitch(self.chords[bar] + 2 * third, octave) for third in range(size)]


_FULL = (0, 1, 2, 3, 4, 5, 6)
MODES = (
    Mode(
        "bilawal",
        (0, 2, 4, 5, 7, 9, 11),
        ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 1, 4), (0, 2, 3, 4)),
        (_FULL, (0, 1, 2, 4, 5), (0, 1, 3, 4, 5)),
    ),
    Mode(
        "khamaj",
        (0, 2, 4, 5, 7, 9, 10),
        ((0, 6, 3, 0), (0, 4, 3, 0), (0, 3, 6, 3), (0, 1, 3, 0)),
        (_FULL, (0, 1, 2, 4, 5), (0, 2, 3, 4, 6)),
    ),
    Mode(
        "kafi",
        (0, 2, 3, 5, 7, 9, 10),
        ((0, 3, 0, 6), (0, 1, 6, 0), (0, 6, 2, 3), (0, 2, 6, 3)),
        (_FULL, (0, 2, 3, 4, 6), (0, 1, 2, 4, 5)),
    ),
    Mode(
        "asavari",
        (0, 2, 3, 5, 7, 8, 10),
        ((0, 5, 6, 0), (0, 3, 6, 2), (0, 6, 5, 6), (0, 5, 2, 6), (0, 3, 0, 4)),
        (_FULL, (0, 2, 3, 4, 6), (0, 1, 2, 4, 5)),
    ),
)

# Rhythms of one bar in half beats; a rest is negative.
_RHYTHMS = {
    4: (
        (2, 2, 2, 2),
        (3, 1, 2, 2),
        (2, 1, 1, 4),
        (1, 1, 2, 2, 2),
        (3, 3, 2),
        (4, 2, 2),
        (2, 2, 1, 1, 2),
        (-1, 1, 2, 2, 2),
        (1, 1, 1, 1, 2, 2),
        (3, 1, 4),
        (1, 2, 1, 2, 2),
        (2, 1, 1, 2, 1, 1),
        (3, 1, 1, 1, 2),
    ),
    3: ((2, 2, 2), (4, 2), (2, 1, 1, 2), (3, 1, 2), (1, 1, 2, 2), (2, 4), (1, 1, 1, 1, 2), (2, 2, 1, 1)),
}
_CADENCES = {4: ((6, -2), (2, 2, 4), (3, 1, 4), (2, 6), (1, 1, 6)), 3: ((6,), (4, -2), (2, 4), (1, 1, 4))}


def compose(rng: np.random.Generator, seconds: float, tempo_range: tuple[float, float]) -> Tune:
    """Compose a tune.

    Args:
        rng: makes every choice.
        seconds: about how long it should last.
        tempo_range: lowest and highest tempo in quarter notes a minute of a tune in 4; one in 3 is a third faster.
    """
    meter = 3 if rng.random() < 0.3 else 4
    tempo = float(np.round(rng.uniform(*tempo_range) * (4 / 3 if meter == 3 else 1.0), 1))
    mode = MODES[rng.integers(len(MODES))]
    raga = mode.ragas[rng.integers(len(mode.ragas))]
    bars = max(4, 2 * round((seconds - LEAD_IN - TAIL) / (2 * meter * 60.0 / tempo)))
    count = -(-bars // PHRASE_BARS)
    phrases = ("AABA", "ABAC", "ABAB", "AABB", "ABCB")[rng.integers(5)]
    phrases = (phrases * count)[:count]
    material = {}
    for letter in sorted(set(phrases)):
        chords = mode.progressions[rng.integers(len(mode.progressions))]
        lift = 0 if letter == "A" else int(rng.integers(1, 4))
        material[letter] = (chords, _phrase(rng, raga, chords, meter, lift))
    tones: list[Tone] = []
    harmony: list[int] = []
    for index, letter in enumerate(phrases):
        chords, phrase = material[letter]
        if phrases[:index].count(letter) and rng.random() < 0.7:
            phrase = _vary(rng, phrase, raga)
        start = index * PHRASE_BARS * meter
        tones += [Tone(start + tone.onset, tone.duration, tone.degree) for tone in phrase]
        harmony += chords
    end = (bars - 1) * meter
    last = min((tone.degree for tone in tones if end - meter <= tone.onset < end), default=0)
    tones = [tone for tone in tones if tone.onset < end] + [Tone(end, meter, 7 * round(last / 7))]
    return Tune(int(rng.integers(12)), mode, meter, tempo, (*harmony[: bars - 1], 0), phrases, tuple(tones))


def describe(tune: Tune) -> dict[str, Any]:
    """Return the beats, chords and melody of a tune, timed in seconds from the start of its recording."""
    beat = tune.beat_seconds
    bar = beat * tune.meter
    return {
        "seconds": tune.seconds,
        "tempo": tune.tempo,
        "meter": tune.meter,
        "tonic": tune.tonic,
        "mode": tune.mode.name,
        "scale": [(tune.tonic + step) % 12 for step in tune.mode.steps],
        "beats": [round(LEAD_IN + beat * index, 6) for index in range(tune.bars * tune.meter)],
        "chords": [
            {
                "onset": round(LEAD_IN + bar * index, 6),
                "duration": round(bar, 6),
                "root": tune.pitch(degree) % 12,
                "pitch_classes": [pitch % 12 for pitch in tune.chord(index)],
            }
            for index, degree in enumerate(tune.chords)
        ],
        "melody": [
            {
                "onset": round(LEAD_IN + beat * tone.onset, 6),
                "duration": round(beat * tone.duration, 6),
                "pitch": tune.pitch(tone.degree),
            }
            for tone in tune.melody
        ],
    }


def _phrase(
    rng: np.random.Generator, raga: tuple[int, ...], chords: tuple[int, ...], meter: int, lift: int
) -> list[Tone]:
    """Write four bars: a motif, an answer, the motif on new pitches, a cadence."""
    rhythms = _RHYTHMS[meter]
    motif, answer = (rhythms[rng.integers(len(rhythms))] for _ in range(2))
    cadence = _CADENCES[meter][rng.integers(len(_CADENCES[meter]))]
    ladder = [degree + 7 * octave for octave in (-1, 0, 1) for degree in raga]
    place = len(raga) + lift + int(rng.integers(0, 3))
    drift = 1 if rng.random() < 0.6 else -1
    tones = []
    for bar, rhythm in enumerate((motif, answer, motif, cadence)):
        triad = {(chords[bar] + 2 * third) % 7 for third in range(3)}
        beat = float(bar * meter)
        if bar == 2:
            drift = -drift
        for length in rhythm:
            duration = abs(length) / 2
            if length > 0:
                step = int(rng.choice((-3, -2, -1, 0, 1, 2, 3), p=(0.04, 0.12, 0.28, 0.1, 0.28, 0.12, 0.06)))
                if rng.random() < 0.3:
                    step = drift * abs(step)
                place = int(np.clip(place + step, len(raga) - 3 + lift // 2, 2 * len(raga) + 1 + lift // 2))
                strong = beat % meter in (0, 2) or duration >= 1.5
                if strong and rng.random() < 0.85:
                    place = min(
                        (other for other in range(len(ladder)) if ladder[other] % 7 in triad),
                        key=lambda other: (abs(other - place), -drift * other),
                        default=place,
                    )
                tones.append(Tone(beat, duration, ladder[place]))
            beat += duration
    return tones


def _vary(rng: np.random.Generator, phrase: list[Tone], raga: tuple[int, ...]) -> list[Tone]:
    """Return the phrase as a player repeats it: a few weak notes moved to a neighbour or split in two."""
    varied = []
    for tone in phrase:
        neighbour = tone.degree + int(rng.choice((-1, 1)))
        chance = rng.random()
        if neighbour % 7 not in raga or tone.onset % 1 == 0 and chance < 0.85:
            varied.append(tone)
        elif tone.duration >= 1 and chance < 0.93:
            half = tone.duration / 2
            varied += [Tone(tone.onset, half, tone.degree), Tone(tone.onset + half, half, neighbour)]
        else:
            varied.append(Tone(tone.onset, tone.duration, neighbour))
    return varied
