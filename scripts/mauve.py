"""Measure how far two sets of points lie apart by MAUVE, a divergence that follows people's preference.

Pillutla et al. 2021, "MAUVE: Measuring the Gap Between Neural Text and Human Text using Divergence Frontiers"
(arXiv:2102.01454): both sets are quantised together by k-means, and the two histograms are compared with all their
mixtures. 1: the same; 0: nothing shared. It is biased upwards the fewer the points, so it ranks, and says no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gst_jax.evaluation.metrics import bootstrap
from gst_jax.types import Array

_SCALE = 5.0  # c of the paper
_MIXTURES = 25  # on the way from one set to the other
_KEPT = 0.9  # of the variance, before clustering
_PER_CLUSTER = 10  # points of the smaller set


def mauve(one: Sequence[Array], other: Sequence[Array]) -> bootstrap.Estimate:
    """Return the MAUVE of two sets of tracks with its interval over the tracks of the first.

    Args:
        one: windows of each track, [W_i, K].
        other: alike.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    points = np.concatenate([*one, *other]).astype(np.float64)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    smaller = min(sum(map(len, one)), sum(map(len, other)))
    clusters = max(2, round(smaller / _PER_CLUSTER))
    reduced = PCA(_KEPT, svd_solver="full").fit_transform(points)
    labels = KMeans(clusters, n_init=5, random_state=0).fit_predict(reduced)
    parts = np.split(labels, np.cumsum([len(track) for track in (*one, *other)])[:-1])
    counts = np.stack([np.bincount(part, minlength=clusters) for part in parts])
    ours, goal = counts[: len(one)], counts[len(one) :].sum(axis=0)
    return bootstrap.bootstrap(lambda draw: area(ours[draw].sum(axis=0), goal), len(one))


def area(one: Array, other: Array) -> float:
    """Return the area under the divergence curve of two histograms, [clusters] each: the paper's equation 2."""
    p, q = one / one.sum(), other / other.sum()
    curve = [(0.0, 1.0), (1.0, 0.0)]
    for share in np.linspace(0, 1, _MIXTURES + 2)[1:-1]:
        mixture = share * p + (1 - share) * q
        curve.append((np.exp(-_SCALE * _divergence(q, mixture)), np.exp(-_SCALE * _divergence(p, mixture))))
    x, y = np.array(sorted(curve, key=lambda point: (point[0], -point[1]))).T
    return float(np.trapezoid(y, x))


def _divergence(p: Array, q: Array) -> float:
    """Return the Kullback-Leibler divergence of q from p, which must be 0 where q is."""
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / q[there])))
