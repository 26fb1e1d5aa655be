"""Work on sound of any length piece by piece: windows that join without a seam, threads, room on the disk."""

from __future__ import annotations

import math
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from gst_jax.config import AudioConfig
from gst_jax.sound import loudness
from gst_jax.sound.analysis import log_mel, mono
from gst_jax.sound.headers import LARGEST_SAMPLE, MAX_CHANNELS
from gst_jax.types import Array

Item = TypeVar("Item")
Result = TypeVar("Result")

_MIX_SECONDS = 0.5
_CANCELLED = 0.05  # of the channels' mean energy: less is left where they cancel; of eight unlike ones, an eighth is
_MEL_BLOCK = 32  # log-mel frames measured at a time
_SPOOL_BYTES = 1 << 26  # held in memory before a spool goes to the disk: three minutes of stereo at 44.1 kHz
_SPOOL_ROWS = 1 << 15  # read at a time


class Tape:
    """The part of a stream that is still needed, addressed by the row's number in the whole stream."""

    def __init__(self) -> None:
        """Begin an empty one."""
        self.rows: Array | None = None
        self.start = 0

    @property
    def end(self) -> int:
        """Return the number of rows that have passed."""
        return self.start + (0 if self.rows is None else len(self.rows))

    def append(self, rows: Array) -> None:
        """Add rows at the end."""
        self.rows = rows if self.rows is None or not len(self.rows) else np.concatenate([self.rows, rows])

    def forget(self, before: int) -> None:
        """Drop the rows before this one."""
        if self.rows is not None and before > self.start:
            self.rows = self.rows[before - self.start :]
            self.start = before

    def read(self, first: int, last: int) -> Array:
        """Return rows that are still held; fewer where the stream ends sooner."""
        assert self.rows is not None and first >= self.start
        return self.rows[first - self.start : max(last - self.start, 0)]

    def read_padded(self, first: int, last: int, mode: str = "constant") -> Array:
        """Return exactly the rows asked for, with `np.pad` beyond both ends of the stream."""
        rows = self.read(max(first, 0), last)
        before, after = max(-first, 0), last - max(first, 0) - len(rows)
        if not before and not after:
            return rows
        return np.pad(rows, [(before, after)] + [(0, 0)] * (rows.ndim - 1), mode=mode)  # type: ignore[call-overload]


class Spool:
    """Rows that are written once and read in any order: in memory while they are few, else in a temporary file."""

    def __init__(self) -> None:
        """Begin an empty one."""
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)
        self._shape: tuple[int, ...] = ()
        self._bytes = 0  # of a row
        self.end = 0  # rows written

    def append(self, rows: Array) -> None:
        """Add rows [n, ...], float32, at the end."""
        self._shape, self._bytes = rows.shape[1:], 4 * math.prod(rows.shape[1:])
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self.end += len(rows)

    def read(self, first: int, last: int) -> Array:
        """Return rows `first` to `last`; fewer where they end sooner."""
        self._file.seek(first * self._bytes)
        data = self._file.read(max(min(last, self.end) - first, 0) * self._bytes)
        return np.frombuffer(data, np.float32).reshape(-1, *self._shape)

    def blocks(self) -> Iterator[Array]:
        """Yield all rows, in order, some at a time."""
        for start in range(0, self.end, _SPOOL_ROWS):
            yield self.read(start, start + _SPOOL_ROWS)

    def close(self) -> None:
        """Free the memory or the disk."""
        self._file.close()


def checked(blocks: Iterable[Array]) -> Iterator[Array]:
    """Pass on the blocks [n, C] of a sound as float32.

    Raises:
        ValueError: when they cannot be converted; the message says what to do.
    """
    channels = None
    for block in blocks:
        if block.ndim != 2 or block.shape[1] != (channels or block.shape[1]):
            raise ValueError(f"each block must have the shape [n, {channels or 'C'}], not {list(block.shape)}")
        channels = block.shape[1]
        if not 1 <= channels <= MAX_CHANNELS:
            raise ValueError(
                f"sound of the shape {list(block.shape)} has {channels} channels, and at most {MAX_CHANNELS} "
                "can be converted; time comes first, [N, C]: give waveform.T where the channels do"
            )
        if not np.issubdtype(block.dtype, np.floating):
            raise ValueError(
                f"the samples are {block.dtype}; give floats in -1 to 1, of int16 for instance waveform / 32768"
            )
        block = block.astype(np.float32, copy=False)
        if not np.isfinite(block).all():
            raise ValueError("the sound holds samples that are NaN or infinite; remove them first")
        if len(block) and np.abs(block).max() > LARGEST_SAMPLE:
            raise ValueError(f"the sound holds samples of {np.abs(block).max():.3g}; -1 to 1 is full scale")
        if len(block):
            yield block
    if channels is None:
        raise ValueError("the sound is empty: its stream ended before the first block")


def windows(blocks: Iterable[Array], size: int, before: int, after: int, padding: str) -> Iterator[tuple[Array, int]]:
    """Cut a stream of rows into windows of `before + size + after` that overlap by `before + after`.

    Yields:
        Each window with the count of rows of its middle that exist; the last has fewer than `size`, perhaps 0.
    """
    tape, done = Tape(), 0
    for block in blocks:
        tape.append(block)
        while done + size + after <= tape.end:
            yield tape.read_padded(done - before, done + size + after, padding), size
            done += size
            tape.forget(done - before)
    fresh = size
    while fresh == size:
        fresh = min(size, tape.end - done)
        yield tape.read_padded(done - before, done + size + after, padding), fresh
        done += size


def reblocked(blocks: Iterable[Array], size: int) -> Iterator[Array]:
    """Cut a stream of rows anew, into blocks of `size`; the last may be shorter."""
    for window, fresh in windows(blocks, size, 0, 0, "constant"):
        if fresh:
            yield window[:fresh]


def mixed(blocks: Iterable[Array], sample_rate: int) -> Iterator[Array]:
    """Mix the channels of a stream [n, C] to one that is heard: [m], half a second at a time.

    It is the mean; but channels in opposite phase, which would cancel, are turned around first.
    """
    for block in reblocked(blocks, max(1, round(_MIX_SECONDS * sample_rate))):
        mix = mono(block)
        if block.shape[1] > 1 and np.mean(np.square(mix)) < _CANCELLED * np.mean(np.square(block)):
            _, directions = np.linalg.eigh(block.T.astype(np.float64) @ block)
            main = directions[:, -1]
            main = main * main[np.argmax(np.abs(main) > 0.1)]  # the first channel that counts is never turned
            mix = mono(block * np.where(main < 0, -1, 1).astype(np.float32))
        yield mix


def limited(blocks: Iterable[Array], sample_rate: int, ceiling: float) -> Iterator[Array]:
    """Keep the true peaks of a stream of sound [n, C] below a ceiling, an amplitude."""
    reach = loudness.reach(sample_rate)
    for window, fresh in windows(blocks, sample_rate // 2, reach, reach, "constant"):
        gain = loudness.limiter_gain(window, sample_rate, ceiling)
        yield (window * gain[:, None])[reach:][:fresh]


def resampled(mono: Iterable[Array], rate_in: int, rate_out: int) -> Iterator[Array]:
    """Change the sample rate of a stream of sound [n], as `sound.resample` does of the whole."""
    import soxr

    if rate_in == rate_out:
        yield from mono
        return
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    for block in mono:
        yield stream.resample_chunk(np.asarray(block, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def log_mels(mono: Iterable[Array], audio: AudioConfig) -> Iterator[Array]:
    """Measure a stream of sound [n] at the analysis's sample rate: dB [t, M], with a frame for its very end too."""
    hop = audio.hop_length
    context = math.ceil(audio.n_fft / 2 / hop)
    for window, fresh in windows(mono, _MEL_BLOCK * hop, context * hop, context * hop, "constant"):
        count = _MEL_BLOCK if fresh == _MEL_BLOCK * hop else fresh // hop + 1
        yield log_mel(window, audio)[context:][:count]


def ahead(items: Iterable[Item], count: int = 1) -> Generator[Item, None, None]:
    """Pass items on while a thread makes the next `count`, so that both sides of it work at the same time."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, iterator, end) for _ in range(count))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(pool.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # where the taker leaves early, or the maker fails


def mapped(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Apply a function to each item, several at a time, and yield the results in order."""
    coming: deque[Any] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cross_faded(tail: Array, piece: Array) -> Array:
    """Mix the start of a piece with what the piece before says of the same rows."""
    rise = (np.arange(len(tail), dtype=np.float32) + 0.5) / np.float32(len(tail))
    rise = rise.reshape(-1, *[1] * (piece.ndim - 1))
    return np.concatenate([tail * (1 - rise) + piece[: len(tail)] * rise, piece[len(tail) :]])
