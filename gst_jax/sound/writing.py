"""Write sound files whole or not at all: libsndfile, with the errors that it passes over."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gst_jax.runs.atomic import replacing
from gst_jax.sound import ffmpeg
from gst_jax.sound.headers import AudioError, Header
from gst_jax.sound.tags import Tags
from gst_jax.sound.tags import write as write_tags
from gst_jax.types import Array

_FORMATS = {
    ".oga": "OGG",
    ".opus": "OGG",
    ".aif": "AIFF",
    ".aifc": "AIFF",
    ".snd": "AU",
    ".m4b": "M4A",
}
_FOUR_GIGABYTES = (1 << 32) - (1 << 20)  # what a RIFF or AIFF header can count, less room for headers and tags
_BYTES = {
    "PCM_U8": 1,
    "PCM_S8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}
_NEXT_DEPTH = {  # where a format lacks the source's
    "PCM_U8": ("PCM_S8", "PCM_16"),
    "PCM_S8": ("PCM_U8", "PCM_16"),
    "PCM_32": ("PCM_24",),
    "FLOAT": ("PCM_24",),
    "DOUBLE": ("FLOAT", "PCM_24"),
}
_M4A_CHANNELS = frozenset({1, 2, 5, 6})  # whose layouts FFmpeg's two encoders take
_AAC_RATES = frozenset(
    (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
)
# Formats whose tags mutagen writes; libsndfile writes those of the others, and ruins letters in MP3 and AIFF.
_TAGGED = frozenset({"MP3", "AIFF", "FLAC", "OGG", "M4A"})
_STRINGS = frozenset("title artist album date tracknumber comment copyright license".split())  # of libsndfile
_LOSSY = 256_000  # bits per second, where the source does not say how good a lossy output should be
# Bits per second of stereo that libsndfile's Vorbis encoder gives at qualities 0, 0.1, ... 1 (xiph.org).
_VORBIS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
_WRITE_BLOCK = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on very long writes


class Kind(NamedTuple):
    """How samples are kept in a file, as soundfile spells it; M4A is written by FFmpeg."""

    format: str
    subtype: str
    bit_rate: int = 0  # bits per second wanted of a lossy kind; 0: the usual
    channel_mask: int = 0  # where the loudspeakers stand, of a WAVEX

    @property
    def clips(self) -> bool:
        """Tell whether samples beyond full scale cannot be kept."""
        return self.subtype not in ("FLOAT", "DOUBLE")


def write_wave(
    path: str | os.PathLike[str],
    samples: Array,
    sample_rate: int,
    subtype: str | None = None,
    format: str | None = None,
) -> None:
    """Write a sound file, whole or not at all; integer and lossy kinds are clipped to [-1, 1], never wrapped.

    Args:
        path: where to; its suffix decides the format unless `format` is given.
        samples: float [N, C] or [N].
        sample_rate: Hz.
        subtype: as soundfile spells it (PCM_16, PCM_24, FLOAT, ...); None is the format's usual one.
        format: as soundfile spells it (WAV, FLAC, ...).

    Raises:
        AudioError: when no such format exists or it cannot hold this sound.
        OSError: when the folder cannot be written to, or the disk is full.
    """
    samples = samples[:, None] if samples.ndim == 1 else samples
    kind = choose_kind(path, sample_rate, samples.shape[1], subtype, format)
    write_blocks(path, [samples], sample_rate, samples.shape[1], kind)


def write_blocks(
    path: str | os.PathLike[str],
    blocks: Iterable[Array],
    sample_rate: int,
    channels: int,
    kind: Kind,
    tags: Tags | None = None,
) -> None:
    """Write a sound that comes piece by piece, as `write_wave` does.

    Args:
        path: where to.
        blocks: float [n, C] each; when they raise, nothing is left behind.
        sample_rate: Hz.
        channels: C.
        kind: from `choose_kind`.
        tags: what the file shall say of the work.

    Raises:
        AudioError: when a sample is NaN or infinite.
        OSError: when the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    checked = _finite(blocks, path)
    with replacing(path) as temporary:
        if kind.format == "M4A":
            ffmpeg.write_blocks(temporary, checked, sample_rate, channels, kind.subtype.lower(), kind.bit_rate)
        else:
            texts = {} if tags is None or kind.format in _TAGGED else tags.texts
            _write(path, temporary, checked, sample_rate, channels, kind, texts)
        if tags is not None and kind.format in {*_TAGGED, "WAV"}:
            write_tags(temporary, "OPUS" if kind.subtype == "OPUS" else kind.format, tags)


def _write(
    path: Path,
    temporary: Path,
    blocks: Iterable[Array],
    sample_rate: int,
    channels: int,
    kind: Kind,
    texts: Mapping[str, list[str]],
) -> None:
    """Write through libsndfile."""
    import soundfile

    try:
        with _Sink(str(temporary), "w+") as sink:
            try:
                options = _quality(kind, sample_rate, channels)
                with soundfile.SoundFile(
                    sink, "w", sample_rate, channels, kind.subtype, format=kind.format, **options
                ) as file:
                    for name in _STRINGS & texts.keys():
                        setattr(file, name, ", ".join(texts[name]))
                    for block in blocks:
                        for start in range(0, len(block), _WRITE_BLOCK):
                            piece = block[start : start + _WRITE_BLOCK]
                            file.write(np.clip(piece, -1, 1) if kind.clips else piece)
            finally:
                if sink.error:
                    raise OSError(sink.error.errno, sink.error.strerror, str(path))
    except soundfile.LibsndfileError as error:
        raise _cannot_hold(path, kind, channels, sample_rate, error) from error
    if kind.channel_mask:
        _set_channel_mask(temporary, kind.channel_mask)


def _quality(kind: Kind, sample_rate: int, channels: int) -> dict[str, Any]:
    """Return soundfile's options for as many bits per second as a kind asks for."""
    kilobits = (kind.bit_rate or _LOSSY) / 1000
    if kind.subtype.startswith("MPEG_LAYER_III"):
        lowest, highest = (32, 320) if sample_rate >= 32_000 else (8, 160)
        level = (highest - kilobits) / (highest - lowest)
        return {"compression_level": min(max(level, 0.0), 1.0), "bitrate_mode": "CONSTANT"}
    if kind.subtype == "OPUS":
        return {"compression_level": min(max(1 - (kilobits / channels - 6) / 250, 0.0), 1.0)}
    if kind.subtype == "VORBIS":
        quality = np.interp(kilobits * (1.7 if channels == 1 else 2 / channels), _VORBIS, np.linspace(0, 1, 11))
        return {"compression_level": 1 - float(quality)}
    return {}


def _finite(blocks: Iterable[Array], path: Path) -> Iterator[Array]:
    """Pass blocks on; a last guard, before the target exists."""
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioError(f"{path} was not written: the sound to be written holds NaN or infinite samples")
        if len(block):
            yield block


def _set_channel_mask(path: Path, mask: int) -> None:
    """Say in an extensible WAV where the loudspeakers stand; libsndfile writes the usual places alone."""
    with path.open("r+b") as file:
        place = file.read(4096).find(b"fmt ")
        file.seek(place + 28)
        file.write(struct.pack("<I", mask))


def choose_kind(
    path: str | os.PathLike[str],
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    format: str | None = None,
) -> Kind:
    """Return how a sound will be written to a path, before it exists; arguments as for `write_wave`.

    Raises:
        AudioError: when no such format exists or it cannot hold this sound.
    """
    import soundfile

    suffix = Path(path).suffix.lower()
    format = format or _FORMATS.get(suffix, suffix.removeprefix(".").upper())
    if format == "M4A":
        return _m4a(path, sample_rate, channels, subtype or "AAC")
    if format not in soundfile.available_formats():
        raise AudioError(
            f"cannot write {path}: {suffix or 'no suffix'} names no format; use .wav, .flac, .ogg, .mp3 or .m4a"
        )
    subtype = subtype or ("OPUS" if suffix == ".opus" else soundfile.default_subtype(format))
    if not soundfile.check_format(format, subtype):
        known = ", ".join(soundfile.available_subtypes(format))
        raise AudioError(f"cannot write {path}: {format} has no subtype {subtype}; it has {known}")
    kind = Kind(format, subtype)
    try:
        soundfile.SoundFile(BytesIO(), "w", sample_rate, channels, subtype, format=format).close()
    except soundfile.LibsndfileError as error:
        raise _cannot_hold(path, kind, channels, sample_rate, error) from error
    return kind


def kind_like(path: str | os.PathLike[str], header: Header, bit_rate: int = 0) -> Kind:
    """Return how to write to a path what shall be as a source is: its depth, its quality, its loudspeakers.

    Args:
        path: where to; its suffix decides the format.
        header: of the source.
        bit_rate: wanted of a lossy kind; 0: the source's.

    Raises:
        AudioError: when the format cannot hold this sound, or so much of it.
    """
    kind = choose_kind(path, header.sample_rate, header.channels)
    subtype = _as_deep(kind, header)
    if subtype != kind.subtype:
        kind = choose_kind(path, header.sample_rate, header.channels, subtype)
    if kind.format == "WAV" and header.channel_mask and header.channels > 2:
        kind = kind._replace(format="WAVEX", channel_mask=header.channel_mask)
    size = header.frames * header.channels * _BYTES.get(kind.subtype, 0)
    if size > _FOUR_GIGABYTES and kind.format in ("WAV", "WAVEX"):
        kind = Kind("RF64", kind.subtype)
    elif size > _FOUR_GIGABYTES and kind.format in ("AIFF", "AU", "VOC"):
        raise AudioError(f"cannot write {path}: {kind.format} holds at most 4 GB; give --format=wav or flac")
    return kind._replace(bit_rate=bit_rate or header.bit_rate)


def best_suffix(path: str | os.PathLike[str], header: Header) -> str:
    """Return the suffix of the kind of file that comes nearest to a source's and can be written."""
    nearest = {"AAC": ".m4a", "OPUS": ".opus", "VORBIS": ".ogg"}.get(header.subtype, ".mp3")
    errors = []
    for suffix in (Path(path).suffix, nearest if header.bit_rate else ".flac", ".flac", ".wav"):
        try:
            kind_like(Path(path).with_suffix(suffix), header)
            return suffix
        except AudioError as error:
            errors.append(error)
    raise errors[0]


def _as_deep(kind: Kind, header: Header) -> str:
    """Return the subtype of a kind's format that keeps a source's samples best."""
    import soundfile

    if kind.format == "M4A":
        return "AAC" if header.bit_rate else "ALAC"
    for subtype in (header.subtype, *_NEXT_DEPTH.get(header.subtype, ())):
        if subtype in _BYTES and soundfile.check_format(kind.format, subtype):
            return subtype
    return kind.subtype


def _m4a(path: object, sample_rate: int, channels: int, subtype: str) -> Kind:
    kind = Kind("M4A", subtype)
    if (sample_rate not in _AAC_RATES and subtype == "AAC") or channels not in _M4A_CHANNELS:
        raise AudioError(
            f"cannot write {path} as M4A {subtype} with {channels} channels at {sample_rate} Hz; a .flac or .wav can "
            "hold it"
        )
    return kind


def _cannot_hold(path: object, kind: Kind, channels: int, sample_rate: int, error: Any) -> AudioError:
    return AudioError(
        f"cannot write {path} as {kind.format} {kind.subtype} with {channels} channels at {sample_rate} Hz "
        f"({error.error_string.strip()}); a .wav can hold it"
    )


class _Sink(FileIO):
    """A file that remembers the failed write (a full disk) that libsndfile's Ogg and MP3 writers pass over."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(data) - len(left)
