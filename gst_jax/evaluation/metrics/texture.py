"""Describe the texture of a sound: features that do not change when it is equalised.

Each mel band is standardised over the whole track, so that matching the mean and deviation of every band, as an
equaliser does, changes next to nothing here. What remains is rhythm, attack, decay, roughness and vibrato.
"""

from __future__ import annotations

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.types import Array

WINDOW_SECONDS, HOP_SECONDS = 4.0, 2.0
_BANDS = 8  # groups of neighbouring mel bins, and of neighbouring frequencies
_RATES = (0.5, 1.5, 3.0, 5.0, 8.0, 12.0, 18.0, 31.0)  # Hz, edges of the modulation bands
_LAGS = (0.03, 0.1, 0.25)  # seconds after which a partial is looked for again
_DEPTH = 1e-4  # power of a band's floor relative to its loud moments, -40 dB
_SILENCE = 1e-7  # power added before logarithms
_DEVIATION_FLOOR = 3.0  # dB: a band that varies less is silence or noise, and is not blown up
_SMOOTHING = 17  # frequency bins of the spectral envelope, above which partials stand out


def describe(power: Array, audio: AudioConfig) -> Array:
    """Describe windows of four seconds, one every two seconds.

    Args:
        power: [T, F], squared magnitudes of `sound.stft`.
        audio: frame sizes.

    Returns:
        [W, D], at least one window: of the mel bands the modulation spectrum and the statistics of their change, of
        the partials how far they stand out and how long they persist.
    """
    bands = power @ sound.mel_filters(audio).T
    # The floor of each band is relative to its own loud moments, so an equaliser cannot lift quiet parts above it.
    log_mel = 10 * np.log10(np.maximum(bands, _DEPTH * np.quantile(bands, 0.95, axis=0)) + _SILENCE)
    motion = (log_mel - log_mel.mean(axis=0)) / np.maximum(log_mel.std(axis=0), _DEVIATION_FLOOR)
    spread, energy, persistent = _tonality(_partials(power), audio)
    window, hop = (int(seconds * audio.frames_per_second) for seconds in (WINDOW_SECONDS, HOP_SECONDS))
    out = []
    for start in range(0, max(len(power) - window, 0) + 1, hop):
        part = slice(start, start + window)
        strength = energy[part].mean(axis=0) + 1e-3
        out.append(
            np.concatenate(
                [
                    _modulation(motion[part], audio),
                    _change(motion[part]),
                    spread[part].mean(axis=0),
                    *(products[part].mean(axis=0) / strength for products in persistent),
                ]
            )
        )
    return np.stack(out).astype(np.float32)


def recolour(power: Array, rng: np.random.Generator) -> Array:
    """Change at random what does not make a genre: equalisation, tilt, level and pitch (up to 4 semitones).

    Args:
        power: [T, F].
        rng: draws the changes.

    Returns:
        [T, F].
    """
    bins = power.shape[1]
    position = np.linspace(0, 1, bins)
    knots = rng.normal(0, 6, 8)  # dB, closer together at low frequencies
    gain = np.interp(np.sqrt(position), np.linspace(0, 1, 8), knots)
    gain += rng.uniform(-12, 12) * (position - 0.5) + rng.uniform(-12, 6)
    source = np.clip(np.arange(bins) / 2 ** (rng.uniform(-4, 4) / 12), 0, bins - 1)
    below = np.minimum(source.astype(int), bins - 2)
    share = (source - below).astype(np.float32)
    shifted = power[:, below] * (1 - share) + power[:, below + 1] * share
    return shifted * (10 ** (gain / 10)).astype(np.float32)


def _partials(power: Array) -> Array:
    """Return how far each frequency stands out of its neighbourhood, in dB: [T, F] -> [T, F]."""
    level = 10 * np.log10(power + _SILENCE)
    half = _SMOOTHING // 2
    summed = np.cumsum(np.pad(level, ((0, 0), (half + 1, half)), mode="edge"), axis=1, dtype=np.float64)
    return (level - (summed[:, _SMOOTHING:] - summed[:, :-_SMOOTHING]) / _SMOOTHING).astype(np.float32)


def _modulation(motion: Array, audio: AudioConfig) -> Array:
    """Return the modulation spectrum, log energy per band of rates and of mel: [T, M] -> [rates * _BANDS]."""
    taper = np.hanning(len(motion))[:, None]
    energy = np.square(np.abs(np.fft.rfft((motion - motion.mean(axis=0)) * taper, axis=0))) / len(motion)
    rates = np.fft.rfftfreq(len(motion), 1 / audio.frames_per_second)
    bands = (energy[(rates >= low) & (rates < high)] for low, high in zip(_RATES, _RATES[1:], strict=False))
    return np.concatenate([np.log(_grouped(band.sum(axis=0) / max(len(band), 1)) + 1e-4) for band in bands])


def _change(motion: Array) -> Array:
    """Return statistics of the mel bands' motion: rise, skewness, kurtosis, skewed level: [T, M] -> [4 * _BANDS]."""
    change = np.diff(motion, axis=0)
    spread = change.std(axis=0) + 1e-3
    square, level = np.square(change), motion - motion.mean(axis=0)
    return np.concatenate(
        [
            np.log(_grouped(np.maximum(change, 0).mean(axis=0)) + 1e-3),
            _grouped((change * square).mean(axis=0) / spread**3),
            np.log(_grouped(np.square(square).mean(axis=0) / spread**4) + 1e-3),
            _grouped((level * np.square(level)).mean(axis=0) / (level.std(axis=0) + 1e-2) ** 3),
        ]
    )


def _tonality(partials: Array, audio: AudioConfig) -> tuple[Array, Array, list[Array]]:
    """Measure how far partials stand out of each frame and how long they persist.

    Args:
        partials: [T, F] dB.
        audio: frame sizes.

    Returns:
        In _BANDS + 1 bands of frequency: the log deviation of the partials [T, bands], their energy [T, bands], and
        for each of _LAGS the product with the partials that much later, [T - lag, bands].
    """
    edges = np.geomspace(4, partials.shape[1], _BANDS + 2).astype(int)  # two frequencies in the lowest band

    def banded(values: Array) -> Array:
        return np.add.reduceat(values[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges).astype(np.float32)

    energy = banded(np.square(partials))
    spread = np.log(np.sqrt(np.maximum(energy - np.square(banded(partials)), 0)) + 0.1)
    lags = (min(round(seconds * audio.frames_per_second), len(partials) - 1) for seconds in _LAGS)
    return spread, energy, [banded(partials[: len(partials) - lag] * partials[lag:]) for lag in lags]


def _grouped(values: Array) -> Array:
    """Average neighbouring bins: [M] -> [_BANDS]."""
    return np.array([group.mean() for group in np.array_split(values, _BANDS)])
