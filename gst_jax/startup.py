"""Set up a process, before JAX starts, in which XLA:CPU compiles once per machine at full speed per step."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

from gst_jax import config


def prepare(threads: int | None = None) -> None:
    """Apply what measured well; whatever the user set in the environment stands.

    May start the program again in the same process, so call it first thing in a command's `main`, nowhere else.

    - Large pages: XLA:CPU takes its 330 MB of scratch memory from the system anew at every step, and on 4 KB pages
      the kernel spends a fifth of the step handing them out. The C library reads this setting only as it starts.
    - Compiled programs are kept on disk, so that only the first run of a version waits for the compiler.

    Args:
        threads: cores to use; None is all.
    """
    if threads is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache_dir() / "compiled"))
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def release_memory() -> None:
    """Give back to the system what compilation leaves behind: a quarter of a training process."""
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
