"""Show how far long work is: a live line on a terminal, a line for each ten per cent in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

_APART_LIVE, _APART_LOG = 0.1, 1.0  # seconds from one line to the next, at least
_CLEAR = "\r\x1b[K"

_lock = threading.RLock()
_live: list[Bar] = []  # the one that stands on the terminal's last line


class Bar:
    """Progress of one piece of work, called like `tqdm.tqdm`: with items to go through, or a total to `update`."""

    def __init__(
        self,
        items: Iterable[Any] = (),
        total: float | None = None,
        desc: str = "",
        unit: str = "",
        unit_scale: float = 1.0,
        *,
        initial: float = 0.0,
        at_most: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show the work at once on a terminal.

        Args:
            items: to go through; not needed where `update` is called.
            total: of the work; None: one for each of the items.
            desc: what is done, in a word or two.
            unit: what is counted; of "s", seconds of sound, the speed is shown as times real time.
            unit_scale: of the total, what is worth one unit.
            initial: what had been done before.
            at_most: whether the work may end sooner.
            clock: that tells the seconds.
        """
        self._items, self._unit, self._scale, self._desc = items, unit, unit_scale, desc
        self._total = len(items) if total is None else total  # type: ignore[arg-type]
        self._first = self._done = initial
        self._at_most = "at most " if at_most else ""
        self._clock, self._start = clock, clock()
        self._shown_at, self._shown_tenth = self._start, int(10 * self._share)
        self.note = ""  # what else there is to say
        self._stream = sys.stderr
        self._is_live = self._stream.isatty()
        if self._is_live:
            with _lock:
                _live[:] = [self]
                self.draw()

    def __iter__(self) -> Iterator[Any]:
        """Go through the items, each of which is done when the next is asked for."""
        for item in self._items:
            yield item
            self.update(1)
        self.close()

    def update(self, done: float) -> None:
        """Count what more was done."""
        with _lock:
            self._done += done
            now, tenth = self._clock(), int(10 * self._share + 0.05)
            apart = now - self._shown_at
            if self._is_live and apart >= _APART_LIVE:
                self._shown_at = now
                self.draw()
            elif not self._is_live and self._shown_tenth < tenth < 10 and apart >= _APART_LOG:
                self._shown_at, self._shown_tenth = now, tenth
                print(self.line(), file=self._stream, flush=True)

    def close(self) -> None:
        """Leave a last line that says what was done and how long it took."""
        clear()
        seconds = self._clock() - self._start
        share = round(100 * self._share)
        stopped = "" if share == 100 else f"stopped at {share} %, "
        text = f"{self._desc}: {stopped}{self._amount()} in {clock_time(seconds)}"
        line = ", ".join(filter(None, [text, self._speed(seconds), self.note]))
        print(line[: _width()] if self._is_live else line, file=self._stream, flush=True)

    def line(self) -> str:
        """Say how far the work is, how long it will take, and the note."""
        seconds = self._clock() - self._start
        done = self._done - self._first
        left = ""
        if done > 0:
            left = f"{self._at_most}{clock_time(seconds * (self._total - self._done) / done)} left"
        parts = [f"{self._desc}: {100 * self._share:.0f} %", left, self._speed(seconds), self.note]
        return ", ".join(filter(None, parts))

    def draw(self) -> None:
        """Put the line, as much of it as fits, in place of the terminal's last one."""
        self._stream.write(_CLEAR + self.line()[: _width()])
        self._stream.flush()

    @property
    def _share(self) -> float:
        return min(self._done / self._total, 1.0) if self._total else 1.0

    def _amount(self) -> str:
        """Say how much was done."""
        done = self._done - self._first
        if self._unit == "s":
            return f"{clock_time(done * self._scale)} of sound"
        ending = "" if done == 1 else "es" if self._unit.endswith("ch") else "s"
        return f"{done:g} {self._unit}{ending}"

    def _speed(self, seconds: float) -> str:
        done = (self._done - self._first) * self._scale
        return f"{done / seconds:.3g} x real time" if self._unit == "s" and done > 0 and seconds > 0 else ""


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, on standard error unless another stream is given, above the live one."""
    with _lock:
        live = list(_live)
        clear()
        print(text, file=stream or sys.stderr, flush=True)
        _live[:] = live
        for bar in live:
            bar.draw()


def clear() -> None:
    """Take the live line away, so that the next print begins a line."""
    with _lock:
        if _live:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            _live.clear()


def _width() -> int:
    return shutil.get_terminal_size().columns - 1


def clock_time(seconds: float) -> str:
    """Write a time as 4:05 or 1:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
