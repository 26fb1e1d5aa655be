"""Arrange a tune as rock: power chords, an electric lead, eighth-note bass, a kit with fills."""

from __future__ import annotations

import numpy as np

from gst_jax.corpus.arrangement import Arrangement, Score
from gst_jax.corpus.composition import Tune

TEMPO_RANGE = (96.0, 148.0)

# Rhythm guitar bars in half beats: "x" a muted chug on the root, "X" an open power chord, "-" holds, "." rests.
_RIFFS = {
    4: ("XxxxXxxx", "X-xxX-xx", "X--X--X-", "XxxXxxX-", "X-X-.XX-", "XxxxxxXX"),
    3: ("XxxXxx", "X-xX-x", "X--X-X", "Xxxxxx", "X-X-xx"),
}
_OPEN = {4: ("X-------", "X---X---", "X-----X-"), 3: ("X-----", "X---X-")}
# Drum bars in half beats: the kick and the snare.
_GROOVES = {
    4: (
        ("k...k...", "..s...s."),
        ("k..kk...", "..s...s."),
        ("k.k..k..", "..s...s."),
        ("kk..k.k.", "..s...s."),
        ("k..k..k.", "....s..."),
    ),
    3: (("k.....", "..s.s."), ("k..k..", "....s."), ("k....k", "...s..")),
}


def arrange(tune: Tune, rng: np.random.Generator) -> Arrangement:
    """Write the rock arrangement of a tune."""
    score = Score(tune, rng, looseness=0.005)
    open_phrase = sorted(set(tune.phrases))[-1] if rng.random() < 0.8 else ""
    _lead(score)
    if rng.random() < 0.5:
        _second_guitar(score)
    _rhythm_guitar(score, open_phrase)
    if rng.random() < 0.35:
        _organ(score)
    _bass(score)
    _drums(score, open_phrase)
    return score.finish()


def _lead(score: Score) -> None:
    """The melody with bends into long notes, wide vibrato, and repeated notes where it should drive."""
    tune, rng = score.tune, score.rng
    drive = rng.uniform(0.0, 0.4)
    for tone in tune.melody:
        pitch = tune.pitch(tone.degree)
        velocity = 96 + 8 * (tone.onset % tune.meter == 0)
        if 1 <= tone.duration <= 2 and rng.random() < drive:
            for index in range(int(2 * tone.duration)):
                score.note("lead", tone.onset + index / 2, 0.46, pitch, velocity - 8 * (index % 2))
            continue
        long = tone.duration * tune.beat_seconds > 0.45
        slide = float(rng.choice((-2.0, -1.0))) if long and rng.random() < 0.45 else 0.0
        score.note("lead", tone.onset, 0.97 * tone.duration, pitch, velocity, slide, 0.4 if long else 0.0)


def _second_guitar(score: Score) -> None:
    """A third above the melody, in every phrase that is not of the first kind."""
    tune = score.tune
    for tone in tune.melody:
        bar = min(int(tone.onset // tune.meter), tune.bars - 1)
        if score.phrase_of(bar) != "A" and tone.duration >= 0.5:
            vibrato = 0.3 if tone.duration > 1 else 0.0
            score.note("harmony", tone.onset, 0.95 * tone.duration, tune.pitch(tone.degree + 2), 84, vibrato=vibrato)


def _rhythm_guitar(score: Score, open_phrase: str) -> None:
    tune, rng = score.tune, score.rng
    riffs, ringing = _RIFFS[tune.meter], _OPEN[tune.meter]
    bars = {
        letter: ringing[rng.integers(len(ringing))] if letter == open_phrase else riffs[rng.integers(len(riffs))]
        for letter in sorted(set(tune.phrases))
    }
    for bar in range(tune.bars):
        root = _low_root(tune, bar)
        riff = bars[score.phrase_of(bar)] if bar < tune.bars - 1 else "X-------"[: 2 * tune.meter]
        for index, stroke in enumerate(riff):
            beat = bar * tune.meter + index / 2
            if stroke == "X":
                held = len(riff[index + 1 :]) - len(riff[index + 1 :].lstrip("-"))
                for pitch in (root, root + 7, root + 12):
                    score.note("chords", beat, 0.5 * (1 + held) - 0.06, pitch, 98)
            elif stroke == "x":
                score.note("chords", beat, 0.22, root, 80)
                score.note("chords", beat, 0.2, root + 7, 66)


def _organ(score: Score) -> None:
    tune = score.tune
    for bar in range(tune.bars):
        for pitch in tune.chord(bar, 3, 5):
            score.note("pad", bar * tune.meter, 0.98 * tune.meter, pitch, 70)


def _bass(score: Score) -> None:
    """Eighths on the root, with the octave or the next root's neighbour at the bar's end."""
    tune, rng = score.tune, score.rng
    lift = rng.uniform(0.0, 0.5)
    for bar in range(tune.bars):
        root = _low_root(tune, bar) - 12
        if bar == tune.bars - 1:
            score.note("bass", bar * tune.meter, tune.meter, root, 104)
            break
        for index in range(2 * tune.meter):
            pitch = root
            if index == 2 * tune.meter - 1 and rng.random() < lift:
                target = _low_root(tune, bar + 1) - 12
                pitch = root + 12 if target == root else target + (-2 if target > root else 2)
            score.note("bass", bar * tune.meter + index / 2, 0.45, pitch, 100 - 12 * (index % 2))


def _drums(score: Score, open_phrase: str) -> None:
    tune, rng = score.tune, score.rng
    grooves = _GROOVES[tune.meter]
    chosen = {letter: grooves[rng.integers(len(grooves))] for letter in sorted(set(tune.phrases))}
    for bar in range(tune.bars):
        start = bar * tune.meter
        if bar % 4 == 0 or bar == tune.bars - 1:
            score.hit(start, "crash", 100)
        if bar == tune.bars - 1:
            score.hit(start, "low", 112)
            break
        kick, snare = chosen[score.phrase_of(bar)]
        cymbal = "ride" if score.phrase_of(bar) == open_phrase else "tick"
        fill = len(kick) // 2 if bar % 4 == 3 else len(kick)
        for index in range(len(kick)):
            beat = start + index / 2
            if index >= fill:
                _fill(score, beat, index - fill, len(kick) - fill)
                continue
            if kick[index] == "k":
                score.hit(beat, "low", 108)
            if snare[index] == "s":
                score.hit(beat, "back", 110)
            opened = cymbal == "tick" and index == len(kick) - 1 and rng.random() < 0.3
            score.hit(beat, "open" if opened else cymbal, 88 - 20 * (index % 2))


def _fill(score: Score, beat: float, index: int, length: int) -> None:
    """Half a beat of a fill that runs down the toms."""
    drum = ("back", "high", "mid", "floor")[min(4 * index // length, 3)]
    score.hit(beat, drum, 104)
    if score.rng.random() < 0.7:
        score.hit(beat + 0.25, drum, 90)
    if index % 2 == 0:
        score.hit(beat, "low", 96)


def _low_root(tune: Tune, bar: int) -> int:
    """Return the chord's root between the guitar's low E and the E flat above it."""
    return 40 + (tune.chord(bar, 1)[0] - 40) % 12
