"""Keep what browsers send as files that get names of ours, in folders of ours."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import AsyncIterable
from pathlib import Path, PurePosixPath

from gst_jax import sound
from gst_jax.runs.atomic import replacing
from gst_jax.web.guard import Refused

MOST_BYTES = 400_000_000  # of a file: an hour and a half as MP3, forty minutes of a compact disc
_ROOM = 2_000_000_000  # bytes that stay free on the disk


def title(name: str) -> str:
    """Return the name of a file, as its sender calls it, as a line of text to show; it is never used as a path."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[:120] or "song"


async def receive(body: AsyncIterable[bytes], name: str, folder: Path, stem: str) -> Path:
    """Write what is sent, as it comes; where it does not come to its end, nothing is left.

    Args:
        body: from `guard.limited`.
        name: of the sender's file, of which only a known ending is kept.
        folder: where to.
        stem: how to call the file.

    Raises:
        Refused: when it is too long, or there is no room.
    """
    suffix = PurePosixPath(title(name)).suffix.lower()
    path = folder / f"{stem}{suffix if suffix in sound.SUFFIXES else '.sound'}"
    with replacing(path) as temporary, temporary.open("xb") as file:
        async for part in body:
            if shutil.disk_usage(folder).free < _ROOM:
                raise Refused("there is no room left on the disk of this computer", 507)
            file.write(part)
    return path


def genre_name(text: object) -> str:
    """Return a genre's name that can be a folder's.

    Raises:
        Refused: when it cannot.
    """
    name = unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else ""
    if not 1 <= len(name) <= 40 or name[0] in ".-" or name[-1] == "." or not name.isprintable():
        raise Refused("give the genre a name of at most 40 letters")
    if set(name) & set('/\\:*?"<>|_'):
        raise Refused(f"{name}: a genre's name is of letters, digits, spaces and hyphens")
    return name


def within(text: object, folders: tuple[Path, ...]) -> Path:
    """Return a folder that a page names, which must lie in one of those given, links followed.

    Raises:
        Refused: when it does not, with the same words as when there is none.
    """
    if isinstance(text, str) and text and "\0" not in text:
        for folder in folders:
            path = Path(folder, text).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_dir():
                return path
    shown = " or ".join(map(str, folders))
    raise Refused(f"there is no folder {text} in {shown}; gst_jax studio --folder=... adds others")
