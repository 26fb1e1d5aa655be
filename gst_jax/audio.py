"""Turn sound files into waveforms [N] or log-mel frames [T, M], with the way back as far as it is exact."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gst_jax.config import AudioConfig

if TYPE_CHECKING:
    from soundfile import SoundFile

Array = np.ndarray[Any, np.dtype[Any]]

LOG_MEL_FLOOR = -50.0  # dB, of a mel power of 1e-5
SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .mp2 .mp1 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc".split()
)
FOREIGN_SUFFIXES = frozenset(
    ".m4a .m4b .mp4 .aac .wma .ape .wv .mka .webm .amr .dsf".split()
)  # libsndfile reads none
_FORMATS = {".oga": "OGG", ".opus": "OGG", ".aif": "AIFF", ".aifc": "AIFF", ".snd": "AU"}
_SAMPLE_RATES = (8_000, 192_000)
_MAX_CHANNELS = 8
_BLOCK_FRAMES = 256  # of spectrum at a time: fits the cache, and an hour needs no gigabytes
_WRITE_BLOCK = 1 << 16  # libsndfile's Vorbis encoder overflows its stack on very long writes
_REMEDY = "remove it, or export it again as WAV or FLAC"
# What libsndfile notes, without an error, about a file that ends before its header says.
_SHORT_CHUNK = re.compile(r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_SHORT_OTHER = re.compile(r"lacks an end-of-stream bit|does not match value from 'ds64' chunk")
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


def find_audio(folder: str | os.PathLike[str]) -> list[Path]:
    """List the sound files under a folder, sorted; hidden files and folders are left out."""
    return sorted(path for path in _visible_files(Path(folder)) if path.suffix.lower() in SUFFIXES)


def find_foreign(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files under a folder that are sound of a kind that cannot be read here, such as m4a."""
    return sorted(path for path in _visible_files(Path(folder)) if path.suffix.lower() in FOREIGN_SUFFIXES)


def duration(path: str | os.PathLike[str]) -> float:
    """Return the seconds of sound in a file by its header, without decoding it.

    Raises:
        AudioError: as `read_wave`, for all that a header shows.
    """
    with _open(Path(path)) as file:
        return float(file.frames / file.samplerate)


def read_wave(path: str | os.PathLike[str]) -> Sound:
    """Decode a whole file.

    Returns:
        Its samples, float32 [N, C], with N >= 1, at its own sample rate.

    Raises:
        AudioError: when it is missing, not sound, truncated, damaged or empty, or holds NaN or infinity.
    """
    path = Path(path)
    with _open(path) as file:
        promised, sample_rate = file.frames, file.samplerate
        sound = Sound(file.read(dtype="float32", always_2d=True), sample_rate, file.format, file.subtype)
    decoded = len(sound.samples)
    if decoded < promised and not (sound.format == "MP3" and decoded and _frame_count_is_estimate(path)):
        raise AudioError(
            f"{path} is truncated: its header promises {promised / sample_rate:.2f} s, "
            f"it holds {decoded / sample_rate:.2f} s; {_REMEDY}"
        )
    if not np.isfinite([sound.samples.min(), sound.samples.max()]).all():
        raise AudioError(f"{path} holds samples that are NaN or infinite; {_REMEDY}")
    return sound


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
    import soundfile

    path = Path(path)
    suffix = path.suffix.lower()
    format = format or _FORMATS.get(suffix, suffix.removeprefix(".").upper())
    if format not in soundfile.available_formats():
        raise AudioError(
            f"cannot write {path}: {suffix or 'no suffix'} names no format; use .wav, .flac, .ogg or .mp3"
        )
    subtype = subtype or ("OPUS" if suffix == ".opus" else soundfile.default_subtype(format))
    samples = samples.reshape(len(samples), -1)
    channels = samples.shape[1]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.touch()  # an OSError with the reason, where libsndfile would only say "System error"
    try:
        with soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype, format=format) as file:
            for start in range(0, len(samples), _WRITE_BLOCK):
                block = samples[start : start + _WRITE_BLOCK]
                file.write(block if subtype in ("FLOAT", "DOUBLE") else np.clip(block, -1, 1))
        temporary.replace(path)
    except (soundfile.SoundFileError, ValueError) as error:
        raise AudioError(
            f"cannot write {path} as {format} {subtype} with {channels} channels at {sample_rate} Hz: {error}; "
            "WAV holds any sound"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def resample(waveform: Array, rate_in: int, rate_out: int) -> Array:
    """Change the sample rate, band-limited (soxr, high quality).

    Args:
        waveform: [N] or [N, C].
        rate_in: Hz.
        rate_out: Hz.

    Returns:
        float32 [ceil(N * rate_out / rate_in)] or the same with C; the input itself when the rates are equal.
    """
    import soxr

    waveform = np.asarray(waveform, np.float32)
    if rate_in == rate_out:
        return waveform
    length = -(-len(waveform) * rate_out // rate_in)
    out = np.asarray(soxr.resample(waveform, rate_in, rate_out, quality="HQ"), np.float32)[:length]
    padding = [(0, length - len(out))] + [(0, 0)] * (out.ndim - 1)
    return np.pad(out, padding) if len(out) < length else out


def mono(samples: Array) -> Array:
    """Average the channels: float32 [N, C] -> [N]."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


@lru_cache(maxsize=8)
def mel_filters(audio: AudioConfig) -> Array:
    """Build Slaney's area-normalised triangular mel filters, as `librosa.filters.mel` does.

    The scale is linear below 1 kHz (200/3 Hz a mel) and logarithmic above (6.4-fold in 27 mels):
    M. Slaney, Auditory Toolbox, Interval Research technical report 1998-010.

    Returns:
        float32 [M, F], read-only, F = n_fft // 2 + 1.
    """
    mel_of_1_khz, step = 15.0, np.log(6.4) / 27.0
    ends = np.array([audio.f_min, audio.f_max])
    low, high = np.where(
        ends < 1000.0, ends * 3.0 / 200.0, mel_of_1_khz + np.log(np.maximum(ends, 1000.0) / 1000.0) / step
    )
    mels = np.linspace(low, high, audio.n_mels + 2)
    edges = np.where(mels < mel_of_1_khz, mels * 200.0 / 3.0, 1000.0 * np.exp(step * (mels - mel_of_1_khz)))
    bins = np.fft.rfftfreq(audio.n_fft, 1.0 / audio.sample_rate)
    distance = edges[:, None] - bins  # [M + 2, F]
    width = np.diff(edges)[:, None]
    triangles = np.maximum(0.0, np.minimum(-distance[:-2] / width[:-1], distance[2:] / width[1:]))
    filters = (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    filters.flags.writeable = False
    return filters


def stft(waveform: Array, audio: AudioConfig) -> Array:
    """Transform to complex spectra of centred, periodic-Hann-windowed frames, zeros beyond both ends.

    They are librosa's without the last one, so that whole hops give whole frames: 2.0 s at 16 kHz are 126.

    Args:
        waveform: float [N].
        audio: the frame sizes.

    Returns:
        complex64 [N // hop_length, F]; no frame at all for less than one hop of sound.
    """
    blocks = list(_spectra(waveform, audio))
    return np.concatenate(blocks) if blocks else np.zeros((0, audio.n_fft // 2 + 1), np.complex64)


def istft(spectrum: Array, audio: AudioConfig, length: int) -> Array:
    """Invert `stft` by overlap-add over the sum of the squared windows (Griffin & Lim 1984, equation 6).

    The dropped last frame leaves the end, up to two hops after the last centre, in the skirts of the windows.
    Dividing by next to nothing there would turn any change of the spectrum into a click, so the divisor has a
    floor, where the end fades instead: append a hop of zeros before `stft` to have every sample exact.

    Args:
        spectrum: complex [T, F].
        audio: the frame sizes, as given to `stft`.
        length: N, the samples wanted.

    Returns:
        float32 [N].
    """
    window = _window(audio.n_fft)
    frames = np.fft.irfft(np.asarray(spectrum, np.complex64), audio.n_fft).astype(np.float32, copy=False)
    weight = _overlap_add(np.broadcast_to(window**2, frames.shape), audio.hop_length)
    out = np.zeros(length, np.float32)
    if len(frames):
        summed = _overlap_add(frames * window, audio.hop_length) / np.maximum(weight, 0.01 * weight.max())
        body = summed[audio.n_fft // 2 :][:length]
        out[: len(body)] = body
    return out


def log_mel(waveform: Array, audio: AudioConfig) -> Array:
    """Measure the level of each mel band in each frame.

    Equals `librosa.power_to_db(melspectrogram(power=2), ref=1, amin=1e-5, top_db=None)` without the last frame.

    Args:
        waveform: float [N] at `audio.sample_rate`.
        audio: frame sizes and mel bands.

    Returns:
        float32 [N // hop_length, M] in dB, never below `LOG_MEL_FLOOR`.
    """
    filters = mel_filters(audio).T
    out = np.empty((len(waveform) // audio.hop_length, audio.n_mels), np.float32)
    start = 0
    for spectrum in _spectra(waveform, audio):
        power = (spectrum.real**2 + spectrum.imag**2) @ filters
        out[start : start + len(power)] = 10.0 * np.log10(np.maximum(power, 10.0 ** (LOG_MEL_FLOOR / 10.0)))
        start += len(power)
    return out


def _spectra(waveform: Array, audio: AudioConfig) -> Iterator[Array]:
    """Yield the frames of `stft` in blocks, complex64 [<= _BLOCK_FRAMES, F]."""
    count = len(waveform) // audio.hop_length
    window = _window(audio.n_fft)
    padded = np.pad(np.asarray(waveform, np.float32), audio.n_fft // 2)
    frames = sliding_window_view(padded, audio.n_fft)[:: audio.hop_length]
    for start in range(0, count, _BLOCK_FRAMES):
        yield np.fft.rfft(frames[start : min(start + _BLOCK_FRAMES, count)] * window)


@lru_cache(maxsize=8)
def _window(length: int) -> Array:
    """Return the periodic Hann window, float32 [length], read-only."""
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)).astype(np.float32)
    window.flags.writeable = False
    return window


def _overlap_add(frames: Array, hop: int) -> Array:
    """Sum frames [T, L], each `hop` samples after the one before, into one waveform."""
    count, length = frames.shape
    pieces = -(-length // hop)
    padded = np.pad(frames, ((0, 0), (0, pieces * hop - length))).reshape(count, pieces, hop)
    out = np.zeros((count + pieces - 1, hop), np.float32)
    for piece in range(pieces):
        out[piece : piece + count] += padded[:, piece]
    return out.reshape(-1)


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


@contextmanager
def _open(path: Path) -> Iterator[SoundFile]:
    """Open a sound file whose header can be right; errors of libsndfile become an AudioError that names it."""
    import soundfile

    if not path.is_file():
        raise AudioError(f"{path} is not a file; check the spelling of the path")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path} may not be read; check its permissions")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes); {_REMEDY}")
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file)
            yield file
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{path} is not sound that can be read, or is damaged ({str(error).strip()}); {_REMEDY}"
        ) from error


def _check_header(path: Path, file: SoundFile) -> None:
    note = file.extra_info
    chunks = [(int(match[1]), int(match[2])) for match in _SHORT_CHUNK.finditer(note)]
    if any(present < promised < _STREAMED_SIZE for promised, present in chunks) or _SHORT_OTHER.search(note):
        raise AudioError(f"{path} is truncated: the file ends before its header says; {_REMEDY}")
    if file.frames == 0:
        raise AudioError(f"{path} is empty: it holds no samples; {_REMEDY}")
    slowest, fastest = _SAMPLE_RATES
    if not slowest <= file.samplerate <= fastest:
        raise AudioError(f"{path} has a sample rate of {file.samplerate} Hz; {slowest} to {fastest} can be used")
    if file.channels > _MAX_CHANNELS:
        raise AudioError(f"{path} has {file.channels} channels; 1 to {_MAX_CHANNELS} can be used: mix it down first")


def _frame_count_is_estimate(path: Path) -> bool:
    """Tell whether an MP3's promised length was guessed from its size: it has no Xing, Info or VBRI header."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3":  # its size has seven bits a byte
            tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(tag)
        start = file.read(4096)
    return not any(name in start for name in (b"Xing", b"Info", b"VBRI"))
