"""Transform sound at any sample rate with windows as long in time as the analysis's."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from gst_jax.config import AudioConfig
from gst_jax.sound.analysis import hann
from gst_jax.types import Array

OVERLAP = 4  # windows over each sample
TINY = 1e-10


def hop_length(sample_rate: int, audio: AudioConfig) -> int:
    """Return the samples between frames where windows last as long as the analysis's at any sample rate."""
    return scipy.fft.next_fast_len(max(1, round(audio.n_fft * sample_rate / audio.sample_rate / OVERLAP)), real=True)


def stft(waveform: Array, n_fft: int) -> Array:
    """Transform with Hann windows a quarter apart, so that every sample lies in as many windows as any other.

    Args:
        waveform: float32 [C, N].
        n_fft: samples in a window, a multiple of 4.

    Returns:
        complex64 [C, T', n_fft // 2 + 1]; frame t is centred on sample (t - 1) * n_fft / 4.
    """
    hop, length = n_fft // OVERLAP, waveform.shape[-1]
    count = -(-length // hop) + OVERLAP - 1
    before = n_fft // 2 + hop
    padded = np.pad(waveform, ((0, 0), (before, (count - 1) * hop + n_fft - before - length)))
    frames = sliding_window_view(padded, n_fft, axis=-1)[:, ::hop] * hann(n_fft)
    return scipy.fft.rfft(frames, axis=-1, overwrite_x=True)


def istft(spectrum: Array, n_fft: int, length: int) -> Array:
    """Invert `stft` by least squares (Griffin & Lim 1984, equation 6): complex [C, T', F'] -> float32 [C, length]."""
    hop = n_fft // OVERLAP
    frames = scipy.fft.irfft(spectrum, n_fft, axis=-1)
    frames *= hann(n_fft) / np.float32(0.375 * OVERLAP)  # the squared windows sum to 3/8 of their overlap
    channels, count, _ = frames.shape
    quarters = frames.reshape(channels, count, OVERLAP, hop)
    out = np.zeros((channels, count + OVERLAP - 1, hop), np.float32)
    for quarter in range(OVERLAP):
        out[:, quarter : quarter + count] += quarters[:, :, quarter]
    return out.reshape(channels, -1)[:, n_fft // 2 + hop :][:, :length]


def power_of(spectrum: Array) -> Array:
    """Return the squared magnitude."""
    return spectrum.real**2 + spectrum.imag**2


def unit(spectrum: Array) -> Array:
    """Return the phase, as complex numbers of magnitude 1."""
    return spectrum * (1.0 / np.maximum(np.abs(spectrum), np.float32(TINY)))
