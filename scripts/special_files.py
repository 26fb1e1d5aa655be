"""Make what is no ordinary file, and ordinary ones of odd names; used by bad_files.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from odd_files import SECONDS, common, samples, written

SPECIAL = "FIFOs, devices, loops, sparse terabytes, odd names"


def make(folder: Path) -> Iterator[Path]:
    """Write what is no ordinary file, and ordinary ones of odd names."""
    folder.mkdir()
    for name, target in (
        ("zero", "/dev/zero"),
        ("random", "/dev/random"),
        ("null", "/dev/null"),
        ("self", "self.wav"),
    ):
        (folder / f"{name}.wav").symlink_to(target)
        yield folder / f"{name}.wav"
    for suffix in ("wav", "mp3"):
        os.mkfifo(folder / f"fifo.{suffix}")
        yield folder / f"fifo.{suffix}"
    with socket.socket(socket.AF_UNIX) as listening:
        number = os.open(folder, os.O_RDONLY)  # the address of a socket may have 100 bytes
        listening.bind(f"/proc/self/fd/{number}/socket.wav")
        os.close(number)
    yield folder / "socket.wav"
    (folder / "one.wav").symlink_to("other.wav")
    (folder / "other.wav").symlink_to("one.wav")
    (folder / "album.wav").mkdir()
    (folder / "nothing.wav").touch()
    yield from (folder / f"{name}.wav" for name in ("one", "album", "nothing", "missing"))
    for number, (suffix, content) in enumerate([*common(), ("wav", b""), ("mp3", b"")]):
        path = folder / f"sparse {number}.{suffix}"
        path.write_bytes(content)
        os.truncate(path, 1 << 40)
        yield path
    whole = written("WAV", "PCM_16", 16_000, samples(SECONDS, 16_000, 1))
    odd = ["a\nb.wav", "a\x1b[31mb.wav", "-o.wav", "x" * 251 + ".wav", " .wav", "$(touch executed).wav", "%s%n.wav"]
    for name in [*odd, "..wav", "\u202egnp.wav", "গান 🎵.wav", os.fsdecode(b"\xff\xfe.wav"), "a:b|c?.wav"]:
        (folder / name).write_bytes(whole)
        yield folder / name
