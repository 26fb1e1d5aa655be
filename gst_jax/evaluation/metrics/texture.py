"""Describe how a sound moves without its colour: features that an equaliser cannot fake.

Each mel band is standardised over the whole track, so matching every band's mean or deviation, which is what an
equaliser does, changes next to nothing here; what remains is rhythm, attack, decay, roughness, vibrato.
"""

from __future__ import annotations

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.types import Array

WINDOW_SECONDS, HOP_SECONDS = 4.0, 2.0
_BANDS = 8  # groups of neighbouring mel bins, and of neighbouring frequencies
_RATES = (0.5, 1.5, 3.0, 5.0, 8.0, 12.0, 18.0, 31.0)  # Hz, edges of the modulation bands
_LAGS = (0.03, 0.1, 0.25)  # seconds over which a partial may persist
_DEPTH = 1e-4  # 40 dB
_SILENCE = 1e-7  # power
_DEVIATION_FLOOR = 3.0  # dB: less is silence or noise, not to be blown up
_SMOOTHING = 17  # frequency bins: the envelope, of which the partials stand out


def describe(power: Array, audio: AudioConfig) -> Array:
    """Measure windows of four seconds, every two.

    Args:
        power: [T, F], squared magnitudes of `audio.stft`.
        audio: frame sizes.

    Returns:
        [W, D], at least one window: modulation spectrum, change and skewness of each mel band; peakiness across
        frequency and persistence over time of the partials.
    """
    bands = power @ sound.mel_filters(audio).T
    # Each band's floor lies below its own loud moments: an equaliser moves both, so it uncovers nothing.
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
    """Change what makes no genre: equalisation, tilt, level, pitch (up to 4 semitones), each at random.

    Args:
        power: [T, F].
        rng: decides the changes.

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
    """Return the log energy of the mel bands' motion in each band of rates: [T, M] -> [rates * _BANDS]."""
    taper = np.hanning(len(motion))[:, None]
    energy = np.square(np.abs(np.fft.rfft((motion - motion.mean(axis=0)) * taper, axis=0))) / len(motion)
    rates = np.fft.rfftfreq(len(motion), 1 / audio.frames_per_second)
    bands = (energy[(rates >= low) & (rates < high)] for low, high in zip(_RATES, _RATES[1:], strict=False))
    return np.concatenate([np.log(_grouped(band.sum(axis=0) / max(len(band), 1)) + 1e-4) for band in bands])


def _change(motion: Array) -> Array:
    """Return how sudden, one-sided or peaked the mel bands' motion is: [T, M] -> [4 * _BANDS]."""
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
    """Return how far partials stand out of each frame, next to what stays of them some time later.

    Args:
        partials: [T, F] dB.
        audio: frame sizes.

    Returns:
        In each of _BANDS + 1 bands of frequency: their log deviation [T, bands], their energy [T, bands], then for
        each of _LAGS their product with the partials that much later, [T - lag, bands].
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
