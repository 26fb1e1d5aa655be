"""Arrange a tune as jazz: a swung melody, comping in sevenths, walking bass, a ride cymbal."""

from __future__ import annotations

import numpy as np

from gst_jax.corpus.arrangement import Arrangement, Score
from gst_jax.corpus.composition import Tone, Tune

TEMPO_RANGE = (92.0, 168.0)

# Comping rhythms of one bar: (beat, beats).
_COMPS = {
    4: (
        ((0.0, 1.3), (1.5, 0.6)),
        ((0.5, 0.4), (2.5, 1.2)),
        ((1.0, 0.5), (2.5, 0.8)),
        ((0.0, 0.5), (3.5, 0.5)),
        ((1.5, 1.8),),
        ((0.5, 0.4), (2.0, 0.4), (3.5, 0.4)),
    ),
    3: (((0.0, 1.2), (1.5, 0.9)), ((1.0, 0.5), (2.0, 0.5)), ((0.5, 1.6),), ((0.0, 0.4), (2.5, 0.5))),
}


def arrange(tune: Tune, rng: np.random.Generator) -> Arrangement:
    """Write the jazz arrangement of a tune."""
    swing = float(np.clip(0.74 - 0.0007 * tune.tempo, 0.58, 0.667))
    score = Score(tune, rng, swing=swing, looseness=0.008)
    _lead(score)
    if rng.random() < 0.4:
        _second_horn(score)
    _comping(score)
    if rng.random() < 0.4:
        _guide_tones(score)
    two_feel = rng.random() < 0.3
    _bass(score, two_feel)
    _drums(score)
    return score.finish()


def _lead(score: Score) -> None:
    """The melody laid back, with scoops, approach notes from below, and runs into its rests."""
    tune, rng = score.tune, score.rng
    late = float(rng.uniform(0.005, 0.025))
    busy = rng.uniform(0.1, 0.4)
    for index, tone in enumerate(tune.melody):
        pitch = tune.pitch(tone.degree)
        velocity = 84 + 8 * (tone.onset % 1 == 0.5)
        onset, duration = tone.onset, tone.duration
        if duration >= 1 and onset % 1 == 0 and onset > 0 and rng.random() < 0.5 * busy:
            score.note("lead", onset, 0.15, pitch - 1, velocity - 10, late=late)
            onset, duration = onset + 0.15, duration - 0.15
        slide = -1.0 if duration >= 1 and rng.random() < 0.3 else 0.0
        vibrato = 0.3 if duration * tune.beat_seconds > 0.6 else 0.0
        run = duration >= 2 and index + 1 < len(tune.melody) and rng.random() < 2 * busy
        held = 1.0 if run else duration
        score.note("lead", onset, 0.92 * held, pitch, velocity, slide, vibrato, late)
        if run:
            _run(score, tone, tune.melody[index + 1], late)


def _run(score: Score, tone: Tone, target: Tone, late: float) -> None:
    """Swung eighths by step that arrive at the next note of the melody."""
    steps = min(int(2 * (target.onset - tone.onset - 1)), 6)
    direction = 1 if score.rng.random() < 0.5 else -1
    for index in range(steps):
        left = steps - index
        beat = target.onset - left / 2
        score.note("lead", beat, 0.45, score.tune.pitch(target.degree + direction * left), 74, late=late)


def _second_horn(score: Score) -> None:
    """A sixth below the melody, in every phrase that is not of the first kind."""
    tune = score.tune
    for tone in tune.melody:
        bar = min(int(tone.onset // tune.meter), tune.bars - 1)
        if score.phrase_of(bar) != "A":
            score.note("harmony", tone.onset, 0.85 * tone.duration, tune.pitch(tone.degree - 5), 74, late=0.015)


def _comping(score: Score) -> None:
    """Rootless voicings: third, seventh, ninth, fifth, near middle C."""
    tune, rng = score.tune, score.rng
    rhythms = _COMPS[tune.meter]
    for bar in range(tune.bars):
        root, third, fifth, seventh, ninth = tune.chord(bar, 5)
        if (ninth - root) % 12 == 1:  # a flat ninth would grate
            ninth = root
        voicing = sorted(
            55 + (pitch - 55) % 12 for pitch in (third, seventh, ninth, fifth)[: int(rng.integers(3, 5))]
        )
        rhythm = rhythms[rng.integers(len(rhythms))] if bar < tune.bars - 1 else ((0.0, float(tune.meter)),)
        for beat, beats in rhythm:
            for pitch in voicing:
                score.note("chords", bar * tune.meter + beat, beats, pitch, 72 + 8 * (beat % 1 == 0.5))


def _guide_tones(score: Score) -> None:
    """Third, fifth and seventh of each chord, sustained softly."""
    tune = score.tune
    for bar in range(tune.bars):
        for pitch in tune.chord(bar, 4)[1:]:
            score.note("pad", bar * tune.meter, 0.95 * tune.meter, 60 + (pitch - 60) % 12, 58)


def _bass(score: Score, two_feel: bool) -> None:
    """Root, chord and scale notes, and a half step into the next root."""
    tune, rng = score.tune, score.rng
    for bar in range(tune.bars):
        start = bar * tune.meter
        root = _low(tune.chord(bar, 1)[0])
        if bar == tune.bars - 1:
            score.note("bass", start, tune.meter, root, 92)
            break
        target = _low(tune.chord(bar + 1, 1)[0])
        if two_feel and score.phrase_of(bar) == "A":
            score.note("bass", start, 1.9, root, 92)
            score.note("bass", start + tune.meter - 2, 1.8, _low(tune.chord(bar, 3)[2]), 84)
            continue
        approach = target + int(rng.choice((-1, 1)))
        middle = [_low(pitch) for pitch in tune.chord(bar, 4)[1:]]
        walk = [root, *(middle[rng.integers(3)] for _ in range(tune.meter - 2)), approach]
        for beat, pitch in enumerate(walk):
            score.note("bass", start + beat, 0.93, pitch, 90 + 4 * (beat % 2))
            if rng.random() < 0.08:
                score.note("bass", start + beat + 0.5, 0.4, pitch, 66)


def _drums(score: Score) -> None:
    tune, rng = score.tune, score.rng
    chatter = rng.uniform(0.08, 0.3)
    for bar in range(tune.bars):
        start = bar * tune.meter
        if bar == tune.bars - 1:
            score.hit(start, "crash", 84)
            score.hit(start, "low", 80)
            break
        skips = (1, 3) if tune.meter == 4 else (1,)
        for beat in range(tune.meter):
            score.hit(start + beat, "ride", 84 + 8 * (beat in skips))
            if beat in skips and rng.random() < 0.92 or rng.random() < 0.08:
                score.hit(start + beat + 0.5, "ride", 66)
            score.hit(start + beat, "low", 44)
            if beat in (skips if tune.meter == 4 else (1, 2)):
                score.hit(start + beat, "tick", 72)
            if rng.random() < chatter:
                score.hit(start + beat + 0.5, "ghost" if rng.random() < 0.6 else "back", 62)
        if bar % 4 == 3 and rng.random() < 0.6:
            for index in range(4):
                drum = ("back", "high", "mid", "floor")[(index + int(rng.integers(2))) % 4]
                score.hit(start + tune.meter - 2 + index / 2, drum, 78)
        if bar % 8 == 0 and bar:
            score.hit(start, "crash", 70)


def _low(pitch: int) -> int:
    """Return the pitch moved by octaves to a double bass: E to the E flat above it."""
    return 28 + (pitch - 28) % 12
