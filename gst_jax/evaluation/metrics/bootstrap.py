"""Say how far a figure would move with other tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gst_jax.types import Array

_CONFIDENCE = 0.95  # share of the draws inside an interval


class Estimate(NamedTuple):
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[Array], float], tracks: int, repeats: int = 1000, recentre: bool = False
) -> Estimate:
    """Return a statistic of all tracks and its percentile bootstrap interval (Efron, 1979).

    `scipy.stats.bootstrap` has no recentring, and draws samples where we draw tracks.

    Args:
        statistic: maps the indices of the tracks drawn, [tracks] with repetition, to the figure.
        tracks: how many there are; whole tracks are drawn, since the windows of one track are not independent.
        repeats: how many draws.
        recentre: shift the draws so that their mean is the figure, for statistics that repeated tracks bias, such as
            a distance between covariances.
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
    """Return the mean of one figure per track, [tracks], with its interval."""
    array = np.asarray(values, np.float64)
    return bootstrap(lambda draw: float(array[draw].mean()), len(array))
