"""Find and read sound files: the uncompressed kinds through libsndfile, all others through FFmpeg."""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gst_jax.sound import ffmpeg, tags
from gst_jax.sound.headers import (
    LARGEST_SAMPLE,
    MAX_CHANNELS,
    REMEDY,
    SAMPLE_RATES,
    AudioError,
    AudioWarning,
    Header,
    Patient,
    skip_tag,
)
from gst_jax.sound.tags import Tags
from gst_jax.types import Array

if TYPE_CHECKING:
    from soundfile import SoundFile

_SUFFIXES = """
    wav rf64 w64 aif aiff aifc au snd caf voc flac ogg oga opus mp3 mp2 mp1 m4a m4b m4v mp4 mov 3gp aac wma asf ape wv
    tta mka mkv webm amr ac3 dsf gsm mpc flv avi
"""
SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())
# Of music too, but nothing here reads these.
FOREIGN_SUFFIXES = frozenset(".mid .midi .kar .m4p .aax .aa .mod .xm .it .s3m .ra .rm".split())
_DEPTHS = frozenset("PCM_U8 PCM_S8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW".split())
# What libsndfile notes, without an error, about a file that ends before its header says.
_SHORT = re.compile(r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_CUT_OGG = re.compile(r"lacks an end-of-stream bit|without an End-Of-Stream flag")
# How files begin that libsndfile is asked about: of others, its reader of SD2 crashes on some, and its decoder of
# MPEG writes complaints of its own on the screen.
_ASKED = re.compile(
    rb"RIF[FX]....WAVE|RF64|riff|FORM....(AIF[FC]|8SVX|16SV)|\.snd|dns\.|caff|Creative|fLaC|OggS", re.DOTALL
)
_WELL_KNOWN = frozenset({"WAV", "W64", "AIFF", "AU", "CAF"})  # to libsndfile, unless they are damaged
_STREAMED_SIZE = 0x7FF0_0000  # from here on a chunk size means "unknown": the writer could not seek back
_MISSED = 0.25  # seconds of sound that a file may lack without a word: of MP3 at 8 kHz a header counts 0.22 s more
_MAX_FRAMES = 2**31  # 12 hours at 48 kHz; a FLAC written to a pipe claims 2**63 - 1
_BLOCK = 1 << 16  # samples read at a time


@dataclass(frozen=True)
class Sound:
    """A decoded file."""

    samples: Array  # float32 [N, C]
    sample_rate: int  # Hz
    format: str  # as in a `Header`
    subtype: str


def find_audio(folder: str | os.PathLike[str], suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """List the sound files under a folder, sorted; hidden files and folders are left out, links are followed once.

    A folder that cannot be read is named in an AudioWarning.
    """
    seen: set[tuple[int, int]] = set()
    found = []

    def refused(error: OSError) -> None:
        warnings.warn(f"{error.filename} was left out: {error.strerror}", AudioWarning, stacklevel=3)

    for root, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(root, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]
    return sorted(found)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return what a file says of itself, without decoding it.

    Raises:
        AudioError: as `read_wave`, for all that a header shows.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"{path} is not a file; check the spelling of the path")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes); {REMEDY}")
    header = _plain_header(path)
    if header is None or not _is_plain(path, header):
        header = _other_header(path, header)
    _check(path, header)
    return header


def read_tags(path: str | os.PathLike[str], header: Header) -> Tags:
    """Return title, artist, cover and the like, but not the genre, which is not true of a conversion."""
    if header.by_ffmpeg:
        return tags.read(Path(path), ffmpeg.read_tags(Path(path)))
    with _open(Path(path)) as (file, _):
        return tags.read(Path(path), file.copy_metadata())


def duration(path: str | os.PathLike[str]) -> float:
    """Return the seconds of sound that a file's header promises; raises as `read_header`."""
    header = read_header(path)
    return header.frames / header.sample_rate


def read_wave(path: str | os.PathLike[str]) -> Sound:
    """Decode a whole file.

    Returns:
        Its samples, float32 [N, C], with N >= 1, at its own sample rate.

    Raises:
        AudioError: when it is missing, not sound or empty, or holds NaN or infinity.
    """
    header = read_header(path)
    return Sound(np.concatenate(list(read_blocks(path))), header.sample_rate, header.format, header.subtype)


def read_blocks(path: str | os.PathLike[str]) -> Iterator[Array]:
    """Decode a file piece by piece, so that its length costs no memory.

    What can be read of a file that is damaged or ends too soon is read, as players do; an AudioWarning says how much
    is missing.

    Yields:
        float32 [n, C].

    Raises:
        AudioError: as `read_wave`, as soon as it shows.
    """
    path = Path(path)
    header = read_header(path)
    decoded = 0
    for block in ffmpeg.read_blocks(path, header) if header.by_ffmpeg else _plain_blocks(path):
        if not np.isfinite([block.min(), block.max()]).all():
            raise AudioError(f"{path} holds samples that are NaN or infinite; {REMEDY}")
        if max(-block.min(), block.max()) > LARGEST_SAMPLE:
            raise AudioError(f"{path} holds samples beyond {LARGEST_SAMPLE:g}, and -1 to 1 is full scale; {REMEDY}")
        decoded += len(block)
        yield block
    if decoded == 0:
        raise AudioError(f"{path} is empty: it holds no samples; {REMEDY}")
    missing = max(header.missing, (header.frames - decoded) / header.sample_rate)
    if missing > _MISSED:
        part = "some of it is" if missing == math.inf else f"{missing:.1f} s are"
        warnings.warn(f"{path} is cut off or damaged: {part} missing", AudioWarning, stacklevel=2)


def _is_plain(path: Path, header: Header) -> bool:
    """Tell whether libsndfile decodes a file whole and to the sample."""
    if not 0 < header.frames <= _MAX_FRAMES:
        return False
    if header.format == "OGG":  # of files joined to one, libsndfile reads the first alone, as it does of FLAC
        return header.missing == 0 and ffmpeg.count_seconds(path) < header.frames / header.sample_rate + _MISSED
    return header.format != "FLAC" and header.subtype in _DEPTHS


def _plain_header(path: Path) -> Header | None:
    """Return what libsndfile finds, None when it cannot read the file."""
    import soundfile

    with path.open("rb") as stream:
        if not _ASKED.match(skip_tag(stream)):
            return None
    try:
        with _open(path) as (file, _):
            seconds = file.frames / file.samplerate
            missing = math.inf if _CUT_OGG.search(file.extra_info) else 0.0
            for promised, present in ((int(match[1]), int(match[2])) for match in _SHORT.finditer(file.extra_info)):
                if present < promised < _STREAMED_SIZE:
                    missing = max(missing, seconds * (promised / max(present, 1) - 1))
            kind = (file.frames, file.channels, file.samplerate, file.format, file.subtype)
    except soundfile.LibsndfileError:
        return None
    bit_rate = int(8 * path.stat().st_size / seconds) if kind[3] == "OGG" and seconds else 0
    return Header(*kind, bit_rate=bit_rate, missing=missing, channel_mask=_channel_mask(path))


def _other_header(path: Path, plain: Header | None) -> Header:
    """Return what FFmpeg finds; where it finds nothing, what libsndfile did."""
    try:
        header = ffmpeg.read_header(path)
    except AudioError as error:
        if plain is None or plain.frames > _MAX_FRAMES:
            raise
        if plain.frames == 0:
            raise AudioError(f"{path} is empty: it holds no samples; {REMEDY}") from error
        return plain
    if plain is not None:  # which tells 8 bits from 16
        return replace(header, format=plain.format, subtype=plain.subtype, missing=plain.missing)
    return replace(header, missing=math.inf) if header.format in _WELL_KNOWN else header


def _plain_blocks(path: Path) -> Iterator[Array]:
    import soundfile

    with _open(path) as (file, patient):
        block = None
        while block is None or len(block):
            try:
                block = file.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if block is None:
                    raise AudioError(f"{path} is damaged ({error.error_string.strip()}); {REMEDY}") from error
                return  # what is missing from here on is said
            patient.found()
            if len(block):
                yield block


@contextmanager
def _open(path: Path) -> Iterator[tuple[SoundFile, Patient]]:
    import soundfile

    with path.open("rb") as stream:
        skip_tag(stream)
        patient = Patient(stream)
        with soundfile.SoundFile(patient) as file:
            yield file, patient


def _check(path: Path, header: Header) -> None:
    """Raise an AudioError for what cannot be used."""
    slowest, fastest = SAMPLE_RATES
    if not slowest <= header.sample_rate <= fastest:
        raise AudioError(f"{path} has a sample rate of {header.sample_rate} Hz; {slowest} to {fastest} can be used")
    if not 1 <= header.channels <= MAX_CHANNELS:
        raise AudioError(f"{path} has {header.channels} channels; 1 to {MAX_CHANNELS} can be used: mix it down first")
    if header.frames > _MAX_FRAMES:
        raise AudioError(f"{path} is over 12 hours long; cut it into parts first")
    if header.format == "WAV" and _is_joined(path):
        raise AudioError(f"{path} is several WAV files written one after the other; {REMEDY}")


def _channel_mask(path: Path) -> int:
    """Return where the loudspeakers of an extensible WAV stand; 0 where it does not say, or is none."""
    with path.open("rb") as file:
        start = file.read(4096)
    place = start.find(b"fmt ")
    if start[:4] not in (b"RIFF", b"RF64") or place < 0 or start[place + 8 : place + 10] != b"\xfe\xff":
        return 0
    return int(struct.unpack_from("<I", start, place + 28)[0])


def _is_joined(path: Path) -> bool:
    """Tell whether another WAV follows where the first one says that it ends."""
    with path.open("rb") as file:
        start = file.read(8)
        if start[:4] != b"RIFF":
            return False
        file.seek(8 + int.from_bytes(start[4:], "little"))
        return b"RIFF" in file.read(5)
