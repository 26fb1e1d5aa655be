"""Make files that are damaged, lie, never end, or are no sound at all; used by bad_files.py."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

Random = np.random.Generator
Named = tuple[str, bytes]  # a suffix, and what is in the file

HOURS = "an hour of silence in some kilobytes"
SECONDS = 2.2  # of the sounds that are damaged: enough to train on
RATES = (1, 2, 50, 999, 4_000, 7_999, 8_000, 11_025, 44_056, 88_200, 192_000, 192_001, 384_000, 768_000)
ENDINGS = {"AIFF": "aiff", "SVX": "iff", "MAT4": "mat", "MAT5": "mat", "MPC2K": "snd", "IRCAM": "sf", "WAVEX": "wav"}
CODECS = (  # a container's suffix, FFmpeg's encoder, a rate
    ("m4a", "aac", 44_100), ("m4a", "alac", 44_100), ("mp4", "aac", 48_000), ("aac", "aac", 44_100),
    ("wma", "wmav2", 44_100), ("mp2", "mp2", 44_100), ("mp3", "libmp3lame", 44_100), ("ac3", "ac3", 48_000),
    ("webm", "libopus", 48_000), ("opus", "libopus", 48_000), ("mka", "flac", 44_100), ("wv", "wavpack", 44_100),
    ("wav", "adpcm_ima_wav", 44_100), ("tta", "tta", 44_100), ("mov", "pcm_s16le", 44_100), ("flv", "aac", 44_100),
    ("avi", "mp2", 44_100), ("ogg", "flac", 44_100), ("caf", "alac", 44_100),
)  # fmt: skip
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE, 1_000_000_000)
SIZES = (b"RIFF", b"data", b"fmt ", b"LIST", b"ds64", b"FORM", b"COMM", b"SSND", b"desc", b"riff", b"fact", b"pakt")
SIZES += (b"moov", b"trak", b"mdat", b"stsz", b"stts", b"stco", b"stsc", b"mdhd", b"mvhd", b"stsd", b"elst")
SIZES += (b"Xing", b"Info", b"vorb", b"OpusHead", b"OggS", b"fLaC", b"wvpk", b"TTA1", b".snd", b"strh", b"idx1")


def samples(seconds: float = SECONDS, rate: int = 44_100, channels: int = 2) -> np.ndarray:
    """Return a tone over noise, float32 [N, C]."""
    when = np.arange(max(int(seconds * rate), 1)) / rate
    noise = np.random.default_rng(0).standard_normal((len(when), channels))
    return (0.2 * np.sin(2 * np.pi * 440 * when)[:, None] + 0.02 * noise).astype(np.float32)


def written(format: str, subtype: str | None, rate: int, wave: np.ndarray) -> bytes:
    """Return a file as libsndfile writes it; nothing where it does not write such a one."""
    file = io.BytesIO()
    try:
        soundfile.write(file, wave, rate, subtype, format=format)
    except (soundfile.LibsndfileError, TypeError):
        return b""
    return file.getvalue()


def coded(suffix: str, codec: str, rate: int) -> bytes:
    """Return a file as FFmpeg writes it."""
    file = io.BytesIO()
    format = {"m4a": "ipod", "aac": "adts", "wma": "asf", "mka": "matroska"}.get(suffix, suffix)
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo", options={"strict": "experimental"})
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples(rate=rate).T), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        into = av.AudioResampler(format=stream.format, layout=stream.layout, rate=rate)
        for part in into.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def ending(format: str, subtype: str) -> str:
    return "opus" if subtype == "OPUS" else ENDINGS.get(format, format.lower())


@cache
def every_kind() -> list[Named]:
    """Return a sound in each container and subtype that libsndfile writes, at one rate and number of channels."""
    found = []
    for format in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(format):
            shapes = [(44_100, 2), (8_000, 1), (48_000, 2)]
            contents = (written(format, subtype, rate, samples(SECONDS, rate, count)) for rate, count in shapes)
            if content := next(filter(None, contents), b""):
                found.append((ending(format, subtype), content))
    return found


@cache
def by_ffmpeg() -> list[Named]:
    return [(suffix, coded(suffix, codec, rate)) for suffix, codec, rate in CODECS]


@cache
def common() -> list[Named]:
    """Return sounds of the kinds that people have."""
    kinds = [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("AIFF", "PCM_24"),
        ("MP3", None),
        ("OGG", None),
    ]
    kinds += [("OGG", "OPUS"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("RF64", "PCM_24")]
    made = [
        (ending(format, str(kind)), written(format, kind, 48_000, samples(rate=48_000))) for format, kind in kinds
    ]
    return made + by_ffmpeg()


def pick(rng: Random, among: list[Named]) -> Named:
    return among[int(rng.integers(len(among)))]


def a_whole_one(rng: Random, number: int) -> Named:
    return every_kind()[number % len(every_kind())]


def a_rate(rng: Random, number: int) -> Named:
    format = ("WAV", "FLAC", "AIFF", "AU", "CAF", "W64", "PAF", "NIST")[number // len(RATES) % 8]
    rate = RATES[number % len(RATES)]
    wave = samples(min(SECONDS, 400_000 / rate), rate, 1 + number % 2)
    return format.lower(), written(format, "PCM_16", rate, wave) or written("WAV", "FLOAT", rate, wave)


def channels(rng: Random, number: int) -> Named:
    format, count = ("WAV", "CAF", "AIFF", "RF64")[number // 64 % 4], 1 + number % 64
    return format.lower(), written(format, "PCM_16", 16_000, samples(SECONDS, 16_000, count))


def cut_short(rng: Random, number: int) -> Named:
    suffix, content = pick(rng, common() if number % 2 else every_kind())
    return suffix, content[: int(rng.integers(1, 200 if number % 5 == 0 else len(content)))]


def flipped(rng: Random, number: int) -> Named:
    """Flip bits everywhere, or in the first bytes, where the header lies."""
    suffix, content = pick(rng, common() if number % 2 else every_kind())
    within = len(content) if number % 3 else min(len(content), 256)
    changed = bytearray(content)
    for place in rng.integers(0, within, int(2 ** rng.uniform(0, 8))):
        changed[place] ^= 1 << int(rng.integers(8))
    return suffix, bytes(changed)


def wrong_header(rng: Random, number: int) -> Named:
    """Put extreme numbers, of two or four bytes in either order, among the first of a file."""
    suffix, content = pick(rng, common() if number % 2 else every_kind())
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        value, size = EXTREMES[int(rng.integers(len(EXTREMES)))], int(rng.choice([2, 4]))
        place = int(rng.integers(4, min(len(content) - 4, 120)))
        changed[place : place + size] = (value & (256**size - 1)).to_bytes(size, ("little", "big")[number % 2])
    return suffix, bytes(changed)


def huge_length(rng: Random, number: int) -> Named:
    """Say near the name of a chunk that it, or the table in it, is huge: a billion entries, terabytes."""
    kinds = [*common(), *every_kind()]
    suffix, content = kinds[number % len(kinds)]
    places = [(name, content.find(name)) for name in SIZES if name in content]
    name, place = places[int(rng.integers(len(places)))] if places else (b"", 4)
    changed, start = bytearray(content), place + len(name) + 4 * int(rng.integers(-2, 4))
    value = int(rng.choice([0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FEF_FFFF, 1_000_000_000, 1 << 30]))
    size = 8 if number % 4 == 0 else 4
    value = value << 20 if size == 8 else value
    changed[max(start, 0) : max(start, 0) + size] = value.to_bytes(size, ("little", "big")[number % 2])
    return suffix, bytes(changed)


def not_finite(rng: Random, number: int) -> Named:
    values = (np.nan, np.inf, -np.inf, 3e38, 1e-40, -np.nan)
    format = ("WAV", "AIFF", "AU", "CAF", "W64", "RF64", "MAT5", "IRCAM", "WAVEX")[number // len(values) % 9]
    subtype = "FLOAT" if number % 2 or format == "IRCAM" else "DOUBLE"
    wave = samples(SECONDS, 44_100, 2)
    wave[rng.integers(0, len(wave), int(10 ** rng.uniform(0, 4))), number % 2] = values[number % len(values)]
    return ending(format, subtype), written(format, subtype, 44_100, wave)


def foreign(rng: Random, number: int) -> Named:
    """Return what FFmpeg alone writes: as it is, then cut, then with flipped bits."""
    suffix, content = by_ffmpeg()[number % len(by_ffmpeg())]
    changed = bytearray(content if number % 3 else content[: int(rng.integers(1, len(content)))])
    if number >= len(by_ffmpeg()):
        for place in rng.integers(0, len(changed), int(2 ** rng.uniform(0, 8))):
            changed[place] ^= 1 << int(rng.integers(8))
    return (suffix, content) if number < len(by_ffmpeg()) else (suffix, bytes(changed))


def junk_around(rng: Random, number: int) -> Named:
    """Add tags and chunks that lie about their sizes, before, within or after a sound."""
    suffix, content = pick(rng, common())
    noise, size = rng.bytes(int(rng.integers(0, 5_000))), int(rng.choice([0, 1, 127, 0x7F7F7F7F, 0xFFFFFFFF]))
    tag = b"ID3" + bytes(rng.integers(0, 6, 2, np.uint8)) + rng.bytes(1) + size.to_bytes(4, "big")
    chunk = bytes(rng.choice([b"LIST", b"junk", b"id3 ", b"bext", b"cue ", b"fact"])) + size.to_bytes(4, "little")
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, size & 0x7FFF_FFFF, 1_000_000_000, 0) + bytes(8)
    many = (b"junk" + struct.pack("<I", 4) + b"abcd") * 5_000
    way = number % 7
    if way < 3:
        return suffix, [tag + noise + content, content + ape + noise, content + b"TAG" + noise][way]
    place = 12 if content[:4] in (b"RIFF", b"FORM") else int(rng.integers(0, 64))
    inner = [chunk + noise, many, noise, tag * 50][way - 3]
    return suffix, content[:place] + inner + content[place:]


def wrong_suffix(rng: Random, number: int) -> Named:
    _, content = pick(rng, [*common(), *every_kind()])
    return pick(rng, [*common(), ("mp4", b""), ("dsf", b""), ("mpc", b""), ("voc", b""), ("amr", b"")])[0], content


def joined(rng: Random, number: int) -> Named:
    """Put two or three files of any kinds one after the other."""
    parts = [pick(rng, common()) for _ in range(2 + number % 2)]
    return parts[0][0], b"".join(content for _, content in parts)


class _Touch:
    """What a pickle would do if anything loaded it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.system, ("touch executed",)


def _packed(suffix: str) -> bytes:
    file = io.BytesIO()
    if suffix == "tar":
        with tarfile.open(fileobj=file, mode="w") as archive:
            info = tarfile.TarInfo("../../executed")
            archive.addfile(info, io.BytesIO(b""))
    elif suffix == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("../../executed", b"")
            packed.writestr("bomb.wav", bytes(50_000_000))
    else:
        np.savez(file, samples=np.zeros(100_000))
    return file.getvalue()


@cache
def strangers() -> list[bytes]:
    """Return what is no sound: texts, programs, lists of other files, archives, bombs, pictures, pages."""
    pictures = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"):
        file = io.BytesIO()
        Image.effect_noise((64, 64), 90).convert("RGB").save(file, kind)
        pictures.append(file.getvalue())
    outside = "/etc/hostname"
    texts = [
        "", "\n", "These are the lyrics of a song.\n" * 50, "{}", "[" * 5_000, "#!/bin/sh\ntouch executed\n",
        "import os; os.system('touch executed')\n", "<html><script>alert(1)</script></html>" * 20,
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{outside}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXTINF:1,\nfile://{outside}\n", f"ffconcat version 1.0\nfile {outside}\n",
        f"[playlist]\nFile1={outside}\n", f'FILE "{outside}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n", "RIFF", "fLaC", "OggS",
        "ID3",
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>',
        f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{outside}'/></svg>", "%PDF-1.7\n%%EOF\n" * 40,
        ";FFMETADATA1\ntitle=x\n", "MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + "\x7f" * 400, "[Script Info]\nTitle: x\n" * 30,
    ]  # fmt: skip
    rng = np.random.default_rng(1)
    others = [bytes(4_000), b"\xff" * 4_000, rng.bytes(4_000), rng.bytes(100_000), bytes(range(256)) * 16]
    others += [pickle.dumps(_Touch()), gzip.compress(bytes(30_000_000)), b"\x7fELF" + rng.bytes(2_000)]
    others += [b"MZ" + rng.bytes(2_000), b"SQLite format 3\0" + bytes(2_000), b"7z\xbc\xaf\x27\x1c" + rng.bytes(500)]
    others += [_packed("tar"), _packed("zip"), _packed("npz"), "রবীন্দ্রসঙ্গীত".encode("utf-16") * 50]
    return [text.encode() for text in texts] + pictures + others


def no_sound(rng: Random, number: int) -> Named:
    return pick(rng, common())[0], strangers()[number % len(strangers())]


def silence_without_end(rng: Random, number: int) -> Named:
    """Pack an hour of silence into some kilobytes."""
    minutes, rate, count = ((20, 44_100, 2), (60, 48_000, 1), (5, 192_000, 2))[number % 3]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, count, format="FLAC") as packed:
        for _ in range(minutes):
            packed.write(np.zeros((60 * rate, count), np.int16))
    content = bytearray(file.getvalue())
    if number >= 3:  # and say that it is one sample
        content[21] &= 0xF0
        content[22:26] = (1).to_bytes(4, "big")
    return "flac", bytes(content)


MAKERS: dict[str, tuple[Callable[[Random, int], Named], int]] = {  # by what they make: how, and how many of 2,000
    "each container and subtype that libsndfile writes": (a_whole_one, 152),
    "1 Hz to 768 kHz": (a_rate, 112),
    "1 to 64 channels": (channels, 128),
    "cut short": (cut_short, 250),
    "bits flipped": (flipped, 300),
    "extreme numbers in the header": (wrong_header, 250),
    "lengths of gigabytes, tables of a billion entries": (huge_length, 180),
    "NaN, infinity and other extreme samples": (not_finite, 60),
    "M4A, WMA, Opus, video and others by FFmpeg, also damaged": (foreign, 180),
    "tags and chunks that lie": (junk_around, 110),
    "another kind's suffix": (wrong_suffix, 80),
    "several files joined": (joined, 40),
    "texts, archives, bombs, pictures, pages, programs": (no_sound, 100),
    HOURS: (silence_without_end, 6),
}


def make(folder: Path, share: float = 1.0, seed: int = 0) -> Iterator[tuple[str, Path]]:
    """Write the files; yield each with the name of its kind.

    Args:
        folder: an empty one.
        share: of the 2,000 files, at least one of each kind.
        seed: of their damage.
    """
    for place, (kind, (maker, most)) in enumerate(MAKERS.items()):
        (folder / str(place)).mkdir(parents=True)
        for number in range(max(1, round(share * most))):
            rng = np.random.default_rng([seed, place, number])
            suffix, content = maker(rng, int(number / min(share, 1.0)))
            path = folder / str(place) / f"{number:03}.{suffix}"
            path.write_bytes(content)
            yield kind, path
