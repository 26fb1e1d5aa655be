"""Do one piece of work at a time, in the order asked for, so that each knows its place."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from gst_jax.runs import refusals, terminal
from gst_jax.sound import AudioWarning

UNFORESEEN = "this failed for a reason that nobody foresaw; the terminal of gst_jax studio tells more"
_MENDABLE = (ValueError, OSError)  # by the user: bad input, and what the system refuses


class Cancelled(RuntimeError):
    """Work that nobody waits for any more."""


@dataclass(eq=False)
class Ticket:
    """One piece of work: how far it is, and what became of it."""

    what: str = ""  # is being done
    share: float = 0.0  # of it that is done
    notes: list[str] = field(default_factory=list)  # warnings
    is_cancelled: bool = False
    future: Future[Any] = field(default_factory=Future)

    @property
    def state(self) -> str:
        """Return waiting, running, done, failed or cancelled."""
        if self.future.cancelled():
            return "cancelled"
        if not self.future.done():
            return "running" if self.future.running() else "waiting"
        error = self.future.exception()
        return "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed"

    @property
    def error(self) -> str:
        """Return in a sentence why the work failed; nothing where it did not."""
        if self.state != "failed":
            return ""
        error = self.future.exception()
        if isinstance(error, _MENDABLE):
            return refusals.told(error)
        return UNFORESEEN

    def cancel(self) -> None:
        """Leave the work out, or end it as soon as it counts its progress."""
        self.is_cancelled = True
        self.future.cancel()

    def progress(self, items: Any = (), total: float | None = None, desc: str = "", **rest: Any) -> _Progress:
        """Count progress into this ticket; called as `tqdm.tqdm` is."""
        return _Progress(self, items, len(items) if total is None else total, desc)


class _Progress:
    def __init__(self, ticket: Ticket, items: Any, total: float, what: str) -> None:
        self._ticket, self._items, self._total, self._done = ticket, items, total, 0.0
        ticket.what = what
        self.update(0)

    def __iter__(self) -> Any:
        for item in self._items:
            yield item
            self.update(1)

    def update(self, done: float) -> None:
        if self._ticket.is_cancelled:
            raise Cancelled
        self._done += done
        self._ticket.share = min(self._done / self._total, 1.0) if self._total else 1.0

    def close(self) -> None:
        pass


class Queue:
    """A line of work, and the one thread that does it."""

    def __init__(self) -> None:
        """Begin an empty one."""
        self._pool = ThreadPoolExecutor(1, "studio")
        self._tickets: list[Ticket] = []
        self._lock = threading.Lock()

    def add(self, work: Callable[[Ticket], Any]) -> Ticket:
        """Put work at the end.

        Args:
            work: gets the ticket that tells how far it is; what it returns is the result of the ticket's future.
        """
        ticket = Ticket()
        with self._lock:
            self._tickets = [other for other in self._tickets if not other.future.done()] + [ticket]
            ticket.future = self._pool.submit(_do, work, ticket)
        ticket.future.add_done_callback(_tell)
        return ticket

    def place(self, ticket: Ticket) -> int:
        """Return how many pieces of work come before this one."""
        with self._lock:
            waiting = [other for other in self._tickets if not other.future.done()]
        return waiting.index(ticket) if ticket in waiting else 0

    def close(self) -> None:
        """Leave out all that waits, and end what is being done."""
        with self._lock:
            for ticket in self._tickets:
                ticket.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _do(work: Callable[[Ticket], Any], ticket: Ticket) -> Any:
    """Do a piece of work; what it warns of goes to its page where it is of the sound, else to the terminal."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AudioWarning)
        try:
            return work(ticket)
        finally:
            ours = [warning for warning in said if issubclass(warning.category, AudioWarning)]
            ticket.notes = list(dict.fromkeys(str(warning.message) for warning in ours))
            for warning in said:
                if warning not in ours:
                    terminal.say(f"{warning.category.__name__}: {warning.message}")


def _tell(future: Future[Any]) -> None:
    """Print what went wrong where no page says it."""
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, (Cancelled, *_MENDABLE)):
        terminal.say("".join(traceback.format_exception(error)))
