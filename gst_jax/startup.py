"""Set up a process, before JAX starts, in which XLA:CPU compiles once per machine at full speed per step."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

from gst_jax import config

_MALLOC = {"arena_max": 1, "hugetlb": 1, "mmap_max": 0, "trim_threshold": 1 << 40}


def prepare(threads: int | None = None) -> None:
    """Apply what measured well; whatever the user set in the environment stands.

    May start the program again in the same process, so call it first thing in a command's `main`, nowhere else.

    - Memory: XLA:CPU allocates its 330 MB of scratch anew at every step. glibc would take them from the system and
      give them back each time, which costs a fifth of the step; so it keeps them, in one arena, on large pages. It
      reads these settings only as it starts.
    - Compiled programs are kept on disk, so that only the first run of a version waits for the compiler.

    Args:
        threads: cores to use; None is all.
    """
    if threads is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache_dir() / "compiled"))
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{name}={value}" for name, value in _MALLOC.items())
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def release_memory() -> None:
    """Give back to the system what compilation leaves behind: a quarter of a training process."""
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
