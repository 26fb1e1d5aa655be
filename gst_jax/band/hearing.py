"""Hear a song as its accompanist would: samples in, a lead sheet out, and a word where no band should play."""

from __future__ import annotations

import numpy as np

from gst_jax.band import beats, harmony, meter
from gst_jax.band.features import BANDS, FPS, Features, measure
from gst_jax.band.harmony import Chroma
from gst_jax.band.lead_sheet import STEPS, Confidence, LeadSheet, Steps
from gst_jax.band.meter import Reading
from gst_jax.band.sections import letter_phrases
from gst_jax.corpus.composition import MODES
from gst_jax.types import Array

SHORTEST = 6.0  # seconds
FEWEST_BARS = 4
LEAST_BEATS = 0.35  # confidence below which the band is silent
LEAST_KEY = 0.15

_QUIET = -30.0  # dB against the loud bars: the song has not begun, or is over
_SILENT = -60.0  # dB; nothing is told apart below
_STEPS = 12  # places in a beat at which two beats are compared
_RISE = 1.5  # dB: the strongest onsets of a song with a beat rise by more
_UNEVEN, _EVEN = 0.2, 0.7  # likeness of onsets from beat to beat: what chance reaches, what a steady song has
# From where a song is not pitched at all to where it is:
_PURE = (0.05, 0.2)  # how closely partials keep to one tuning: noise, a distorted band with drums
_HELD = (0.1, 0.25)  # strength of the pitches in quiet moments against loud ones: drums alone, notes between beats
_DIFFERENT = (2.0, 5.0)  # number of pitch classes in use: a drone or a tuned drum, a melody
_IN_SCALE = (7 / 12, 0.83)  # share of the notes that are in the scale: as chance has it, a song with a key


def hear(samples: Array, sample_rate: int) -> LeadSheet:
    """Write the lead sheet of a song.

    Args:
        samples: mono, float32 [N].
        sample_rate: Hz, any.

    Returns:
        Whole bars; none, with no confidence in anything, for sound without a pulse.

    Raises:
        ValueError: when the samples are not mono, or not finite.
    """
    if samples.ndim != 1:
        raise ValueError(f"expected mono samples [N], got shape {samples.shape}; average the channels first")
    features = measure(samples, sample_rate)
    curve = beats.stand_out(features.onsets)
    chroma = harmony.listen(features)
    found = meter.read_bars(
        beats.find_pulses(curve, features.seconds),
        curve,
        beats.stand_out(features.low_onsets),
        chroma,
        features.seconds,
    )
    if not found:
        return _nothing(features)
    times = _heard_bars(found[0], curve, features)
    count = found[0].meter
    if len(times) <= count:
        return _nothing(features)
    bars = harmony.in_bars(harmony.between(chroma.notes, times), harmony.between(chroma.bass, times), 0, count)
    song = harmony.harmonise(bars)
    scale = [(song.tonic + step) % 12 for step in song.mode.steps]
    pitched = _pitchedness(features.purity, chroma.notes, scale)
    return LeadSheet(
        seconds=features.seconds,
        beats=times,
        meter=count,
        tonic=song.tonic,
        mode=song.mode,
        chords=song.chords,
        phrases=letter_phrases(bars.notes, song.chords),
        levels=_levels(features.energy, times[::count]),
        tuning=features.tuning,
        confidence=Confidence(
            beats=_steadiness(features.onsets, curve, times, count),
            downbeats=meter.confidence(found),
            key=song.scale_chance * pitched,
            chords=song.chord_chance * pitched,
        ),
        steps=_in_steps(features, chroma, curve, times),
    )


def why_silent(sheet: LeadSheet) -> str | None:
    """Say in a sentence why no band should play along, or nothing where it may."""
    if sheet.seconds < SHORTEST:
        return f"The song lasts {sheet.seconds:.1f} s, less than {SHORTEST:.0f} s, so the band stays silent."
    if sheet.confidence.beats < LEAST_BEATS:
        return "No steady beat was heard, so the band stays silent."
    if sheet.bars < FEWEST_BARS:
        return f"The song has {sheet.bars} bars, fewer than {FEWEST_BARS}, so the band stays silent."
    if sheet.confidence.key < LEAST_KEY:
        return "No clear key was heard, so the band stays silent."
    return None


def _nothing(features: Features) -> LeadSheet:
    return LeadSheet(
        seconds=features.seconds,
        beats=np.zeros(1),
        meter=4,
        tonic=0,
        mode=MODES[0],
        chords=(),
        phrases="",
        levels=np.zeros(0),
        tuning=features.tuning,
        confidence=Confidence(0.0, 0.0, 0.0, 0.0),
        steps=Steps(np.zeros((0, 12)), np.zeros((0, 12)), np.zeros(0), np.zeros((0, BANDS))),
    )


def _in_steps(features: Features, chroma: Chroma, curve: Array, times: Array) -> Steps:
    """Gather curves over time into the steps of beats; what begins there may be a little early or late."""
    edges = np.interp(np.arange((len(times) - 1) * STEPS + 1) / STEPS, np.arange(len(times)), times)
    total = np.concatenate([np.zeros((1, BANDS)), np.cumsum(features.bands, axis=0, dtype=np.float64)])
    power = np.diff(total[np.minimum(np.round(edges * FPS).astype(int), len(features.bands))], axis=0)
    level = 10 * np.log10(np.maximum(power / np.maximum(power.mean(axis=0), 1e-12), 10 ** (_SILENT / 10)))
    return Steps(
        notes=harmony.between(chroma.notes, edges).astype(np.float32),
        bass=harmony.between(chroma.bass, edges).astype(np.float32),
        onsets=np.clip(meter.near(curve, edges[:-1]), -1.0, 4.0).astype(np.float32),
        balance=level.astype(np.float32),
    )


def _heard_bars(reading: Reading, curve: Array, features: Features) -> Array:
    """Return the beats of the whole bars from the first to the last that is heard, with the end of it."""
    times, count = reading.pulse.times, reading.meter
    bars = (len(times) - 1 - reading.first) // count
    times = times[reading.first : reading.first + bars * count + 1]
    onset = meter.near(curve, times[:-1]).reshape(bars, count).max(axis=1)
    heard = np.flatnonzero((_levels(features.energy, times[::count]) > _QUIET) & (onset > beats.HEARD))
    return times[heard[0] * count : (heard[-1] + 1) * count + 1] if len(heard) else times[:1]


def _levels(energy: Array, lines: Array) -> Array:
    """Return the level of each bar in dB against the loud ones, the 90th percentile: at most 0, float64 [bars]."""
    frames = np.minimum(np.round(lines * FPS).astype(int), len(energy))
    total = np.concatenate([[0.0], np.cumsum(energy, dtype=np.float64)])
    power = np.diff(total[frames]) / np.maximum(np.diff(frames), 1)
    loud = float(np.percentile(power, 90))
    if loud <= 0:
        return np.full(len(power), _SILENT)
    return 10 * np.log10(np.clip(power / loud, 10 ** (_SILENT / 10), 1.0))


def _steadiness(onsets: Array, curve: Array, times: Array, count: int) -> float:
    """Return from 0 to 1 how alike the onsets are from each beat to the next, or to the same beat a bar later."""
    places = np.interp(np.arange((len(times) - 1) * _STEPS) / _STEPS, np.arange(len(times)), times)
    pattern = np.clip(np.interp(places * FPS, np.arange(len(curve)), curve), -1.0, 4.0).reshape(-1, _STEPS)
    alike = max(_correlation(pattern[:-lag], pattern[lag:]) for lag in (1, count) if lag < len(pattern))
    risen = min(1.0, float(np.percentile(onsets, 99)) / _RISE)
    return _share(alike, _UNEVEN, _EVEN) * risen


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.sum(one * other)) / size if size > 0 else 0.0


def _pitchedness(purity: float, notes: Array, inside: list[int]) -> float:
    """Return from 0 to 1 how far a song has notes, and how far they keep to a scale.

    Args:
        purity: how closely partials keep to one tuning.
        notes: how strongly each pitch class sounds over time [P, 12].
        inside: the pitch classes of the scale.
    """
    shares = notes.sum(axis=0) / max(float(notes.sum()), 1e-9)
    different = float(np.exp(-np.sum(shares * np.log(shares + 1e-12))))
    quiet, loud = np.percentile(notes.sum(axis=1), (30, 90))
    return (
        _share(purity, *_PURE)
        * _share(float(quiet / max(loud, 1e-9)), *_HELD)
        * _share(different, *_DIFFERENT)
        * _share(float(shares[inside].sum()), *_IN_SCALE)
    )


def _share(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))
