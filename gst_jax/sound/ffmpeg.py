"""Read and write what libsndfile does not: FFmpeg's containers and codecs, through PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax.sound.headers import REMEDY, AudioError, Header, Patient, skip_tag
from gst_jax.types import Array

# Only containers of sound and video: a playlist that calls itself a song opens no other file and no address.
_CONTAINERS = (
    "mp3,aac,flac,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,wav,w64,aiff,au,caf,ape,wv,tta,amr,ac3,eac3,"
    "dsf,iff,avi,mpeg,mpegts,flv,voc,gsm,mpc,mpc8,tak,oma,dts,shn,xwma"
)
_COUNTED = frozenset(
    {"mp3", "aac", "flac", "ogg"}
)  # containers whose stated length misses joined parts, or is a guess
_LOSSY = frozenset("aac mp1 mp2 mp3 vorbis opus wmav1 wmav2 wmapro ac3 eac3 amrnb amrwb mpc7 mpc8 dts cook".split())
_DEPTHS = {"u8": "PCM_U8", "s16": "PCM_16", "flt": "FLOAT", "dbl": "DOUBLE"}  # of samples that are kept as they are
_USUAL = 192_000  # bits per second of a lossy codec that does not say how many
_NAMES = {"mp3float": "mp3", "mp2float": "mp2", "mp1float": "mp1", "libopus": "opus"}
_SPELT = {"mp3": "MPEG_LAYER_III", "mp2": "MPEG_LAYER_II", "mp1": "MPEG_LAYER_I"}  # by soundfile
_NEGATIVE = 1 << 31  # a last packet of Vorbis that counts less than nothing, as FFmpeg shows it
_PADDING = Fraction(1, 10)  # seconds of a codec's own that are no sound
_FRAMES = {"aac": 1024, "alac": 4096}  # samples that an encoder takes at a time
_HEADER_BYTES = 1 << 20  # at either end of an MP4, where its header lies


def read_header(path: Path) -> Header:
    """Return what a file says of itself, after decoding its first frame.

    Raises:
        AudioError: when FFmpeg finds no sound in it that it can decode.
    """
    with _open(path) as (container, patient):
        stream = container.streams.best("audio")
        frame = next(_frames(container, stream, patient), None)
        if frame is None:
            raise AudioError(f"{path} holds no sound that can be decoded; {REMEDY}")
        codec = _codec(stream)
        rate, channels = frame.sample_rate, len(frame.layout.channels)
        bit_rate = stream.bit_rate or container.bit_rate or 0
        seconds = stream.duration * stream.time_base if stream.duration else Fraction(container.duration or 0, 10**6)
    if container.format.name in _COUNTED:
        counted = count_seconds(path)
        if not _states_length(path, codec) or counted > seconds + _PADDING:
            seconds = counted
    return Header(
        frames=max(1, round(seconds * rate)),
        channels=channels,
        sample_rate=rate,
        format=container.format.name.split(",")[0].upper(),
        subtype=_SPELT.get(codec, codec.upper())
        if codec in _LOSSY
        else _DEPTHS.get(frame.format.name.removesuffix("p"), "PCM_24"),
        bit_rate=(bit_rate or _USUAL) if codec in _LOSSY else 0,
        by_ffmpeg=True,
    )


def count_seconds(path: Path) -> Fraction:
    """Return how long the packets of a file last together, the codec's padding with them, without decoding them."""
    with _open(path) as (container, patient):
        stream = container.streams.best("audio")
        packets = (packet.duration for packet in _packets(container, stream, patient))
        return sum(duration for duration in packets if duration and duration < _NEGATIVE) * stream.time_base


def _states_length(path: Path, codec: str) -> bool:
    """Tell whether an MP3 says how many frames it has, as a FLAC always does; else FFmpeg guesses by its size."""
    with path.open("rb") as file:
        skip_tag(file)
        start = file.read(4096)
    return codec == "flac" or any(name in start for name in (b"Xing", b"Info", b"VBRI"))


def read_blocks(path: Path, header: Header) -> Iterator[Array]:
    """Decode a file piece by piece, past its damaged places.

    Args:
        path: of the file.
        header: of `read_header`, whose sample rate all pieces get.

    Yields:
        float32 [n, C].
    """
    import av

    with _open(path) as (container, patient):
        stream = container.streams.best("audio")
        resampler: Any = None
        left, layout, kind = _end(path, container, stream), None, None
        for frame in _frames(container, stream, patient):
            layout = layout or frame.layout  # of the first, to which parts of another kind are brought
            if kind != (frame.format.name, frame.layout.name, frame.sample_rate):
                kind = (frame.format.name, frame.layout.name, frame.sample_rate)
                # Channels side by side: PyAV reads the planes of eight channels from where they are not.
                resampler = av.AudioResampler(format="flt", layout=layout, rate=header.sample_rate)
            frame.pts = None
            for part in resampler.resample(frame):
                block = part.to_ndarray().reshape(-1, len(part.layout.channels))[:left]
                left -= len(block)
                if len(block):
                    yield block


def read_tags(path: Path) -> dict[str, str]:
    """Return what a container says of the work, by FFmpeg's names."""
    with _open(path) as (container, patient):
        return {name.lower(): value for name, value in container.metadata.items()}


def write_blocks(
    path: Path, blocks: Iterable[Array], sample_rate: int, channels: int, codec: str, bit_rate: int
) -> None:
    """Write an MP4 container of sound alone.

    Args:
        path: where to, whatever its suffix.
        blocks: float [n, C] each.
        sample_rate: Hz.
        channels: C.
        codec: "aac" or "alac".
        bit_rate: bits per second, of AAC.

    Raises:
        OSError: when the disk is full.
    """
    import av

    # The time scale lets the container say to the sample where the sound ends.
    options = {"movie_timescale": str(sample_rate)}
    with _Output(path, "w") as file:
        with av.open(file, "w", format="ipod", options=options) as container:
            stream: Any = container.add_stream(codec, rate=sample_rate, layout=_layout(channels))
            if codec == "aac":
                stream.bit_rate = bit_rate
            size = _FRAMES[codec]
            into = av.AudioResampler(format=stream.format, layout=stream.layout, rate=sample_rate, frame_size=size)
            written = 0
            for block in blocks:
                packed = np.ascontiguousarray(np.clip(block, -1, 1), np.float32).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=_layout(channels))
                frame.sample_rate, frame.pts, frame.time_base = sample_rate, written, Fraction(1, sample_rate)
                written += len(block)
                for part in into.resample(frame):
                    container.mux(stream.encode(part))
                file.check()
            for part in into.resample(None):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        file.check()


class _Output(io.FileIO):
    """A file for PyAV, which may lose an error of its file or print it: kept here, to be raised by `check`."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left and self.refused is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.refused = error
        return len(data)

    def check(self) -> None:
        """Raise what a write met with."""
        if self.refused is not None:
            raise self.refused


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}[channels]


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Patient]]:
    """Open a container, and the file that it reads; FFmpeg's errors become an AudioError that names the file."""
    import av

    av.logging.set_level(av.logging.PANIC)
    options = {"format_whitelist": _CONTAINERS}
    try:
        with (
            path.open("rb") as file,
            av.open(patient := Patient(file), metadata_errors="replace", options=options) as container,
        ):
            if not container.streams.audio:
                raise AudioError(f"{path} holds no sound ({container.format.long_name}); {REMEDY}")
            yield container, patient
    except av.error.FFmpegError as error:
        raise AudioError(
            f"{path} is not sound that can be read, or is damaged ({error.strerror}); {REMEDY}"
        ) from error


def _packets(container: Any, stream: Any, patient: Patient) -> Iterator[Any]:
    for packet in container.demux(stream):
        patient.found()
        yield packet


def _frames(container: Any, stream: Any, patient: Patient) -> Iterator[Any]:
    """Decode frame by frame; damaged packets are left out, as players do."""
    import av

    for packet in _packets(container, stream, patient):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _codec(stream: Any) -> str:
    name = stream.codec_context.name
    return _NAMES.get(name, name)


def _end(path: Path, container: Any, stream: Any) -> int:
    """Return how many samples the sound has at most: an MP4 says where the codec's padding begins."""
    if "mp4" in container.format.name and stream.duration:
        exact = container.metadata.get("iTunSMPB", "").split()
        if len(exact) > 3:
            return int(exact[3], 16)
        rate = stream.codec_context.sample_rate
        scale = _movie_timescale(path)
        return int(stream.duration * stream.time_base * rate) + (0 if scale == rate else -(-rate // scale))
    return 1 << 62


def _movie_timescale(path: Path) -> int:
    """Return the units per second in which an MP4 says where its sound ends: often a thousand, and so rounded."""
    with path.open("rb") as file:
        data = file.read(_HEADER_BYTES)
        file.seek(max(0, path.stat().st_size - _HEADER_BYTES))
        data += file.read()
    place = data.find(b"mvhd") + 4
    if place < 4:
        return 1000
    offset = place + (20 if data[place] == 1 else 12)
    return int.from_bytes(data[offset : offset + 4], "big") or 1000
