"""Find the linear map that gives one genre's log-mels the covariances of another's, in closed form."""

from __future__ import annotations

import numpy as np

from gst_jax.data import Genre
from gst_jax.learning.models import TRANSPORT, Parameters
from gst_jax.types import Array

_SHRINKAGE = 0.1  # of each covariance towards a multiple of the identity: what is hardly there is not blown up
_WINDOWS = 4000  # of a genre at most, evenly spaced: enough for its covariances, whatever its length


def gaussian_transport(source: Genre, target: Genre, taps: int) -> Array:
    """Return the optimal transport between two genres, each taken for a stationary Gaussian process.

    An equaliser gives each mel bin the target's mean and deviation. This gives all bins together, at each rate of
    modulation, the target's covariance too, and of all maps that do so it changes the sound least: with the
    cross-spectral densities S and T, `S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2` (Peyré & Cuturi 2019, "Computational
    Optimal Transport", remark 2.31), as a filter cut to length with a Hann window.

    Args:
        source: the genre to start from.
        target: the genre to reach.
        taps: frames that the filter sees, an odd number.

    Returns:
        float32 [taps, M, M], a kernel of `convolution_1d.conv1d` from standardised log-mels of the source to
        standardised ones of the target.
    """
    size = taps + 1
    before, after = (_cross_spectra(genre, size) for genre in (source, target))
    root, inverse = _power(before, 0.5), _power(before, -0.5)
    transfer = inverse @ _power(root @ after @ root, 0.5) @ inverse  # [rates, M, M]
    impulse = np.fft.fftshift(np.fft.irfft(transfer, size, axis=0), axes=0)[1:]  # y[t] = sum_k impulse[k] x[t - k]
    impulse *= np.hanning(size + 1)[1:-1, None, None]
    return np.ascontiguousarray(impulse[::-1].swapaxes(1, 2), np.float32)


def begin(generators: Parameters, genre_a: Genre, genre_b: Genre) -> Parameters:
    """Give generators `{"ab", "ba"}` the transport between two genres, where they have such a layer."""
    if TRANSPORT not in generators["ab"]:
        return generators
    taps = generators["ab"][TRANSPORT]["kernel"].shape[0]
    return {
        direction: generators[direction] | {TRANSPORT: {"kernel": gaussian_transport(source, target, taps)}}
        for direction, source, target in (("ab", genre_a, genre_b), ("ba", genre_b, genre_a))
    }


def _cross_spectra(genre: Genre, size: int) -> Array:
    """Measure how mel bins move together at each rate: complex [size // 2 + 1, M, M], positive definite."""
    mean, deviation = np.array(genre.statistics.mean), np.array(genre.statistics.deviation)
    taper = np.sqrt(np.hanning(size + 1)[:-1, None])
    firsts = np.array([track.start for track in genre.tracks])
    counts = np.array([max(track.frames - size, -1) // (size // 2) + 1 for track in genre.tracks])  # of windows
    ends = np.cumsum(counts)
    chosen = np.arange(0, ends[-1], -(-ends[-1] // _WINDOWS))
    tracks = np.searchsorted(ends, chosen, side="right")
    starts = firsts[tracks] + (chosen - (ends - counts)[tracks]) * (size // 2)
    total = np.zeros((size // 2 + 1, len(mean), len(mean)), np.complex128)
    for block in np.array_split(starts, -(-len(starts) // 64)):
        windows = np.stack([genre.log_mel[start : start + size] for start in block])
        spectra = np.fft.rfft(taper * (windows - mean) / deviation, axis=1).swapaxes(0, 1)  # [rates, windows, M]
        total += spectra.swapaxes(1, 2) @ spectra.conj()
    total /= len(starts)
    power = np.trace(total, axis1=1, axis2=2).real[:, None, None] / len(mean)
    return (1 - _SHRINKAGE) * total + _SHRINKAGE * power * np.eye(len(mean))


def _power(matrices: Array, exponent: float) -> Array:
    """Raise Hermitian positive definite matrices [..., M, M] to a power."""
    values, vectors = np.linalg.eigh(matrices)
    values = np.maximum(values, 1e-9) ** exponent
    return (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
