"""Learn how a genre's spectra lie within their mel bands, which a log-mel cannot say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound.analysis import LOG_MEL_FLOOR, decibels, powers
from gst_jax.types import Array

_RIDGE = 1e-3  # of the mean variance of a band
_RANGE = 60.0  # dB that a bin may stand above the loudest band of its frame, or below an empty one
BLOCK_SECONDS = 60  # of sound at a time


class Fit:
    """Ridge regression of each bin's level on the levels of all mel bands of its frame, both in dB.

    Which partials and which noise fill a band depends on the other bands of the frame, and differently in each
    genre. Only moments are kept, so any length of sound is one pass and constant memory.
    """

    def __init__(self, audio: AudioConfig) -> None:
        """Begin with no sound, to be measured by the analysis `audio`."""
        self._audio = audio
        bins = audio.n_fft // 2 + 1
        self._count = 0
        self._bands, self._bins = np.zeros(audio.n_mels), np.zeros(bins)
        self._squares, self._products = np.zeros((audio.n_mels, audio.n_mels)), np.zeros((audio.n_mels, bins))

    def add(self, waveform: Array) -> None:
        """Learn from a waveform [N] at the analysis's sample rate."""
        size = BLOCK_SECONDS * self._audio.sample_rate
        for start in range(0, len(waveform), size):
            block = waveform[start : start + size]
            log_mel = sound.log_mel(block, self._audio)
            spectrum = sound.stft(block, self._audio)
            levels = decibels(spectrum.real**2 + spectrum.imag**2)
            self._count += len(log_mel)
            self._bands += log_mel.sum(axis=0, dtype=np.float64)
            self._bins += levels.sum(axis=0, dtype=np.float64)
            self._squares += log_mel.T @ log_mel
            self._products += log_mel.T @ levels

    def solve(self) -> Array:
        """Return the map, float32 [M + 1, n_fft // 2 + 1]: a row for each band's dB, then the constant."""
        count = max(self._count, 1)
        bands, bins = self._bands / count, self._bins / count
        covariance = self._squares / count - np.outer(bands, bands)
        variance = np.maximum(np.diag(covariance), 1.0)  # dB squared: a band that never moves explains nothing
        covariance[np.diag_indices_from(covariance)] = variance * (1 + _RIDGE)
        slope = np.linalg.solve(covariance, self._products / count - np.outer(bands, bins))
        return np.concatenate([slope, [bins - bands @ slope]]).astype(np.float32)


def fit(waveforms: Iterable[Array], audio: AudioConfig) -> Array:
    """Learn from waveforms [N] at once: float32 [M + 1, n_fft // 2 + 1], as `Fit.solve`."""
    found = Fit(audio)
    for waveform in waveforms:
        found.add(waveform)
    return found.solve()


def flat(audio: AudioConfig) -> Array:
    """Return the map, shaped as `Fit.solve`'s, that fills every band evenly."""
    return np.zeros((audio.n_mels + 1, audio.n_fft // 2 + 1), np.float32)


def fill(fine_structure: Array, band_powers: Array, frequencies: Array, audio: AudioConfig) -> Array:
    """Predict the power of bins from that of the mel bands.

    Args:
        fine_structure: from `Fit.solve`.
        band_powers: [..., M], as the analysis measures them.
        frequencies: [F] Hz, of the bins wanted, at most half the analysis's sample rate.
        audio: of the analysis.

    Returns:
        float32 [..., F], on the scale of the analysis's spectra.
    """
    position = frequencies * np.float32(audio.n_fft / audio.sample_rate)
    lower = np.minimum(position.astype(int), audio.n_fft // 2 - 1)
    weight = (position - lower).astype(np.float32)
    laid = fine_structure[:, lower] * (1 - weight) + fine_structure[:, lower + 1] * weight
    levels = decibels(band_powers)
    # Of bands unlike all that it learned from, a regression says anything; the mel bands are fitted afterwards.
    highest = levels.max(axis=-1, keepdims=True) + _RANGE
    return powers(np.clip(levels @ laid[:-1] + laid[-1], LOG_MEL_FLOOR - _RANGE, highest))
