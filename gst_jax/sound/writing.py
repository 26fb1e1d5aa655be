"""Write sound files whole or not at all: libsndfile, with the errors that it passes over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gst_jax.runs.atomic import replacing
from gst_jax.sound.files import AudioError
from gst_jax.types import Array

_FORMATS = {".oga": "OGG", ".opus": "OGG", ".aif": "AIFF", ".aifc": "AIFF", ".snd": "AU"}
_WRITE_BLOCK = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on very long writes


class Kind(NamedTuple):
    """How samples are kept in a file, as soundfile spells it."""

    format: str
    subtype: str


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
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a sound that comes piece by piece, as `write_wave` does.

    Args:
        path: where to.
        blocks: float [n, C] each; when they raise, nothing is left behind.
        sample_rate: Hz.
        channels: C.
        kind: from `choose_kind`.
        tags: title, artist and the like, as in a `Header`.

    Raises:
        OSError: when the folder cannot be written to, or the disk is full.
    """
    import soundfile

    path = Path(path)
    clips = kind.subtype not in ("FLOAT", "DOUBLE")
    try:
        with replacing(path) as temporary, _Sink(str(temporary), "w+") as sink:
            try:
                with soundfile.SoundFile(sink, "w", sample_rate, channels, kind.subtype, format=kind.format) as file:
                    for name, value in (tags or {}).items():
                        setattr(file, name, value)
                    for block in blocks:
                        for start in range(0, len(block), _WRITE_BLOCK):
                            piece = block[start : start + _WRITE_BLOCK]
                            file.write(np.clip(piece, -1, 1) if clips else piece)
            finally:
                if sink.error:
                    raise OSError(sink.error.errno, sink.error.strerror, str(path))
    except soundfile.LibsndfileError as error:
        raise _cannot_hold(path, kind, channels, sample_rate, error) from error


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
    if format not in soundfile.available_formats():
        raise AudioError(
            f"cannot write {path}: {suffix or 'no suffix'} names no format; use .wav, .flac, .ogg or .mp3"
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


def has_subtype(format: str, subtype: str) -> bool:
    """Tell whether a format can hold samples of a subtype, both as soundfile spells them."""
    import soundfile

    return bool(soundfile.check_format(format, subtype))


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
