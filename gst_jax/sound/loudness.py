"""Measure how loud sound is, so that it can be given the level it should have without clipping."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import minimum_filter1d

from gst_jax.types import Array

REFERENCE = 10.0 ** (-20.0 / 20.0)  # K-weighted RMS of every sound that a model learns from or converts
GATING_BLOCK = 0.5  # seconds, all of which count or none
CEILING = 10.0 ** (-1.5 / 20.0)  # half a dB is room for what the search misses
LOOKAHEAD = 0.005  # seconds over which the limiter closes and opens
_MAX_GAIN = 10.0 ** (30.0 / 20.0)  # what is quieter still is noise, not music
_AUDIBLE, _GATE = 1e-7, 0.1  # BS.1770's gates: -70 dB, then 10 dB below the mean of what is above that
_BLOCK = 8192  # samples of which a spectrum is taken at a time
_TAPS = 6  # of the interpolation between samples, to each side
_PHASES = 4  # times the rate at which a true peak is looked for (ITU-R BS.1770-5, annex 2)


def energy(waveform: Array, sample_rate: int) -> float:
    """Return the energy of all channels [N, C], weighted over frequency as the ear does (K, ITU-R BS.1770-5)."""
    channels = np.pad(waveform.T, ((0, 0), (0, -len(waveform) % _BLOCK)))
    spectrum = scipy.fft.rfft(channels.reshape(-1, _BLOCK))
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    return 2.0 * float(power @ _k_weight(_BLOCK, sample_rate)) / _BLOCK  # both halves


def gating_edges(length: int, sample_rate: int) -> list[int]:
    """Return where to cut a sound of so many samples into equal parts of half a second or so, both ends included."""
    count = max(round(length / (GATING_BLOCK * sample_rate)), 1)
    size, longer = divmod(length, count)
    return [part * size + min(part, longer) for part in range(count + 1)]


def gating_blocks(waveform: Array, sample_rate: int) -> list[Array]:
    """Cut a whole sound [N] or [N, C] into equal parts of half a second or so, for `gain_to_reference`."""
    return np.split(waveform, gating_edges(len(waveform), sample_rate)[1:-1])


def gain_to_reference(blocks: Iterable[Array], sample_rate: int) -> float:
    """Return the factor that brings sound to the level of `REFERENCE`, pauses and quiet passages left out.

    Args:
        blocks: [n] or [n, C] each, of `GATING_BLOCK` seconds or so, which together are the whole sound.
        sample_rate: Hz.

    Returns:
        The factor; 1 for silence, and never over 30 dB.
    """
    energies, sizes = np.array(
        [(energy(block.reshape(len(block), -1), sample_rate), len(block)) for block in blocks]
    ).T
    loud = energies > _AUDIBLE * sizes
    if not loud.any():
        return 1.0
    loud &= energies > _GATE * energies[loud].sum() / sizes[loud].sum() * sizes
    return min(REFERENCE / math.sqrt(energies[loud].sum() / sizes[loud].sum()), _MAX_GAIN)


def limiter_gain(waveform: Array, sample_rate: int, ceiling: float = CEILING) -> Array:
    """Return the gain that keeps every channel's true peak below a ceiling.

    The gain of a sample depends on `reach(sample_rate)` samples to each side, so a long sound can be limited in
    overlapping pieces.

    Args:
        waveform: float32 [N, C].
        sample_rate: Hz.
        ceiling: amplitude.

    Returns:
        float32 [N], all ones where nothing comes near the ceiling.
    """
    peak = _true_peak(waveform, functools.reduce(np.maximum, np.abs(waveform.T)), ceiling)
    if peak.max() <= ceiling:
        return np.ones(len(waveform), np.float32)
    half = max(1, int(LOOKAHEAD * sample_rate))
    needed = np.minimum(1.0, ceiling / np.maximum(peak, ceiling))
    held = minimum_filter1d(needed, 2 * half + 1)
    window = np.hanning(2 * half + 1).astype(np.float32)
    padded = np.pad(held, half, mode="edge")
    size = scipy.fft.next_fast_len(len(padded) + len(window) - 1, real=True)
    smooth = scipy.fft.irfft(scipy.fft.rfft(padded, size) * scipy.fft.rfft(window / window.sum(), size), size)
    return smooth[2 * half :][: len(waveform)].astype(np.float32)


def reach(sample_rate: int) -> int:
    """Return the samples to each side that one sample of `limiter_gain` looks at."""
    return 2 * max(1, int(LOOKAHEAD * sample_rate)) + 2 * _TAPS


def _true_peak(waveform: Array, peak: Array, ceiling: float) -> Array:
    """Raise the peak [N] over all channels [N, C] to what a windowed sinc finds between the samples.

    It looks only beside samples that are loud: music's true peaks are less than 6 dB above its samples.
    """
    place = np.arange(1 - _TAPS, _TAPS + 1)
    distance = place - np.arange(1, _PHASES)[:, None] / _PHASES
    kernels = (np.sinc(distance) * np.cos(0.5 * np.pi * distance / (_TAPS + 1)) ** 2).astype(np.float32)
    loud = np.flatnonzero(np.maximum(peak[:-1], peak[1:]) > 0.5 * ceiling)
    out = peak.copy()
    for channel in waveform.T:
        around = sliding_window_view(np.pad(channel, (_TAPS - 1, _TAPS)), 2 * _TAPS)[loud]
        between = functools.reduce(np.maximum, np.abs(kernels @ around.T))
        out[loud] = np.maximum(out[loud], between)
        out[loud + 1] = np.maximum(out[loud + 1], between)  # a peak between two samples lowers both
    return out


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
