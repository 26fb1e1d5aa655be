"""Read sound files and refuse the damaged ones: libsndfile, with the checks that it leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gst_jax.types import Array

if TYPE_CHECKING:
    from soundfile import SoundFile


SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .mp2 .mp1 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc".split()
)
FOREIGN_SUFFIXES = frozenset(
    ".m4a .m4b .mp4 .aac .wma .ape .wv .mka .webm .amr .dsf".split()
)  # libsndfile reads none
SAMPLE_RATES = (8_000, 192_000)  # Hz, the slowest and the fastest
MAX_CHANNELS = 8
_TAGS = frozenset(
    "title artist album date tracknumber comment copyright license".split()
)  # the genre is left out: it is not true of the conversion
_SLACK = {"MP3": 2 * 1152}  # frames: encoders differ in what they count at the ends
_REMEDY = "remove it, or export it again as WAV or FLAC"
# What libsndfile notes, without an error, about a file that ends before its header says.
_SHORT_CHUNK = re.compile(r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_SHORT_OTHER = re.compile(
    r"lacks an end-of-stream bit|without an End-Of-Stream flag|does not match value from 'ds64' chunk"
)
_MAX_FRAMES = 2**31  # 12 hours at 48 kHz; a FLAC written to a pipe claims 2**63 - 1
_STREAMED_SIZE = 0x7FFF_0000  # from here on a chunk size means "unknown": the writer could not seek back


class AudioError(ValueError):
    """A sound file that cannot be used; the message names it, says why, and what to do."""


@dataclass(frozen=True)
class Sound:
    """A decoded file."""

    samples: Array  # float32 [N, C]
    sample_rate: int  # Hz
    format: str  # as soundfile spells it: WAV, FLAC, OGG, MP3, ...
    subtype: str  # PCM_16, FLOAT, VORBIS, ...


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    frames: int  # of samples, in each channel; of some MP3 files a guess
    channels: int
    sample_rate: int  # Hz
    format: str  # as in `Sound`
    subtype: str
    tags: Mapping[str, str]  # title, artist and the like, where there are any


def find_audio(folder: str | os.PathLike[str], suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """List the sound files under a folder, sorted; hidden files and folders are left out."""
    root = Path(folder)
    files = (path for path in root.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts))


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return what a file says of itself, without decoding it.

    Raises:
        AudioError: as `read_wave`, for all that a header shows.
    """
    with _open(Path(path)) as file:
        tags = {name: value for name, value in file.copy_metadata().items() if value and name in _TAGS}
        return Header(file.frames, file.channels, file.samplerate, file.format, file.subtype, tags)


def duration(path: str | os.PathLike[str]) -> float:
    """Return the seconds of sound that a file's header promises; raises as `read_header`."""
    header = read_header(path)
    return header.frames / header.sample_rate


def read_wave(path: str | os.PathLike[str]) -> Sound:
    """Decode a whole file.

    Returns:
        Its samples, float32 [N, C], with N >= 1, at its own sample rate.

    Raises:
        AudioError: when it is missing, not sound, truncated, damaged or empty, or holds NaN or infinity.
    """
    header = read_header(path)
    blocks = list(read_blocks(path, header.frames))
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return Sound(samples, header.sample_rate, header.format, header.subtype)


def read_blocks(path: str | os.PathLike[str], size: int = 1 << 16) -> Iterator[Array]:
    """Decode a file piece by piece, so that its length costs no memory.

    Args:
        path: of the file.
        size: of the blocks, the last excepted.

    Yields:
        float32 [<= size, C].

    Raises:
        AudioError: as `read_wave`, as soon as it shows.
    """
    path, decoded = Path(path), 0
    with _open(path) as file:
        promised, rate, format = file.frames, file.samplerate, file.format
        while len(block := file.read(size, dtype="float32", always_2d=True)):
            if not np.isfinite([block.min(), block.max()]).all():
                raise AudioError(f"{path} holds samples that are NaN or infinite; {_REMEDY}")
            decoded += len(block)
            yield block
        unread = path.stat().st_size - file.name.tell()
    if decoded == 0:
        raise AudioError(f"{path} is empty: it holds no samples; {_REMEDY}")
    if format == "MP3" and not _has_frame_count(path):  # libsndfile guessed from the size of the file
        if decoded == promised and unread > path.stat().st_size // 8:
            raise AudioError(f"{path} has a variable bit rate but no header that tells its length; {_REMEDY}")
    elif promised - decoded > _SLACK.get(format, 0):
        raise AudioError(
            f"{path} is truncated: its header promises {promised / rate:.2f} s, "
            f"it holds {decoded / rate:.2f} s; {_REMEDY}"
        )


@contextmanager
def _open(path: Path) -> Iterator[SoundFile]:
    """Open a sound file whose header can be right; errors of libsndfile become an AudioError that names it."""
    import soundfile

    if not path.is_file():
        raise AudioError(f"{path} is not a file; check the spelling of the path")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes); {_REMEDY}")
    try:
        with path.open("rb") as stream, soundfile.SoundFile(stream) as file:
            _check_header(path, file)
            yield file
            _require_whole(path, file)  # once more: of Opus it is noticed while decoding
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path} is not sound that can be read, or is damaged ({error.error_string.strip()}); {_REMEDY}"
        ) from error


def _check_header(path: Path, file: SoundFile) -> None:
    _require_whole(path, file)
    if file.frames == 0:
        raise AudioError(f"{path} is empty: it holds no samples; {_REMEDY}")
    if file.frames > _MAX_FRAMES:
        raise AudioError(f"{path} does not tell its length, or is over 12 hours long; {_REMEDY}")
    slowest, fastest = SAMPLE_RATES
    if not slowest <= file.samplerate <= fastest:
        raise AudioError(f"{path} has a sample rate of {file.samplerate} Hz; {slowest} to {fastest} can be used")
    if file.channels > MAX_CHANNELS:
        raise AudioError(f"{path} has {file.channels} channels; 1 to {MAX_CHANNELS} can be used: mix it down first")


def _require_whole(path: Path, file: SoundFile) -> None:
    note = file.extra_info
    chunks = [(int(match[1]), int(match[2])) for match in _SHORT_CHUNK.finditer(note)]
    if any(present < promised < _STREAMED_SIZE for promised, present in chunks) or _SHORT_OTHER.search(note):
        raise AudioError(f"{path} is truncated: the file ends before its header says; {_REMEDY}")


def _has_frame_count(path: Path) -> bool:
    """Tell whether an MP3 states its length in a Xing, Info or VBRI header."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3":  # its size has seven bits a byte
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(tag)
        start = file.read(4096)
    return any(name in start for name in (b"Xing", b"Info", b"VBRI"))
