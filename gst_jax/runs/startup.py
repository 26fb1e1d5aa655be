"""Start a command: a fast process, and errors and warnings in one line."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import gc
import importlib.metadata
import importlib.util
import io
import os
import signal
import sys
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gst_jax.runs import refusals, terminal
from gst_jax.runs.directory import cache_dir

_MALLOC = {"arena_max": 1, "hugetlb": 1, "mmap_max": 0, "trim_threshold": 1 << 40}
_DETERMINISTIC = "xla_gpu_deterministic_ops"


def prepare(threads: int | None = None) -> None:
    """Set up the process before JAX starts; what the user set in the environment stands.

    May start the program again in the same process, so call it first thing in a command's `main`, nowhere else.

    - Memory: XLA:CPU allocates its 330 MB of scratch anew at every step. glibc would take them from the system and
      give them back each time, which costs a fifth of the step; so it keeps them, in one arena, on large pages. It
      reads these settings only as it starts. With a GPU they would only make compiling four times as long.
    - Compiled programs are kept on disk, so that only the first run of a version waits for the compiler.
    - A GPU computes the same bits each time, so that a run that was stopped ends as one that was not.

    Args:
        threads: cores to use; None is all.
    """
    make_reproducible()
    if threads is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir() / "compiled"))
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ and _on_cpu():
        os.environ["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={value}" for name, value in _MALLOC.items())
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    _forget_damaged(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]))


def _forget_damaged(compiled: Path) -> None:
    """Remove the compiled programs that a kill cut off: JAX would leave them, and compile each time.

    Each is looked at once, at the start after it was written.
    """
    looked = compiled / ".looked"
    since = looked.stat().st_mtime if looked.exists() else 0.0
    for path in compiled.glob("*-cache"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < since - 1:
                continue
            content = path.read_bytes()
            if not content or (content[:1] == b"\x78" and not _inflates(content)):
                path.unlink()
    with contextlib.suppress(OSError):  # a cache that cannot be written to
        looked.touch()


def _inflates(content: bytes) -> bool:
    """Tell whether something is whole by zlib's own checksum."""
    try:
        zlib.decompress(content)
    except zlib.error:
        return False
    return True


def make_reproducible() -> None:
    """Have XLA, before JAX starts, choose the kernels of a GPU that add in the same order each time."""
    flags = os.environ.get("XLA_FLAGS", "")
    if not _on_cpu() and _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_DETERMINISTIC}=true".strip()


def _on_cpu() -> bool:
    """Tell, without starting JAX, whether it will find the CPU alone."""
    if chosen := os.environ.get("JAX_PLATFORMS"):
        return chosen == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))


@contextlib.contextmanager
def plain_messages(after_interrupt: str = "") -> Iterator[None]:
    """Turn what a command's user can mend into one line, on standard error, with an exit status that tells.

    ValueError and OSError are what this package raises for bad input and what the system refuses; status 1. Ctrl-C
    gives status 130, as shells expect; a closed terminal or a kill cleans up as Ctrl-C does. Warnings lose the line
    of code that they come from. A name that the terminal cannot show is escaped.

    Args:
        after_interrupt: what to add after Ctrl-C: what is kept, how to go on.
    """

    def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        name = "gst_jax" if issubclass(category, UserWarning) else category.__name__
        terminal.say(f"{name}: {message}")

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background has another
            signal.signal(signal.SIGINT, _end)
    with warnings.catch_warnings(), _heard_everywhere():
        warnings.showwarning = show  # type: ignore[assignment]
        try:
            try:
                yield
            finally:
                terminal.clear()
        except BrokenPipeError:  # as with `| head`: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except (ValueError, OSError) as error:
            sys.exit(f"gst_jax: {refusals.told(error)}")
        except RuntimeError as error:
            if not str(error).startswith("Unable to initialize backend"):
                raise
            platforms = os.environ.get("JAX_PLATFORMS")
            sys.exit(f"gst_jax: JAX cannot use JAX_PLATFORMS={platforms}; install JAX for it, or unset the variable")
        except KeyboardInterrupt:
            print("; ".join(filter(None, ["\ngst_jax: interrupted", after_interrupt])), file=sys.stderr)
            sys.exit(130)


def _end(number: int, frame: Any) -> None:
    """End the process as an exception does, so that half-written files are removed; once nothing is being imported.

    An exception in the midst of an import may come out as another one, or, where JAX's own C++ loads, as a fault.
    """
    if any(outer.f_code.co_filename.startswith("<frozen importlib") for outer, _ in traceback.walk_stack(frame)):
        _send_again(number)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        sys.exit(128 + number)


@contextlib.contextmanager
def _heard_everywhere() -> Iterator[None]:
    """Interrupt once more what was interrupted where Python drops exceptions, as while JAX collects its garbage."""

    def again(dropped: Any) -> None:
        if issubclass(dropped.exc_type, (KeyboardInterrupt, SystemExit)):
            code = getattr(dropped.exc_value, "code", None) or 128 + signal.SIGINT
            _send_again(code - 128)
        else:
            sys.__unraisablehook__(dropped)

    before, sys.unraisablehook = sys.unraisablehook, again
    try:
        yield
    finally:
        sys.unraisablehook = before


def _send_again(number: int) -> None:
    """Have the main thread get a signal a moment after this returns; before that, it would be dropped here."""
    returning = threading.Event()
    threading.Thread(target=_interrupt, args=(number, returning), daemon=True).start()
    returning.set()


def _interrupt(number: int, returning: threading.Event) -> None:
    """Send the main thread a signal a moment after an event, also where it sleeps."""
    returning.wait()
    time.sleep(0.05)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows
        _thread.interrupt_main(signal.Signals(number))


def release_memory() -> None:
    """Give back to the system what compilation leaves behind: a quarter of a training process."""
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
