"""Keep a converted song as loud as its source without clipping."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.fft
from scipy.ndimage import minimum_filter1d

Array = np.ndarray[Any, np.dtype[Any]]

CEILING = 10.0 ** (-1.5 / 20.0)  # half a dB is room for what the search misses
LOOKAHEAD = 0.005  # seconds over which the limiter closes and opens
_TAPS = 6  # of the interpolation between samples, to each side
_PHASES = 4  # times the rate at which a true peak is looked for (ITU-R BS.1770-5, annex 2)


def energy(waveform: Array, sample_rate: int) -> float:
    """Return the energy of all channels [N, C], weighted over frequency as the ear does (K, ITU-R BS.1770-5)."""
    size = scipy.fft.next_fast_len(len(waveform), real=True)
    spectrum = scipy.fft.rfft(waveform, size, axis=0)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    return 2.0 * float(power @ _k_weight(size, sample_rate)) / size  # both halves


def limiter_gain(waveform: Array, sample_rate: int) -> Array:
    """Return the gain that keeps every channel's true peak below the ceiling.

    The gain of a sample depends on `2 * reach(sample_rate)` samples to each side, so a long sound can be limited in
    overlapping pieces.

    Args:
        waveform: float32 [N, C].
        sample_rate: Hz.

    Returns:
        float32 [N], all ones where nothing comes near the ceiling.
    """
    peak = functools.reduce(np.maximum, np.abs(waveform.T))
    if peak.max() <= 0.5 * CEILING:  # music's true peaks are less than 6 dB above its samples
        return np.ones(len(waveform), np.float32)
    peak = np.maximum(peak, _between_samples(waveform))
    half = max(1, int(LOOKAHEAD * sample_rate))
    needed = np.minimum(1.0, CEILING / np.maximum(peak, CEILING))
    held = minimum_filter1d(needed, 2 * half + 1)
    window = np.hanning(2 * half + 1).astype(np.float32)
    padded = np.pad(held, half, mode="edge")
    size = scipy.fft.next_fast_len(len(padded) + len(window) - 1, real=True)
    smooth = scipy.fft.irfft(scipy.fft.rfft(padded, size) * scipy.fft.rfft(window / window.sum(), size), size)
    return smooth[2 * half :][: len(waveform)].astype(np.float32)


def reach(sample_rate: int) -> int:
    """Return the samples to each side that one sample of `limiter_gain` looks at."""
    return 2 * max(1, int(LOOKAHEAD * sample_rate)) + 2 * _TAPS


def _between_samples(waveform: Array) -> Array:
    """Return the largest magnitude at places after each sample [N, C] -> [N], by a windowed sinc."""
    place = np.arange(1 - _TAPS, _TAPS + 1)
    padded = np.pad(waveform, ((_TAPS - 1, _TAPS), (0, 0)))
    out = np.zeros(len(waveform), np.float32)
    for phase in range(1, _PHASES):
        distance = place - phase / _PHASES
        kernel = np.sinc(distance) * np.cos(0.5 * np.pi * distance / (_TAPS + 1)) ** 2
        for channel in padded.T:
            value = np.convolve(channel, kernel[::-1].astype(np.float32), mode="valid")
            np.maximum(out, np.abs(value), out=out)
    following = np.maximum(out[:-1], out[1:])  # a peak between two samples lowers both
    return np.concatenate([out[:1], following]) if len(out) else out


@functools.lru_cache(maxsize=4)
def _k_weight(size: int, sample_rate: int) -> Array:
    """Return the squared magnitude of BS.1770's two filters at each bin of `rfft`, from their analogue prototypes."""
    s = 2j * np.pi * scipy.fft.rfftfreq(size, 1 / sample_rate)
    shelf = 2.0 * np.pi * 1681.974
    gain, middle, q = 10.0 ** (3.99984 / 20.0), 10.0 ** (3.99984 * 0.49967 / 20.0), 0.707175
    high = (gain * s**2 + middle * shelf / q * s + shelf**2) / (s**2 + shelf / q * s + shelf**2)
    corner, q = 2.0 * np.pi * 38.135, 0.500327
    low = s**2 / (s**2 + corner / q * s + corner**2)
    return (np.abs(high * low) ** 2).astype(np.float32)
