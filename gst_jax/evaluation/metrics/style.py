"""Measure style in an embedding of textures: as a distance to real music, or by classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.spatial

from gst_jax.types import Array

_DIMENSIONS = 16
_SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity, as there are more features than tracks


@dataclass(frozen=True)
class StyleEmbedding:
    """A linear embedding that keeps different tracks apart and the recoloured windows of one track together.

    Classification by the nearest centroid in it is linear discriminant analysis.
    """

    genres: tuple[str, ...]
    mean: Array  # [D]
    projection: Array  # [D, K]
    centroids: Array  # [genres, K]

    def embed(self, features: Array) -> Array:
        """Place windows [W, D] in the embedding, [W, K]."""
        return (features - self.mean) @ self.projection

    def log_odds(self, embedded: Array, genre: str) -> Array:
        """Return the log-odds of a genre against the likeliest other one, in nats: windows [W, K] -> [W]."""
        likelihood = -0.5 * np.sum(np.square(embedded[:, None] - self.centroids), axis=-1)
        index = self.genres.index(genre)
        return likelihood[:, index] - np.delete(likelihood, index, axis=1).max(axis=1)


def fit_embedding(tracks: Mapping[str, Sequence[Sequence[Array]]]) -> StyleEmbedding:
    """Fit the embedding to tracks of known genre.

    Not by scikit-learn's linear discriminants, which want genres as classes: here every track is a class.

    Args:
        tracks: for each genre its tracks, each a list of `texture.describe` results [W, D]: of the track itself and
            of randomly recoloured copies of it.

    Returns:
        The directions in which tracks differ most compared with how much one track varies, over time and between
        its copies: linear discriminants with a shrunken covariance. One unit is the deviation within a track.
    """
    windows = [np.concatenate(versions).astype(np.float64) for group in tracks.values() for versions in group]
    everything = np.concatenate(windows)
    mean, scale = (
        everything.mean(axis=0),
        np.maximum(everything.std(axis=0), 1e-3),
    )  # a constant feature is not blown up
    windows = [(track - mean) / scale for track in windows]
    centres = np.stack([track.mean(axis=0) for track in windows])
    inner = np.concatenate([track - centre for track, centre in zip(windows, centres, strict=True)])
    within = inner.T @ inner / len(inner)
    sphere = np.eye(len(within)) * np.trace(within) / len(within)
    within = (1 - _SHRINKAGE) * within + _SHRINKAGE * sphere
    between = np.cov(centres.T)
    _, directions = scipy.linalg.eigh(between, within)
    projection = directions[:, ::-1][:, : min(_DIMENSIONS, len(centres) - 1)]
    labels = np.repeat(np.arange(len(tracks)), [len(group) for group in tracks.values()])
    centroids = np.stack([centres[labels == label].mean(axis=0) for label in range(len(tracks))])
    return StyleEmbedding(tuple(tracks), mean, projection / scale[:, None], centroids @ projection)


def bandwidth(points: Array) -> float:
    """Return the median distance between points [n, K], the usual width of a Gaussian kernel."""
    return float(np.median(scipy.spatial.distance.pdist(points)))


def kernel_means(one: Sequence[Array], other: Sequence[Array], width: float) -> Array:
    """Return the mean Gaussian kernel over the windows of each pair of tracks, [tracks of one, tracks of other].

    Args:
        one: tracks of windows [W_i, K].
        other: tracks of windows [V_j, K].
        width: of the kernel exp(-|x - y|^2 / (2 width^2)).
    """
    squares = scipy.spatial.distance.cdist(np.concatenate(one), np.concatenate(other), "sqeuclidean")
    kernel = np.exp(squares / (-2 * width**2))
    for axis, tracks in enumerate((one, other)):
        sizes = [len(track) for track in tracks]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        kernel = np.add.reduceat(kernel, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return kernel


def kernel_distance(within_one: Array, within_other: Array, across: Array, draw: Array | None = None) -> float:
    """Return the unbiased squared maximum mean discrepancy (Gretton et al., 2012, equation 3) of two sets of tracks.

    The windows of one track are not independent, so within a set only pairs of different tracks count.

    Args:
        within_one: `kernel_means` of one set with itself, [n, n].
        within_other: of the other, [m, m].
        across: between them, [n, m].
        draw: indices of a bootstrap sample of the first set, [n]; None takes each track once.

    Returns:
        About 0, also slightly below, for two samples of one distribution; nan when no two tracks differ.
    """
    draw = np.arange(len(within_one)) if draw is None else draw
    return _pairs(within_one, draw) + _pairs(within_other, np.arange(len(within_other))) - 2 * across[draw].mean()


def frechet_distance(one: Array, other: Array) -> float:
    """Return the Fréchet distance of the Gaussians fitted to two sets (Heusel et al., 2017, equation 6).

    Args:
        one: [n, K].
        other: [m, K].

    Returns:
        The distance; nan when a set is a single point.
    """
    if min(len(one), len(other)) < 2:
        return float("nan")
    covariance, covariance_other = (np.atleast_2d(np.cov(part.T)) for part in (one, other))
    root = _root(covariance)
    shared = np.trace(_root(root @ covariance_other @ root))
    apart = np.sum(np.square(one.mean(axis=0) - other.mean(axis=0)))
    return float(apart + np.trace(covariance) + np.trace(covariance_other) - 2 * shared)


def diversity(tracks: Sequence[Array]) -> float:
    """Return the RMS distance between the centres of tracks [W_i, K], which is small when all sound alike."""
    centres = np.stack([track.mean(axis=0) for track in tracks])
    return float(np.sqrt(2 * np.sum(centres.var(axis=0, ddof=1))))


def _pairs(means: Array, draw: Array) -> float:
    different = draw[:, None] != draw
    return float(means[np.ix_(draw, draw)][different].mean()) if different.any() else float("nan")


def _root(matrix: Array) -> Array:
    """Return the symmetric square root of a positive semi-definite matrix [K, K]."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
