"""What happens to a guitar on its way to the listener: distortion, cabinet, echo, room."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, signal

from gst_jax.corpus.arrangement import Note

_STRING_NOISE = 0.15  # of the string's own motion


def active_level(samples: np.ndarray, rate: int) -> float:
    """Return the RMS of [N] or [N, C] samples over the 50 ms frames within 30 dB of the loudest."""
    frame = round(0.05 * rate)
    power = (samples**2).reshape(len(samples), -1).mean(axis=1)
    frames = power[: len(power) // frame * frame].reshape(-1, frame).mean(axis=1)
    return float(np.sqrt(frames[frames >= 1e-3 * frames.max()].mean()))


def amplify(samples: np.ndarray, rate: int, drive: float, rng: np.random.Generator) -> np.ndarray:
    """Distort [N] samples as a valve amplifier with a closed 4x12 cabinet does.

    Args:
        samples: a clean guitar or bass, not silent.
        rate: samples a second.
        drive: gain before clipping in dB; 0 is nearly clean, 36 is heavy.
        rng: the noise of pick and strings, which the gain makes audible.

    Returns:
        [N] samples.
    """
    level = active_level(samples, rate)
    tight = signal.sosfilt(signal.butter(1, 140.0, "highpass", fs=rate, output="sos"), samples / level)
    tight *= 1 + _STRING_NOISE * rng.standard_normal(len(tight))
    pushed = 0.3 * 10 ** (drive / 20) * tight
    bias = 0.2  # makes even harmonics
    shaped = np.tanh(pushed + bias) - np.tanh(bias)
    for corner, kind, order in ((85.0, "highpass", 2), (5200.0, "lowpass", 4)):
        shaped = signal.sosfilt(signal.butter(order, corner, kind, fs=rate, output="sos"), shaped)
    presence = signal.sosfilt(signal.butter(1, (1700.0, 3600.0), "bandpass", fs=rate, output="sos"), shaped)
    return shaped + 0.9 * presence


def gate(samples: np.ndarray, rate: int, notes: Sequence[Note]) -> np.ndarray:
    """Silence [N] samples between notes, as a player's palm does: an amplifier would let every note ring on."""
    sounding = np.zeros(len(samples))
    for note in notes:
        sounding[round(note.onset * rate) : round((note.onset + note.duration + 0.02) * rate)] = 1.0
    return samples * ndimage.uniform_filter1d(sounding, round(0.02 * rate))


def waver(samples: np.ndarray, rate: int, cents: float, phase: float) -> np.ndarray:
    """Let the pitch of [N] samples drift slowly, since no two takes are exactly in tune.

    Args:
        samples: one take.
        rate: samples a second.
        cents: how far at most.
        phase: where the drift begins, radians.
    """
    hertz = 0.7
    times = np.arange(len(samples)) / rate
    depth = (2 ** (cents / 1200) - 1) / (2 * np.pi * hertz)  # seconds of delay to and fro
    return np.interp(times + depth * np.sin(2 * np.pi * hertz * times + phase), times, samples)


def echo(samples: np.ndarray, rate: int, seconds: float, gain: float) -> np.ndarray:
    """Add two repeats to [N] samples, `seconds` apart, each `gain` times as loud as the one before."""
    out = samples.copy()
    for repeat in (1, 2):
        delay = round(repeat * seconds * rate)
        out[delay:] += gain**repeat * samples[: len(samples) - delay]
    return out


@functools.lru_cache(maxsize=8)
def room(rate: int, seconds: float, brightness: float) -> np.ndarray:
    """Return the impulse response of a room, [2, N]: early reflections, then noise whose highs die first.

    Args:
        rate: samples a second, above 13000.
        seconds: reverberation time.
        brightness: 0 dull to 1 bright.
    """
    rng = np.random.default_rng(20)
    times = np.arange(round(seconds * rate)) / rate
    response = np.zeros((2, len(times)))
    for low, high, share in ((120.0, 900.0, 1.0), (900.0, 3000.0, 0.75), (3000.0, 6500.0, 0.25 + 0.4 * brightness)):
        band = signal.butter(2, (low, high), "bandpass", fs=rate, output="sos")
        tail = signal.sosfilt(band, rng.standard_normal(response.shape), axis=1)
        response += share * tail * 10 ** (-3 * times / (seconds * share))
    response *= np.clip(times / 0.012, 0, 1)
    for _ in range(10):
        response[rng.integers(2), round(rng.uniform(0.004, 0.045) * rate)] += rng.choice((-1, 1)) * 3.0
    return response / np.sqrt((response**2).sum(axis=1, keepdims=True))
