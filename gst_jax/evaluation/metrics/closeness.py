"""Measure how far a conversion is from the true arrangement, frame by frame."""

from __future__ import annotations

import numpy as np
import scipy.fft

from gst_jax.sound.analysis import decibels
from gst_jax.types import Array

_COEFFICIENTS = 13  # of the cepstrum, counting the first, which is the level and is dropped


def log_mel_distance(log_mel: Array, truth: Array) -> float:
    """Return the mean absolute difference of two log-mels.

    Args:
        log_mel: [T, M] in dB.
        truth: [T, M] in dB, aligned with it.

    Returns:
        The distance in dB, mean over frames and bins.
    """
    _check_aligned(log_mel, truth)
    return float(np.mean(np.abs(log_mel - truth)))


def log_spectral_distance(spectrum: Array, truth: Array) -> float:
    """Return the log-spectral distance (Gray and Markel, 1976): RMS over frequency, mean over frames.

    Args:
        spectrum: [T, F] complex or magnitude.
        truth: [T, F], aligned with it.

    Returns:
        The distance in dB.
    """
    _check_aligned(spectrum, truth)
    difference = _decibels(spectrum) - _decibels(truth)
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=-1))))


def mfcc(log_mel: Array) -> Array:
    """Return mel-frequency cepstral coefficients without the level: [T, M] in dB -> [T, _COEFFICIENTS - 1] in dB."""
    return scipy.fft.dct(log_mel, norm="ortho")[..., 1:_COEFFICIENTS]


def mfcc_distance(log_mel: Array, truth: Array) -> float:
    """Return the mean Euclidean distance of the cepstra of two log-mels, [T, M] in dB each."""
    _check_aligned(log_mel, truth)
    return float(np.mean(np.linalg.norm(mfcc(log_mel) - mfcc(truth), axis=-1)))


def _decibels(spectrum: Array) -> Array:
    return decibels(np.square(np.abs(spectrum)))


def _check_aligned(one: Array, other: Array) -> None:
    if one.shape != other.shape or not len(one):
        raise ValueError(f"sounds of shape {one.shape} and {other.shape} cannot be compared frame by frame")
