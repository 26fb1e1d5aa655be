"""Learn how a genre's spectra lie within their mel bands and above them, which a log-mel cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import treble
from gst_jax.sound.analysis import LOG_MEL_FLOOR, decibels, powers
from gst_jax.types import Array

_RIDGE = 1e-3  # of the mean variance of a band
_RANGE = 60.0  # dB that a bin may stand above the loudest band of its frame, or below an empty one
BLOCK_SECONDS = 60  # of sound at a time


class Fit:
    """Ridge regression of each bin's level on the levels of all mel bands of its frame, both in dB.

    Which partials and which noise fill a band depends on the other bands of the frame, and differently in each
    genre; so does what sounds above the bands. Only moments are kept, so any length of sound is one pass and constant
    memory.
    """

    def __init__(self, audio: AudioConfig) -> None:
        """Begin with no sound, to be measured by the analysis `audio`."""
        self._audio = audio
        self._bins = _Moments(audio.n_mels, audio.n_fft // 2 + 1)
        self._treble = _Moments(audio.n_mels, treble.BANDS)

    def add(self, waveform: Array) -> None:
        """Learn from a waveform [N] at the analysis's sample rate."""
        size = BLOCK_SECONDS * self._audio.sample_rate
        for start in range(0, len(waveform), size):
            block = waveform[start : start + size]
            spectrum = sound.stft(block, self._audio)
            self._bins.add(sound.log_mel(block, self._audio), decibels(spectrum.real**2 + spectrum.imag**2))

    def add_treble(self, waveform: Array, wide: Array) -> None:
        """Learn what sounds above the mel bands, from at most `BLOCK_SECONDS` of a recording.

        Args:
            waveform: [N] at the analysis's sample rate.
            wide: the same sound at twice the rate, as loud, [2 N] give or take a few samples.
        """
        log_mel, levels = sound.log_mel(waveform, self._audio), sound.log_mel(wide, treble.wide(self._audio))
        count = min(len(log_mel), len(levels))
        self._treble.add(log_mel[:count], levels[:count])

    def moments(self) -> dict[str, Any]:
        """Return what was learned, for `merge`."""
        parts = {"bins": self._bins, "treble": self._treble}
        return {
            f"{name}.{key}": np.asarray(value) for name, part in parts.items() for key, value in vars(part).items()
        }

    def merge(self, moments: Mapping[str, Array]) -> None:
        """Learn what another fit had learned."""
        for name, part in {"bins": self._bins, "treble": self._treble}.items():
            for key, value in vars(part).items():
                setattr(part, key, value + moments[f"{name}.{key}"])

    def solve(self) -> Array:
        """Return the map, float32 [M + 1, F]: a row for each band's dB, then the constant.

        F is n_fft // 2 + 1, the bins, and `treble.BANDS` more where sound above the mel bands was learned from.
        """
        parts = [self._bins.solve()]
        if self._treble.count:
            parts.append(self._treble.solve())
        return np.concatenate(parts, axis=1)


class _Moments:
    """The moments of a ridge regression."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.count = 0
        self._inputs, self._outputs = np.zeros(inputs), np.zeros(outputs)
        self._squares, self._products = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))

    def add(self, inputs: Array, outputs: Array) -> None:
        """Count in frames, dB [T, inputs] and [T, outputs]."""
        self.count += len(inputs)
        self._inputs += inputs.sum(axis=0, dtype=np.float64)
        self._outputs += outputs.sum(axis=0, dtype=np.float64)
        self._squares += inputs.T @ inputs
        self._products += inputs.T @ outputs

    def solve(self) -> Array:
        """Return the slopes and, as a last row, the constants: float32 [inputs + 1, outputs]."""
        count = max(self.count, 1)
        inputs, outputs = self._inputs / count, self._outputs / count
        covariance = self._squares / count - np.outer(inputs, inputs)
        variance = np.maximum(np.diag(covariance), 1.0)  # dB squared: a band that never moves explains nothing
        covariance[np.diag_indices_from(covariance)] = variance * (1 + _RIDGE)
        slope = np.linalg.solve(covariance, self._products / count - np.outer(inputs, outputs))
        return np.concatenate([slope, [outputs - inputs @ slope]]).astype(np.float32)


def fit(waveforms: Iterable[Array], audio: AudioConfig) -> Array:
    """Learn from waveforms [N] at once, without treble: float32 [M + 1, n_fft // 2 + 1], as `Fit.solve`."""
    found = Fit(audio)
    for waveform in waveforms:
        found.add(waveform)
    return found.solve()


def flat(audio: AudioConfig) -> Array:
    """Return the map, shaped as `Fit.solve`'s, that fills every band evenly and knows no treble."""
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
