"""Describe how loud each mel band is and how it moves: what an equaliser changes, too, unlike `texture`."""

from __future__ import annotations

import numpy as np

from gst_jax.config import AudioConfig
from gst_jax.types import Array

WINDOW_SECONDS, HOP_SECONDS = 4.0, 2.0
_QUIET, _LOUD = 0.1, 0.9  # quantiles of a band's level
_STEEP = 0.95  # quantile of its change from frame to frame: attacks


def describe(log_mel: Array, audio: AudioConfig) -> Array:
    """Describe windows of four seconds, one every two seconds.

    Args:
        log_mel: [T, M] dB.
        audio: its frames.

    Returns:
        [W, 6 M], at least one window: of each band the mean, the deviation and two quantiles of its level, the
        deviation and a quantile of its change from frame to frame, all in dB.
    """
    window, hop = (int(seconds * audio.frames_per_second) for seconds in (WINDOW_SECONDS, HOP_SECONDS))
    found = []
    for start in range(0, max(len(log_mel) - window, 0) + 1, hop):
        level = log_mel[start : start + window]
        change = np.diff(level, axis=0)
        parts = (
            level.mean(axis=0),
            level.std(axis=0),
            *np.quantile(level, (_QUIET, _LOUD), axis=0),
            change.std(axis=0),
            np.quantile(change, _STEEP, axis=0),
        )
        found.append(np.concatenate(parts))
    return np.stack(found)
