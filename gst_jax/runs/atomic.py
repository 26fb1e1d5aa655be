"""Write files whole or not at all."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gst_jax.runs.refusals import naming

_OURS: set[str] = set()  # names that this process made


@contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out a path beside `target`; what was written there takes the target's place when all went well.

    The path is free: make a file or a folder of it (a folder only where the target does not exist). When the block
    raises, it is removed and the target stays as it was. Its name is short, whatever the target is called: a name
    may have 255 bytes, and people's songs come near.

    Raises:
        OSError: when the target's folder cannot be written to, or the disk is full.
    """
    target = Path(target)
    temporary = target.with_name(_free_name())
    try:
        with naming(target, temporary):
            yield temporary
            temporary.replace(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out a new folder that only this user can read; in the end it is removed, with all that it holds."""
    folder = Path(parent, _free_name())
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; raises as `replacing`."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove from a folder what processes of this machine left there that were killed while they wrote."""
    for path in Path(folder).glob(f".gst_jax-{_machine()}-*-*.tmp"):
        process = int(path.name.split("-")[2])
        # In a container each process may have the number of the one that was killed before it.
        if path.name not in _OURS if process == os.getpid() else not _runs(process):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _free_name() -> str:
    """Return a name that nothing has, and that `sweep` knows."""
    name = f".gst_jax-{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    _OURS.add(name)
    return name


def _machine() -> str:
    """Return a short name of this machine, for folders that several share."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _runs(process: int) -> bool:
    """Tell whether a process is alive, or cannot be asked."""
    if os.name != "posix":  # elsewhere the question would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
