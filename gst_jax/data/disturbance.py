"""Disturb log-mels at random, as other instruments, rooms and recordings would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from gst_jax.config import AudioConfig
from gst_jax.sound import LOG_MEL_FLOOR
from gst_jax.sound.analysis import decibels, powers
from gst_jax.types import Array

# The most that each does, at a strength of 1.
_TILT = 9.0  # dB from the lowest to the highest band
_RIPPLE = 6.0  # dB, of each of the slow waves over the bands
_WAVES = 6
_SEMITONES = 2.0
_CONTRAST = 0.35  # share by which what a band does in time is made larger or smaller
_SMEAR = 0.8  # share of a frame's power that goes on into the next one
_BLUR = 3  # bands to either side
_NOISE = -18.0  # dB: the loudest noise below


@dataclass(frozen=True)
class Change:
    """What is done to one segment, in this order; None leaves a part out."""

    semitones: float | None  # up
    contrast: np.float32 | None  # factor of what a band does in time
    smear: float | None  # share of a frame's power that goes on into the next one
    width: int | None  # bands that are blurred into one
    noise: Array | None  # [T, M] dB
    filtered: Array  # [M] dB by which each band is turned up: the same for the whole song that the segment is of


class Disturbance:
    """Random changes of log-mels [T, M], drawn anew for each segment."""

    def __init__(self, audio: AudioConfig, strength: float) -> None:
        """Lay out the bands.

        Args:
            audio: of the log-mels.
            strength: 0 changes nothing, 1 the most.
        """
        from librosa import mel_frequencies  # takes half a second to import

        self._strength = strength
        self._centres = mel_frequencies(n_mels=audio.n_mels + 2, fmin=audio.f_min, fmax=audio.f_max)[1:-1]
        self._position = np.linspace(0, 1, audio.n_mels)

    def draw(self, rng: np.random.Generator, frames: int) -> Change:
        """Draw what to do to a segment of so many frames."""
        amount = self._strength * rng.uniform()
        semitones = amount * _SEMITONES * rng.uniform(-1, 1) if rng.uniform() < 0.5 else None
        contrast = np.float32(1 + amount * _CONTRAST * rng.uniform(-1, 1)) if rng.uniform() < 0.5 else None
        smear = amount * _SMEAR * rng.uniform() if rng.uniform() < 0.3 else None
        width = 1 + 2 * int(rng.integers(0, 1 + round(amount * _BLUR))) if rng.uniform() < 0.3 else None
        noise = None
        if rng.uniform() < 0.3:
            shape = frames, len(self._position)
            noise = np.asarray(rng.normal(_NOISE - 20 * (1 - amount), 1.0, shape), np.float32)
        return Change(semitones, contrast, smear, width, noise, self._filter(rng, amount))

    def __call__(self, log_mel: Array, change: Change) -> Array:
        """Return a segment [T, M] dB as a change makes it: float32 [T, M] dB."""
        if change.semitones is not None:
            log_mel = self._transposed(log_mel, change.semitones)
        if change.contrast is not None:
            mean = log_mel.mean(axis=0)
            log_mel = mean + change.contrast * (log_mel - mean)
        if change.smear is not None:
            log_mel = _smeared(log_mel, change.smear)
        if change.width is not None:
            log_mel = decibels(uniform_filter1d(powers(log_mel), change.width, axis=1, mode="nearest"))
        if change.noise is not None:
            log_mel = decibels(powers(log_mel) + powers(change.noise))
        return np.maximum(log_mel + change.filtered.astype(np.float32), np.float32(LOG_MEL_FLOOR))

    def _filter(self, rng: np.random.Generator, amount: float) -> Array:
        """Draw an equalisation, [M] dB with mean 0."""
        phases = rng.uniform(0, 2 * np.pi, (_WAVES, 1))
        waves = np.cos(np.pi * np.outer(np.arange(2, _WAVES + 2), self._position) + phases)
        ripple = _RIPPLE / _WAVES**0.5 * rng.normal(size=_WAVES)
        curve = _TILT * rng.uniform(-1, 1) * (self._position - 0.5) + ripple @ waves
        return amount * (curve - curve.mean())

    def _transposed(self, log_mel: Array, semitones: float) -> Array:
        """Move what sounds up or down by reading each band where its music was before."""
        before = np.interp(self._centres * 2 ** (-semitones / 12), self._centres, np.arange(len(self._centres)))
        low = np.minimum(before.astype(int), len(before) - 2)
        part = (before - low).astype(np.float32)
        return (1 - part) * log_mel[:, low] + part * log_mel[:, low + 1]


def _smeared(log_mel: Array, share: float) -> Array:
    """Let power ring on from frame to frame, as in a room."""
    from scipy.signal import lfilter

    coefficients = np.array([1 - share], np.float32), np.array([1, -share], np.float32)
    return decibels(lfilter(*coefficients, powers(log_mel), axis=0))
