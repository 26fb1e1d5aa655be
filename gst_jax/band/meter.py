"""Choose among the pulses of a song, and count its bars: which pulse is the beat, and which beats begin a bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gst_jax.band import harmony
from gst_jax.band.beats import USUAL, Pulse
from gst_jax.band.features import FPS
from gst_jax.band.harmony import Chroma
from gst_jax.types import Array

METERS = (4, 3)
_FEWEST = 2  # bars

# What tells the true bars from others, as weights in a sum; fitted by maximum likelihood (a softmax over all readings
# of a song) to the corpus' training and validation tunes, steady and drifting.
_WEIGHTS = {
    "chords": 15.5,  # nats a second by which one chord a bar explains the notes
    "bars": 9.8,  # bars a second: fewer chords explain less
    "low accent": 1.0,  # of the bass and the drum on first beats against all beats
    "accent": 1.2,  # of all onsets there
    "beats": 2.7,  # mean onset on the beats
    "middles": 0.9,  # and half way between them
    "tempo": -5.7,  # squared octaves from 115 beats a minute
    "three": -2.0,  # three beats in a bar rather than four
}


@dataclass(frozen=True)
class Reading:
    """One way to hear a song's bars."""

    pulse: Pulse
    meter: int
    first: int  # the beat that begins the first bar
    evidence: dict[str, float]  # as in _WEIGHTS

    @property
    def score(self) -> float:
        """Return the log-odds of this reading, up to a constant."""
        return sum(_WEIGHTS[name] * value for name, value in self.evidence.items())


def read_bars(
    pulses: list[Pulse], pulse_curve: Array, low_curve: Array, chroma: Chroma, seconds: float
) -> list[Reading]:
    """Weigh every meter and first beat on every pulse; the best comes first.

    Args:
        pulses: the beats to choose from.
        pulse_curve: onsets [T].
        low_curve: low onsets [T].
        chroma: what sounds.
        seconds: the song's length.
    """
    keys = harmony.likely_keys(chroma, seconds)
    found = [reading for pulse in pulses for reading in _on_pulse(pulse, pulse_curve, low_curve, chroma, keys)]
    return sorted(found, key=lambda reading: -reading.score)


def confidence(found: list[Reading]) -> float:
    """Return the chance of the best reading's first beats among all readings of its pulse."""
    scores = np.array([reading.score for reading in found if reading.pulse is found[0].pulse])
    return float(1 / np.exp(scores - scores[0]).sum())


def _on_pulse(
    pulse: Pulse, pulse_curve: Array, low_curve: Array, chroma: Chroma, keys: list[tuple[int, int]]
) -> list[Reading]:
    times = pulse.times
    notes, bass = (harmony.between(curve, times) for curve in (chroma.notes, chroma.bass))
    accents, low_accents = near(pulse_curve, times), near(low_curve, times)
    middles = float(near(pulse_curve, (times[:-1] + times[1:]) / 2).mean())
    octaves = float(np.log2(pulse.tempo / USUAL))
    found = []
    for meter in METERS:
        for first in range(meter):
            bars = (len(times) - 1 - first) // meter
            if bars < _FEWEST:
                continue
            lines = times[first : first + bars * meter + 1 : meter]
            fit = harmony.chord_fit(harmony.in_bars(notes, bass, first, meter), keys)
            length = lines[-1] - lines[0]
            firsts = slice(first, first + bars * meter, meter)
            evidence = {
                "chords": float(fit @ np.diff(lines) / length),
                "bars": float(bars / length),
                "low accent": float(low_accents[firsts].mean() - low_accents.mean()),
                "accent": float(accents[firsts].mean() - accents.mean()),
                "beats": float(accents.mean()),
                "middles": middles,
                "tempo": octaves**2,
                "three": float(meter == 3),
            }
            found.append(Reading(pulse, meter, first, evidence))
    return found


def near(curve: Array, times: Array) -> Array:
    """Return the highest value of a curve [T] within two frames of each time, float64 [times]."""
    frames = np.round(times * FPS).astype(int)[:, None] + np.arange(-2, 3)
    return curve[np.clip(frames, 0, len(curve) - 1)].max(axis=1)
