"""Lay the mel bands of the analysis over the bins of a transform at any sample rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from gst_jax.config import AudioConfig
from gst_jax.sound import mel_filters
from gst_jax.types import Array

MAX_TREBLE_GAIN = 12.0  # dB, above the highest mel band, where the gain is only a guess
_TREBLE_BANDS = 4  # the highest mel bands, whose mean gain holds above them


@dataclass(frozen=True)
class Bands:
    """What `make_bands` returns."""

    count: int  # bins up to the end of the highest mel band
    lower: Array  # int [F'], the band below each bin
    weight: Array  # float32 [F'], how near each bin is to the band above
    filters: csr_array  # [count, M]
    shares: csr_array  # [M, count], the filters' shares of each bin, which sum to 1; below all filters 0
    frequencies: Array  # float32 [count], Hz
    scale: np.float32  # power of a bin here, over that of one of the analysis

    def measure(self, power: Array) -> Array:
        """Sum the power of bins in mel bands, as the analysis would: [C, T', count] -> [C, T', M]."""
        return _apply(power, self.filters)

    def spread(self, values: Array) -> Array:
        """Return for each bin the weighted mean of its bands' values: [C, T', M] -> [C, T', count]."""
        return _apply(values, self.shares)

    def draw(self, values: Array) -> Array:
        """Draw lines through values at the centres of the bands: [T', M] -> [T', F']."""
        out = values[:, self.lower]
        out += (values[:, self.lower + 1] - out) * self.weight
        return out

    def interpolate(self, gain: Array) -> Array:
        """Draw a smooth gain in dB through the centres of the bands, held above them: [T', M] -> [T', F']."""
        out = self.draw(gain)
        held = gain[:, -_TREBLE_BANDS:].mean(axis=1, keepdims=True)
        out[:, self.count :] = np.clip(held, -MAX_TREBLE_GAIN, MAX_TREBLE_GAIN)
        return out


@lru_cache(maxsize=8)
def make_bands(sample_rate: int, n_fft: int, audio: AudioConfig) -> Bands:
    """Lay the bands of `audio` over a transform of `n_fft` samples at `sample_rate`."""
    filters = mel_filters(audio)
    own = np.fft.rfftfreq(audio.n_fft, 1 / audio.sample_rate)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    position = np.interp(bins, filters @ own / filters.sum(axis=1), np.arange(audio.n_mels))
    lower = np.minimum(position.astype(int), audio.n_mels - 2)
    count = int(np.searchsorted(bins, audio.f_max, side="right"))
    filters = np.stack([np.interp(bins[:count], own, row) for row in filters]).astype(np.float32)
    shares = filters.copy()
    for edge in (0, -1):  # the outermost bins may be in no filter, and follow the nearest
        shares[edge, edge] += not shares[:, edge].any()
    scale = np.float32((n_fft / audio.n_fft) ** 2)  # power grows with the square of the window's length
    return Bands(
        count=count,
        lower=lower,
        weight=(position - lower).astype(np.float32),
        filters=csr_array(np.ascontiguousarray(filters.T / scale)),
        shares=csr_array(shares / np.where(shares.any(axis=0), shares.sum(axis=0), 1)),
        frequencies=bins[:count].astype(np.float32),
        scale=scale,
    )


def _apply(rows: Array, matrix: csr_array) -> Array:
    flat = rows.reshape(-1, rows.shape[-1]) @ matrix
    return flat.reshape(*rows.shape[:-1], matrix.shape[1])
