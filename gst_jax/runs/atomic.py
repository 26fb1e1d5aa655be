"""Write files whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    temporary = target.with_name(f".gst_jax-{uuid.uuid4().hex[:16]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; raises as `replacing`."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
