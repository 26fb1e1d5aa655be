"""Cut streams of rows into overlapping windows whose results join without a seam."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from gst_jax.types import Array

Item = TypeVar("Item")


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
        """Let go of the rows in front of one."""
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


def cross_faded(tail: Array, piece: Array) -> Array:
    """Mix the start of a piece with what the piece before says of the same rows."""
    rise = (np.arange(len(tail), dtype=np.float32) + 0.5) / np.float32(len(tail))
    rise = rise.reshape(-1, *[1] * (piece.ndim - 1))
    return np.concatenate([tail * (1 - rise) + piece[: len(tail)] * rise, piece[len(tail) :]])
