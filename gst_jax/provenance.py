"""Say what produced a result: versions, hardware, threads, flags, commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "librosa", "soundfile", "numpy", "scipy")


def collect(command: str | None = None) -> dict[str, Any]:
    """Return what to stamp on a result, without any name of the machine or its user.

    Args:
        command: that made the result; None takes the one of this process.
    """
    return {
        "command": command or _command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "versions": {"gst_jax": importlib.metadata.version("gst_jax"), "python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def peak_memory_mb() -> float:
    """Return the most memory that this process has held, in MB (10^6 bytes); NaN where the system does not tell."""
    with contextlib.suppress(OSError):  # of this program alone: `getrusage` includes the process that started it
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:  # not a Unix
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _command() -> str:
    """Name the module rather than the path of its file, which differs from machine to machine."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["python", "-m", spec.name] if spec else ["python", os.path.relpath(sys.argv[0])]
    return shlex.join([*program, *sys.argv[1:]])


def _commit() -> str:
    """Return the commit of the checkout that this package lies in, marked when files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return commit.stdout.strip() + ("" if changes.returncode == 0 else " with changes")


def _cpu() -> str:
    """Return the processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    """Return the installed memory, None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
