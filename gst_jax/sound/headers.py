"""What a sound file says of itself, and what is said when it cannot be used."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, BinaryIO

REMEDY = "remove it, or export it again as WAV or FLAC"
SAMPLE_RATES = (8_000, 192_000)  # Hz, the slowest and the fastest
MAX_CHANNELS = 8
LARGEST_SAMPLE = 1e6  # far above that of integers taken for floats
_FRUITLESS = 1 << 26  # bytes that may be read without any sound: covers and films need less
_SEEK = 1 << 12  # bytes that going to another place counts for


class AudioError(ValueError):
    """A sound file that cannot be used; the message names it, says why, and what to do."""


class AudioWarning(UserWarning):
    """A sound file of which something is missing; the message names it and says what."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    frames: int  # of samples, in each channel; of some lossy kinds a guess
    channels: int
    sample_rate: int  # Hz
    format: str  # WAV, FLAC, OGG, MP3, ... as soundfile spells it, or FFmpeg's short name of the container
    subtype: str  # PCM_16, FLOAT, VORBIS, ..., or FFmpeg's name of the codec
    bit_rate: int = 0  # bits per second of a lossy kind; 0: unknown, or nothing is lost
    missing: float = 0.0  # seconds that the file promises and does not hold; infinite: its end, of unknown length
    by_ffmpeg: bool = False  # whether FFmpeg decodes it, or libsndfile
    channel_mask: int = 0  # where the loudspeakers of a WAV stand, by Microsoft's bits; 0: not said


class Patient:
    """A file, from where another one stands, that ends where too much of it was read without finding any sound.

    Decoders look for the next frame as far as a file goes, which of terabytes of nothing (a sparse file) takes hours.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Begin where a file stands."""
        self._file, self._start, self._read = file, file.tell(), 0

    def found(self) -> None:
        """Note that there was sound."""
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none where patience ends."""
        data = b"" if self._read > _FRUITLESS else self._file.read(size)
        self._read += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; return how many there were."""
        count = 0 if self._read > _FRUITLESS else self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._read += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place, which counts as a small read: WAVs may hold a billion empty chunks.

        Where there is no such place, as damaged headers name, it stays.
        """
        self._read += _SEEK
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(offset + (0 if whence else self._start), whence)
        return self.tell()

    def tell(self) -> int:
        """Return where it stands."""
        return self._file.tell() - self._start


def skip_tag(file: BinaryIO) -> bytes:
    """Go past the ID3 tag at the start of a file, if there is one; return the twelve bytes that follow."""
    head = file.read(10)
    size = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False))
    file.seek(size if head[:3] == b"ID3" else 0)
    start = file.read(12)
    file.seek(-len(start), 1)
    return start
