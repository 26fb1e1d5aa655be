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

from gst_jax import __version__
from gst_jax.runs import workers

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "librosa", "soundfile", "numpy", "scipy")


def collect() -> dict[str, Any]:
    """Return what to stamp on a result of this process, without any name of the machine or its user."""
    return {
        "command": _command(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "versions": {"gst_jax": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": workers.cores(),
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


def _version(package: str) -> str:
    """Return a package's version, also where it is used without having been installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _command() -> str:
    """Return the command line: modules by name, paths without the folders of this machine."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name] if spec else [_without_folders(sys.argv[0])]
    return shlex.join(["python", *program, *map(_without_folders, sys.argv[1:])])


def _without_folders(argument: str) -> str:
    """Make an absolute path in an argument, `PATH` or `--flag=PATH`, relative, or outside of here a mere name."""
    flag, equals, value = argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
    if not os.path.isabs(value):
        return argument
    path = Path(value)
    return flag + equals + str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name)


def _commit() -> str:
    """Return the commit of the checkout that holds this package, marked when files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # a package that is merely installed somewhere inside a checkout is not a part of it
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", ".."], capture_output=True)
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
