"""Cut two genres into segments, in an order that is a pure function of the seed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gst_jax.config import Config
from gst_jax.data.disturbance import Disturbance
from gst_jax.data.genres import Genre
from gst_jax.sound import levels
from gst_jax.types import Array

PARTS = ("a", "b", "real_a", "real_b")  # of a batch


class Batches:
    """Batches of two genres, standardised per genre and mel bin.

    An epoch shows every segment of the larger genre at least once. Meanwhile the smaller one is gone through several
    times, each time in a new order.
    """

    def __init__(self, genre_a: Genre, genre_b: Genre, settings: Config) -> None:
        """Lay out the epochs; nothing is read yet.

        Args:
            genre_a: served as `a`.
            genre_b: served as `b`.
            settings: the segment length, the batch size, the seed.
        """
        self._sides = [_Side(genre, settings) for genre in (genre_a, genre_b)]
        self._batch_size = settings.training.batch_size
        self._seed = settings.training.seed
        self._order = lru_cache(maxsize=4)(self._permutation)  # of each genre, the two that a batch may span

    @property
    def steps_per_epoch(self) -> int:
        """Micro-batches in one epoch."""
        return -(-max(side.segments for side in self._sides) // self._batch_size)

    def batch_at(self, step: int, rows: slice = slice(None)) -> dict[str, Array]:
        """Return the batch of micro-batch `step`, or some of its segments, whatever was asked for before.

        Each segment is moved by a random time, up to half its length either way, as far as its track allows.

        Returns:
            New float32 [B, T, M]. `real_a` and `real_b`: log-mels in dB, minus the genre's mean in each bin, divided
            by its deviation. `a` and `b`: the same segments as the generators are given songs, disturbed, and
            standardised by levels of which `model.song_share` are the song's own.
        """
        pairs = [self._side_at(index, step, rows) for index in range(2)]
        (a, real_a), (b, real_b) = pairs
        return {"a": a, "b": b, "real_a": real_a, "real_b": real_b}

    def _side_at(self, index: int, step: int, rows: slice) -> tuple[Array, Array]:
        side = self._sides[index]
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        first = step_of_epoch * self._batch_size
        places = (divmod(place, side.segments) for place in range(first, first + self._batch_size))
        segments = np.array([self._order(index, epoch, cycle)[place] for cycle, place in places])
        low, high = side.bounds(segments)
        rng = np.random.default_rng((self._seed, 1, index, step))
        return side.cut(rng.integers(low, high, endpoint=True), rng, rows)

    def _permutation(self, index: int, epoch: int, cycle: int) -> Array:
        """Shuffle the segments of a genre, int64 [segments]."""
        return np.random.default_rng((self._seed, 0, index, epoch, cycle)).permutation(self._sides[index].segments)


class _Side:
    """One genre as segments: as many as fit into each track, end to end."""

    def __init__(self, genre: Genre, settings: Config) -> None:
        self._log_mel = genre.log_mel
        self._length = length = settings.audio.segment_frames
        self._genre = (
            np.array(genre.statistics.mean, np.float32),
            np.array(genre.statistics.deviation, np.float32),
        )
        self._starts = np.array([track.start for track in genre.tracks])
        self._frames = np.array([track.frames for track in genre.tracks])
        self._counts = self._frames // length
        self._ends = np.cumsum(self._counts)
        self.segments = int(self._ends[-1])
        self._share = settings.model.song_share
        self._songs = genre.levels
        strength = settings.data.disturbance
        self._disturb = Disturbance(settings.audio, strength) if strength else None

    def bounds(self, segments: Array) -> tuple[Array, Array]:
        """Return the first and the last frame at which each of the segments [B] may start."""
        track = np.searchsorted(self._ends, segments, side="right")
        place = (segments - (self._ends[track] - self._counts[track])) * self._length
        low = np.maximum(place - self._length // 2, 0)
        high = np.minimum(place + self._length // 2, self._frames[track] - self._length)
        return self._starts[track] + low, self._starts[track] + high

    def cut(self, starts: Array, rng: np.random.Generator, rows: slice) -> tuple[Array, Array]:
        """Copy rows of the segments that start at the given frames [B]: [b, T, M], as songs and as real music."""
        songs, real = [], []
        wanted = range(len(starts))[rows]
        for row, start in enumerate(starts):
            change = self._disturb.draw(rng, self._length) if self._disturb else None
            if row not in wanted:  # what comes after it is drawn from the same random numbers
                continue
            log_mel = self._log_mel[start : start + self._length]
            real.append((log_mel - self._genre[0]) / self._genre[1])
            song = levels.Levels.unpacked(self._songs[np.searchsorted(self._starts, start, side="right") - 1])
            if self._disturb and change:
                log_mel = self._disturb(log_mel, change)
                song = song.filtered(change.filtered)
            mean, deviation = levels.blended(*self._genre, song, self._share)
            songs.append((log_mel - mean.astype(np.float32)) / deviation.astype(np.float32))
        return np.stack(songs), np.stack(real)
