"""Arrange a tune as Bangla folk: an ornamented melody, dotara strings, harmonium, drone, tabla."""

from __future__ import annotations

import numpy as np

from gst_jax.corpus.arrangement import Arrangement, Score
from gst_jax.corpus.composition import Tune

TEMPO_RANGE = (84.0, 132.0)

# Strokes of one cycle in half beats: Kaharwa has eight, Dadra six over two bars. "+" joins both hands.
_KAHARWA = (
    ("low+back", "ghost", "back", "tick", "back", "ghost", "low+open", "back"),
    ("low+back", "low", "back", "tick", "back", "ghost", "low+tick", "back"),
    ("low+open", "", "ghost", "back", "back", "ghost", "low+open", "ghost"),
    ("low+back", "ghost", "tick", "low+back", "ghost", "back", "low+open", "tick"),
)
_DADRA = (
    ("low+back", "", "low+open", "", "back", ""),
    ("low+back", "ghost", "low+back", "tick", "back", "tick"),
    ("low+back", "tick", "low+open", "ghost", "back", "ghost"),
)
_DADRA_ANSWER = (
    ("back", "", "open", "", "back", "ghost"),
    ("tick", "back", "open", "", "low+back", ""),
)
# Dotara figures in half beats: steps of the chord (0 root, 1 third, 2 fifth, 3 octave), None for a rest.
_FIGURES = {
    4: (
        (0, 3, 2, 3, 0, 3, 2, 3),
        (0, None, 3, 2, 3, 2, 0, 2),
        (0, 2, 3, 2, 1, 2, 3, 2),
        (0, 3, 3, 2, 0, 3, 3, 2),
        (0, None, 2, 3, None, 3, 2, None),
    ),
    3: ((0, 2, 3, 2, 3, 2), (0, None, 3, 2, 3, None), (0, 3, 2, 3, 1, 2), (0, 2, 1, 2, 3, 2)),
}


def arrange(tune: Tune, rng: np.random.Generator) -> Arrangement:
    """Write the folk arrangement of a tune."""
    score = Score(tune, rng, swing=float(rng.uniform(0.5, 0.54)), looseness=0.008)
    quiet_start = int(rng.integers(0, 2)) * 2  # bars before the drums
    _lead(score)
    if rng.random() < 0.5:
        _second_voice(score)
    _dotara(score)
    if rng.random() < 0.75:
        _harmonium(score)
    _drone(score)
    if rng.random() < 0.7:
        _bass(score)
    _drums(score, quiet_start)
    return score.finish()


def _lead(score: Score) -> None:
    """The melody with grace notes (kan), slides (meend) and turns (murki)."""
    tune, rng = score.tune, score.rng
    ornament = rng.uniform(0.2, 0.5)
    before = None
    for tone in tune.melody:
        pitch = tune.pitch(tone.degree)
        velocity = 88 + 10 * (tone.onset % tune.meter == 0)
        onset, duration, slide = tone.onset, tone.duration, 0.0
        chance = rng.random()
        if before is not None and 0 < abs(before - pitch) <= 4 and chance < ornament:
            slide = float(before - pitch)
        elif duration >= 1 and chance < 1.5 * ornament:
            above = tune.pitch(tone.degree + 1)
            score.note("lead", onset, 0.125, above, velocity - 14)
            onset, duration = onset + 0.125, duration - 0.125
        elif duration >= 1.5 and chance < 2 * ornament:
            for index, step in enumerate((0, 1, 0, -1)):
                score.note("lead", onset + index * 0.25, 0.25, tune.pitch(tone.degree + step), velocity - 6)
            onset, duration = onset + 1.0, duration - 1.0
        vibrato = 0.25 if duration * tune.beat_seconds > 0.5 else 0.0
        score.note("lead", onset, 0.96 * duration, pitch, velocity, slide, vibrato)
        before = pitch


def _second_voice(score: Score) -> None:
    """The melody again an octave lower and simpler, a little behind: two players, one tune."""
    tune, rng = score.tune, score.rng
    for tone in tune.melody:
        bar = min(int(tone.onset // tune.meter), tune.bars - 1)
        if score.phrase_of(bar) != "A" and (tone.onset % 1 == 0 or rng.random() < 0.5):
            late = float(rng.uniform(0.005, 0.03))
            score.note("harmony", tone.onset, 0.9 * tone.duration, tune.pitch(tone.degree) - 12, 76, late=late)


def _dotara(score: Score) -> None:
    """Plucked chords, one string at a time, with doubled strokes at ends of phrases."""
    tune, rng = score.tune, score.rng
    figures = _FIGURES[tune.meter]
    chosen = {letter: figures[rng.integers(len(figures))] for letter in sorted(set(tune.phrases))}
    double = rng.uniform(0.05, 0.3)
    for bar in range(tune.bars):
        triad = tune.chord(bar, 3, 4)
        chord = (*triad, triad[0] + 12)
        last = bar == tune.bars - 1
        for index, step in enumerate(chosen[score.phrase_of(bar)][:1] if last else chosen[score.phrase_of(bar)]):
            if step is None:
                continue
            beat = bar * tune.meter + index / 2
            velocity = 92 if index == 0 else 74 + 6 * (index % 2 == 0)
            score.note("chords", beat, 2.0 if last else 0.6, chord[step], velocity)
            if last or rng.random() < double:
                score.note("chords", beat + 0.25, 1.0 if last else 0.3, chord[3 if last else step], velocity - 12)


def _harmonium(score: Score) -> None:
    """Long chords, re-struck with the bellows now and then."""
    tune, rng = score.tune, score.rng
    parts = 2 if tune.meter == 4 and rng.random() < 0.4 else 1
    for bar in range(tune.bars):
        chord = tune.chord(bar, 3, 5)
        for part in range(parts):
            length = tune.meter / parts
            for pitch in (chord[0] - 12, *chord[:3]):
                score.note("pad", bar * tune.meter + part * length, 0.98 * length, pitch, 62)


def _drone(score: Score) -> None:
    """The four strings of a tanpura: fifth, tonic, tonic, low tonic, at their own slow pace."""
    tune, rng = score.tune, score.rng
    pace = max(1, round(0.65 / tune.beat_seconds))
    pitches = (tune.pitch(4, 3), tune.pitch(0, 4), tune.pitch(0, 4), tune.pitch(0, 3))
    for index, beat in enumerate(range(0, tune.bars * tune.meter, pace)):
        score.note("drone", beat, 4.0 * pace, pitches[index % 4], 70, late=float(rng.uniform(0, 0.05)))


def _bass(score: Score) -> None:
    """A low string on the first beat, its fifth on the third."""
    tune, rng = score.tune, score.rng
    busy = rng.random() < 0.5
    for bar in range(tune.bars):
        root = tune.chord(bar, 1, 3)[0]
        beat = bar * tune.meter
        score.note("bass", beat, 1.8 if tune.meter == 4 else 2.5, root, 84)
        if tune.meter == 4 and bar < tune.bars - 1:
            score.note("bass", beat + 2, 1.0, tune.pitch(tune.chords[bar] + 4, 3) if busy else root, 72)
            if busy:
                score.note("bass", beat + 3.5, 0.5, root, 68)


def _drums(score: Score, quiet_start: int) -> None:
    tune, rng = score.tune, score.rng
    cycles = _KAHARWA if tune.meter == 4 else _DADRA
    theka = {letter: cycles[rng.integers(len(cycles))] for letter in sorted(set(tune.phrases))}
    answer = _DADRA_ANSWER[rng.integers(len(_DADRA_ANSWER))]
    bells = rng.random() < 0.6
    for bar in range(quiet_start, tune.bars):
        start = bar * tune.meter
        if bar == tune.bars - 1:
            score.hit(start, "low", 104)
            score.hit(start, "open", 100)
            score.hit(start, "crash", 80)
            break
        cycle = answer if tune.meter == 3 and bar % 2 else theka[score.phrase_of(bar)]
        fill = bar % 4 == 3 and rng.random() < 0.7
        for index, strokes in enumerate(cycle):
            beat = start + index / 2
            if fill and index >= len(cycle) - 4:
                score.hit(beat, ("open", "back", "low", "open")[index % 4], 92)
                score.hit(beat + 0.25, ("ghost", "tick", "back", "tick")[index % 4], 76)
                continue
            for stroke in filter(None, strokes.split("+")):
                score.hit(beat, stroke, 96 if index == 0 else {"ghost": 58, "tick": 62}.get(stroke, 80))
            if rng.random() < 0.12:
                score.hit(beat + 0.25, "ghost", 52)
        for beat in range(tune.meter) if bells else ():
            score.hit(start + beat, "ride", 66 if beat else 80)
