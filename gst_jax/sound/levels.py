"""Measure how loud the mel bands of music are, and meet a song between itself and its genre."""

from __future__ import annotations

import numpy as np

from gst_jax.sound.analysis import LOG_MEL_FLOOR
from gst_jax.types import Array

MIN_DEVIATION = 1.0  # dB: a band that never moves must not have its noise blown up
PAUSE = LOG_MEL_FLOOR + 20  # dB: frames whose loudest band is below say nothing of a song
HALF_TOLD = 126  # frames of a song, two seconds, that tell half as much of it as a long one
FURTHEST = 15.0  # dB by which a song may move a band's mean, and
STEEPEST = 2.0  # the factor for its deviation: an odd song, such as a lone tone, is not made loud everywhere


class Levels:
    """The levels of each mel band over log-mel frames that are added piece by piece."""

    def __init__(self, n_mels: int) -> None:
        """Begin without frames."""
        self._sum, self._squares = np.zeros(n_mels), np.zeros(n_mels)
        self.highest = np.full(n_mels, LOG_MEL_FLOOR, np.float32)  # [M] dB
        self.frames = 0

    def add(self, log_mel: Array, pauses: bool = True) -> None:
        """Take in frames [t, M], dB, with or without those in which nothing sounds."""
        if not pauses:
            log_mel = log_mel[log_mel.max(axis=1, initial=LOG_MEL_FLOOR) > PAUSE]
        if len(log_mel):
            self._sum += log_mel.sum(axis=0, dtype=np.float64)
            self._squares += np.square(log_mel, dtype=np.float64).sum(axis=0)
            np.maximum(self.highest, log_mel.max(axis=0), out=self.highest)
            self.frames += len(log_mel)

    def merge(self, other: Levels) -> None:
        """Take in the frames that another has taken in."""
        self._sum += other._sum
        self._squares += other._squares
        np.maximum(self.highest, other.highest, out=self.highest)
        self.frames += other.frames

    def packed(self) -> Array:
        """Return all that there is in a row, float64 [3 M + 1], for `unpacked`."""
        return np.concatenate([self._sum, self._squares, self.highest, [self.frames]])

    @classmethod
    def unpacked(cls, row: Array) -> Levels:
        """Return the levels of a row from `packed`."""
        levels = cls((len(row) - 1) // 3)
        levels._sum, levels._squares, highest = np.array(row[:-1]).reshape(3, -1)
        levels.highest, levels.frames = highest.astype(np.float32), int(row[-1])
        return levels

    def filtered(self, gain: Array) -> Levels:
        """Return the levels of the same music with each band turned up by a gain, [M] dB."""
        other = Levels(len(self._sum))
        other._sum = self._sum + self.frames * gain
        other._squares = self._squares + 2 * gain * self._sum + self.frames * gain**2
        other.highest, other.frames = self.highest + gain, self.frames
        return other

    @property
    def mean(self) -> Array:
        """The mean of each band, float64 [M] dB; the floor before the first frame."""
        return self._sum / self.frames if self.frames else np.full(len(self._sum), LOG_MEL_FLOOR)

    @property
    def deviation(self) -> Array:
        """The standard deviation of each band, float64 [M] dB, at least 1."""
        variance = self._squares / max(self.frames, 1) - self.mean**2 if self.frames else np.zeros(len(self._sum))
        return np.sqrt(np.maximum(variance, MIN_DEVIATION**2))


def blended(mean: Array, deviation: Array, song: Levels, share: float) -> tuple[Array, Array]:
    """Return by which mean and deviation to standardise a song, so that it is not taken for its genre's average.

    Args:
        mean: of the genre, [M] dB.
        deviation: of the genre, [M] dB.
        song: its levels, pauses left out.
        share: of a long song's own levels; a short one counts for less, and an odd one is bounded.

    Returns:
        Mean and deviation, float64 [M] dB each.
    """
    weight = share * song.frames / (song.frames + HALF_TOLD)
    moved = np.clip(song.mean - mean, -FURTHEST, FURTHEST)
    stretched = np.clip(song.deviation / deviation, 1 / STEEPEST, STEEPEST)
    return mean + weight * moved, deviation * (1 + weight * (stretched - 1))


def divergence(mean: Array, deviation: Array, other_mean: Array, other_deviation: Array) -> Array:
    """Return how far levels are from others, where one may be louder as a whole.

    It is the Kullback-Leibler divergence of the first from the second, each band taken for a Gaussian.

    Args:
        mean: of each band, [..., M] dB.
        deviation: of each band, [..., M] dB.
        other_mean: [..., M] dB.
        other_deviation: [..., M] dB.

    Returns:
        Its mean over the bands, in nats, [...].
    """
    moved = mean - other_mean
    moved = moved - moved.mean(axis=-1, keepdims=True)
    ratio = deviation / other_deviation
    return ((moved / other_deviation) ** 2 / 2 + (ratio**2 - 1) / 2 - np.log(ratio)).mean(axis=-1)
