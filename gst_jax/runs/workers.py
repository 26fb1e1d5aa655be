"""Do work in several processes that end with the one that started them, and never while they write."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

WRITING = threading.Lock()  # a worker that holds it while it writes does not end then
_GIGABYTES = 0.3  # that a worker needs


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def working(
    function: Callable[..., Any], calls: Sequence[Sequence[Any]], processes: int, what: str
) -> Iterator[list[Future[Any]]]:
    """Have processes call a function; when the block is left early, they end at once.

    Args:
        function: of a module, so that a new process finds it.
        calls: the arguments of each call.
        processes: to start, at most.
        what: they do, in words, as "decoded": for the message when one is ended from outside.

    Yields:
        What each call will return.

    Raises:
        OSError: when a process was killed.
    """
    # Spawned, because forking a process that runs JAX's threads can hang it.
    spawn = multiprocessing.get_context("spawn")
    leash, hold = spawn.Pipe(duplex=False)
    processes = min(processes, len(calls))
    with leash, hold, ProcessPoolExecutor(processes, spawn, _start_worker, (leash,)) as pool:
        with _deaf_to_interrupts():  # the workers start here, and stay so
            jobs = [pool.submit(function, *arguments) for arguments in calls]
        try:
            yield jobs
        except BaseException as error:
            hold.close()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise OSError(
                    f"a process that {what} was ended from outside, perhaps because memory ran out (each of "
                    f"{processes} needs {_GIGABYTES:g} GB); free some, then run the command again: it goes on from "
                    'here. A script of your own must begin its work under `if __name__ == "__main__":`'
                ) from error
            raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach, since the parent ends them; its own Ctrl-C comes a moment later."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where `_start_worker` does it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(leash: Connection) -> None:
    """Let nothing but the leash end this process: not Ctrl-C, nor the pool, which may while a file is written.

    It multiplies on one core, since there are as many processes as cores; NumPy, not imported yet, sees to that.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()


def _end_with(leash: Connection) -> None:
    """End this process when the other end of the leash is let go, be it that the parent was killed."""
    with suppress(EOFError, OSError):
        leash.recv_bytes()
    with WRITING:
        os._exit(1)
