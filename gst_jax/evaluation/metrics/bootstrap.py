"""Estimate how much a figure would change with other tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gst_jax.types import Array

_CONFIDENCE = 0.95  # share of the draws that lie inside an interval


class Estimate(NamedTuple):
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[Array], float], tracks: int, repeats: int = 1000, recentre: bool = False
) -> Estimate:
    """Return a statistic of all tracks and its percentile bootstrap interval (Efron, 1979).

    Not by `scipy.stats.bootstrap`, which has no recentring and draws samples, where we draw indices of tracks.

    Args:
        statistic: computes the figure from the indices of the tracks drawn, [tracks], with repetition.
        tracks: number of tracks. Whole tracks are drawn, because the windows of one track are not independent.
        repeats: number of draws.
        recentre: shift the draws so that their mean is the figure. For statistics that are biased when a track is
            drawn twice, such as a distance between covariances.
    """
    draws = np.random.default_rng(0).integers(0, tracks, size=(repeats, tracks))
    figures = np.array([statistic(draw) for draw in draws])
    figures = figures[np.isfinite(figures)]
    value = float(statistic(np.arange(tracks)))
    if not len(figures):
        return Estimate(value, value, value)
    if recentre:
        figures += value - figures.mean()
    low, high = np.quantile(figures, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def mean(values: Sequence[float] | Array) -> Estimate:
    """Return the mean of one value per track, [tracks], and its interval."""
    array = np.asarray(values, np.float64)
    return bootstrap(lambda draw: float(array[draw].mean()), len(array))
