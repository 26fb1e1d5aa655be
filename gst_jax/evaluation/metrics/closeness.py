"""Measure how far a sound is from its true arrangement, frame by frame."""

from __future__ import annotations

import numpy as np

from gst_jax.types import Array

POWER_FLOOR = 1e-5  # -50 dB, the floor of the log-mels: what lies below it is silence


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


def mfcc(log_mel: Array, coefficients: int = 13) -> Array:
    """Return mel-frequency cepstra without the level term: coefficients 1 to `coefficients` - 1.

    Args:
        log_mel: [T, M] in dB.
        coefficients: how many of the orthonormal DCT-II to count, the level included.

    Returns:
        [T, coefficients - 1] in dB.
    """
    bins = log_mel.shape[-1]
    order, position = np.arange(1, coefficients), np.arange(bins) + 0.5
    basis = np.sqrt(2 / bins) * np.cos(np.pi / bins * position[:, None] * order)
    return (log_mel @ basis).astype(np.float32)


def mfcc_distance(log_mel: Array, truth: Array) -> float:
    """Return the mean Euclidean distance of the cepstra of two log-mels, [T, M] in dB each."""
    _check_aligned(log_mel, truth)
    return float(np.mean(np.linalg.norm(mfcc(log_mel) - mfcc(truth), axis=-1)))


def _decibels(spectrum: Array) -> Array:
    return 10 * np.log10(np.maximum(np.square(np.abs(spectrum)), POWER_FLOOR))


def _check_aligned(one: Array, other: Array) -> None:
    if one.shape != other.shape or not len(one):
        raise ValueError(f"sounds of shape {one.shape} and {other.shape} cannot be compared frame by frame")
