"""Read log-mel frames that lie in several files as one array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax.types import Array

_OPEN = 64  # shards of a genre that are mapped at a time: systems allow a few hundred open files


class Frames:
    """Log-mel frames that lie in shards, addressed as one array [T, M]; of a slice, only that is read."""

    def __init__(self, pieces: Sequence[tuple[Path, int, int]], n_mels: int) -> None:
        """Line up pieces of shards: the path of each, its first frame there, its frames."""
        self._pieces = pieces
        self._ends = np.cumsum([frames for _, _, frames in pieces])
        self.shape = (int(self._ends[-1]) if pieces else 0, n_mels)
        self._mapped = lru_cache(maxsize=_OPEN)(_mapped)

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> Array:
        """Return some frames, float32 [t, M] dB, read-only."""
        first, last, _ = frames.indices(len(self))
        parts = []
        number = int(np.searchsorted(self._ends, first, side="right"))
        while first < last:
            path, start, count = self._pieces[number]
            begin = int(self._ends[number]) - count
            end = min(last, begin + count)
            parts.append(self._mapped(path)[start + first - begin : start + end - begin])
            first, number = end, number + 1
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros((0, self.shape[1]), np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all frames, for NumPy."""
        return np.asarray(self[:], dtype)


def _mapped(shard: Path) -> Array:
    return np.asarray(np.load(shard.with_suffix(".npy"), mmap_mode="r"))  # a plain array is sliced faster
