"""Call functions on hostile files in processes of their own, with limits of time and memory; used by bad_files.py.

What a call must give is a result, or one line that names the file. Anything else is a fault: another exception, a
crash, a hang, too much memory, words on the screen that nobody asked for, a program or a connection that was started.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from gst_jax.sound import AudioWarning

MORE_MEMORY = 1_000_000_000  # bytes beyond what a worker holds before its first file
SECONDS = 10.0  # of the processor, for a file, and
SOUND_A_SECOND = 20.0  # one more for each so many seconds of sound that come out of it
HANGS = 60.0  # seconds of the processor after which nobody waits any more; asleep, ten times as many
_LINE = 1_000  # letters of one, at most
_WATCHED = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
)

Reader = Callable[[Path], float]  # returns the seconds of sound that came out


class Outcome(NamedTuple):
    """What became of one file with one reader."""

    said: str  # the one line; nothing where sound came out
    fault: str  # what must not be; nothing where all held
    seconds: float  # of the processor
    memory: float  # bytes, the most held above what was held before
    sound: float = 0.0  # seconds


def try_all(
    start: Callable[[], dict[str, Reader]], calls: Iterable[tuple[str, Path]], workers: int = 1
) -> Iterator[tuple[str, Path, Outcome]]:
    """Yield the outcome of each call of a reader on a file, in order.

    Args:
        start: run once in each process; returns the readers by name. It must be importable.
        calls: names of readers, and files.
        workers: processes.
    """
    free = [_Worker(start) for _ in range(workers)]

    def one(call: tuple[str, Path]) -> tuple[str, Path, Outcome]:
        worker = free.pop()
        try:
            return *call, worker.call(*call)
        finally:
            free.append(worker)

    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(one, calls)
        finally:
            for worker in free:
                worker.end()


class _Worker:
    """A process that lives until it crashes or hangs, and is then started anew."""

    def __init__(self, start: Callable[[], dict[str, Reader]]) -> None:
        self._start = start
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, self._start), daemon=True)
        self._process.start()
        other.close()

    def call(self, reader: str, path: Path) -> Outcome:
        self._pipe.recv()  # that it is ready
        begun, worked = time.monotonic(), self._worked()
        self._pipe.send((reader, path))
        try:
            while not self._pipe.poll(0.5):
                if self._worked() - worked > HANGS or time.monotonic() - begun > 10 * HANGS:
                    fault = f"hangs: nothing after {self._worked() - worked:.0f} s of work"
                    break
            else:
                return Outcome(*self._pipe.recv())
        except EOFError:
            self._process.join()
            fault = f"crashes: exit status {self._process.exitcode}"
        self.end()
        self._begin()
        return Outcome("", fault, time.monotonic() - begun, 0.0)

    def _worked(self) -> float:
        """Return the seconds of the processor that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, start: Callable[[], dict[str, Reader]]) -> None:
    """Be a worker."""
    readers = start()
    started: list[str] = []
    sys.addaudithook(lambda event, arguments: started.append(event) if event in _WATCHED else None)
    held = memory("self", "VmSize") + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (held, held))
    with tempfile.TemporaryFile() as screen:
        for number in (1, 2):
            os.dup2(screen.fileno(), number)
        pipe.send("ready")
        while True:
            try:
                reader, path = pipe.recv()
            except EOFError:
                return
            started.clear()
            outcome = _judged(readers[reader], path)
            printed = os.fstat(screen.fileno()).st_size
            screen.truncate(0)
            fault = outcome.fault or (f"starts something: {started[0]}" if started else "")
            pipe.send(outcome._replace(fault=fault or (f"prints {printed} bytes" if printed else "")))
            pipe.send("ready")


def _judged(reader: Reader, path: Path) -> Outcome:
    """Call a reader on a file and judge what came of it."""
    Path("/proc/self/clear_refs").write_text("5")  # the most memory held is counted from now on
    before, begun = memory("self", "VmRSS"), time.process_time()
    said, fault, sound = "", "", 0.0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            sound = reader(path)
        except (ValueError, OSError) as error:  # what the commands print in one line
            said = str(error)
        except Exception as error:  # noqa: BLE001 - a fault, which is reported
            place = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"raises {type(error).__name__} ({error}) in {Path(place.filename).name}:{place.lineno}"
    took, held = time.process_time() - begun, memory("self", "VmHWM") - before
    fault = fault or _fault_of(said) or ("" if path.name in said or not said else f"does not name the file: {said}")
    lines = {str(warning.message) for warning in warned}  # of which a command shows each once
    for warning in warned:
        ours = issubclass(warning.category, AudioWarning)
        fault = fault or _fault_of(str(warning.message)) or ("" if ours else f"warns: {warning.message}")
    if len(lines) > 3:
        fault = fault or f"warns {len(lines)} times"
    if took > SECONDS + sound / SOUND_A_SECOND:
        fault = fault or f"takes {took:.0f} s"
    if held > MORE_MEMORY:
        fault = fault or f"takes {held / 1e6:.0f} MB"
    return Outcome(said, fault, took, held, sound)


def _fault_of(line: str) -> str:
    """Return what is wrong with a message; nothing where it is one plain line."""
    if len(line) > _LINE or not re.sub(r"\s", " ", line, flags=re.ASCII).isprintable() or len(line.splitlines()) > 1:
        return f"says more than one plain line: {line[:200]!r}"
    if line and "allocate" in line.lower():
        return f"asks for too much memory: {line}"
    return ""


def memory(process: int | str, name: str) -> int:
    """Return what the system says of a process's memory, in bytes."""
    (line,) = [
        line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(f"{name}:")
    ]
    return 1024 * int(line.split()[1])
