"""Say what the system refused to write, and what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_FULL = "make room, then give the same command again; what is written already is kept"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full; {_FULL}",
    errno.EDQUOT: f"your share of the disk is used up; {_FULL}",
    errno.EFBIG: "this disk holds no file so large; choose a folder on another",
    errno.EROFS: "this disk can only be read; choose a folder on another",
    errno.EACCES: "you may not write there; choose another folder, or change whose it is",
}


def told(error: BaseException) -> str:
    """Return an error's message; what the system refused to write is named, with what to do."""
    remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    if remedy is None:
        return str(error)
    return f"{error.filename}: {remedy}" if isinstance(error, OSError) and error.filename else remedy


@contextmanager
def naming(target: str | os.PathLike[str], temporary: str | os.PathLike[str] = "") -> Iterator[None]:
    """Have what the system refuses to write in this block tell the target, not nothing or a temporary name.

    NumPy says only how much less than it wanted was written, which a full disk is the reason for.
    """
    try:
        yield
    except OSError as error:
        is_short = error.errno is None and str(error).endswith(" written")
        number = errno.ENOSPC if is_short else error.errno
        if number in _REMEDIES and error.filename in (None, os.fspath(temporary)):
            raise OSError(number, os.strerror(number or 0), os.fspath(target)) from error
        raise
