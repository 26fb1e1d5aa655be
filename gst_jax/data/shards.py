"""Keep the log-mel frames of recordings in shards: files of some recordings each, written whole, mapped to memory."""

from __future__ import annotations

import hashlib
import json
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.data.recordings import Recording, open_recording
from gst_jax.runs.atomic import replacing
from gst_jax.sound import AudioError, fine_structure, treble
from gst_jax.sound.levels import Levels
from gst_jax.types import Array

_CHECKED = 1 << 30  # bytes of a genre's frames whose checksum is looked at before a training

Key = tuple[int, str, int, int]  # the number of a recording's folder, its path there, its size and time of change


class Depth(IntEnum):
    """How far a recording was gone into."""

    HEADER = 0  # no further than its header, or than was needed to skip it
    HEARD = 1  # decoded, to see whether it can be
    FRAMES = 2
    STRUCTURE = 3  # frames, and its fine structure


@dataclass(frozen=True)
class Wanted:
    """A recording, and how far to go into it."""

    path: Path
    key: Key
    seconds: float  # of sound, as its header says
    depth: Depth
    damaged: str = ""  # why its header cannot be used


@dataclass(frozen=True)
class Copy:
    """The frames of a recording at one speed."""

    start: int  # in its shard
    frames: int
    semitones: int  # how much higher, and so faster, it is played than the recording
    row: int  # of its levels in the shard


@dataclass(frozen=True)
class Found:
    """What a shard says of a recording."""

    shard: Path  # without its suffix
    place: int  # in the shard
    seconds: float
    depth: Depth
    unusable: str  # why it cannot be trained on, or nothing
    damaged: str  # why it cannot be read, or nothing
    copies: tuple[Copy, ...]


def name_of(recordings: Sequence[Wanted]) -> str:
    """Name the shard of some recordings by what goes in."""
    text = json.dumps([(*recording.key, recording.depth) for recording in recordings])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def write_shard(shard: Path, recordings: Iterable[Wanted], audio: AudioConfig, semitones: int) -> None:
    """Decode recordings into a shard: frames (.npy), then what else was found (.npz), each whole, by a rename.

    Processes that do this at the same time do the work twice, no harm done. What is wrong with a recording is a part
    of what was found.

    Args:
        shard: its path, without a suffix.
        recordings: at least one.
        audio: how sound becomes frames.
        semitones: how much higher and lower the copies of a recording reach; 0 is no copies.
    """
    told: list[dict[str, Any]] = []
    rows: list[Array] = []
    moments: dict[str, Array] = {}
    with _caching(shard.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        _write_shape(file, (0, audio.n_mels))
        first = 0
        for place, recording in enumerate(recordings):
            taken = _Taken(audio, first)
            damaged = recording.damaged
            if not damaged and recording.depth > Depth.HEADER:
                end = file.tell()
                try:
                    taken.decode(recording, semitones, file)
                except AudioError as error:
                    damaged, taken = str(error), _Taken(audio, first)
                    file.seek(end)
                    file.truncate()
            told.append(
                {
                    "key": recording.key,
                    "seconds": recording.seconds,
                    "depth": Depth.STRUCTURE if taken.unusable else recording.depth,  # there is no more to find out
                    "damaged": damaged,
                    "unusable": taken.unusable,
                    "copies": taken.copies,
                }
            )
            rows += taken.rows
            moments |= {f"{place}/{name}": value for name, value in taken.moments.items()}
            first = taken.end
        _write_shape(file, (first, audio.n_mels))
        file.flush()
        checksum = checksum_of(temporary)
    write_found(shard, told, rows, moments, checksum)


def write_found(
    shard: Path,
    told: Sequence[Mapping[str, Any]],
    levels: Sequence[Array],
    moments: Mapping[str, Array],
    checksum: int,
) -> None:
    """Write what was found of the recordings in a shard, which makes it whole.

    Args:
        shard: its path, without a suffix.
        told: of each recording, what `read_shards` returns.
        levels: of each copy, in order: `Levels.packed` with and without pauses, [2, 3 M + 1].
        moments: of the fine structure of recordings, under "PLACE/NAME".
        checksum: CRC-32 of the file of frames.
    """
    arrays: dict[str, Any] = dict(moments) | {"checksum": np.uint32(checksum)}
    arrays["told"] = np.frombuffer(json.dumps(list(told)).encode("ascii"), np.uint8)
    arrays["levels"] = np.stack(levels) if len(levels) else np.zeros((0, 2, 0))
    with _caching(shard.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


@dataclass
class _Taken:
    """What was taken from a recording so far."""

    audio: AudioConfig
    end: int  # of its frames in the shard
    unusable: str = ""
    copies: list[tuple[int, int, int]] = field(default_factory=list)  # start, frames, semitones
    rows: list[Array] = field(default_factory=list)  # for each copy: levels with and without pauses, [2, 3 M + 1]
    moments: dict[str, Array] = field(default_factory=dict)  # of its fine structure

    def decode(self, wanted: Wanted, semitones: int, file: BinaryIO) -> None:
        """Append the frames of a recording and its copies to a file; one to be heard is only looked at."""
        fit = fine_structure.Fit(self.audio) if wanted.depth == Depth.STRUCTURE else None
        for step in sorted(range(-semitones, semitones + 1), key=abs):  # the recording itself first
            with open_recording(wanted.path, self.audio, step) as recording:
                unusable = _unusable(recording)
                if step == 0 and (unusable or wanted.depth == Depth.HEARD):
                    self.unusable = unusable
                    break
                if unusable:
                    continue  # a faster copy may be too short
                self._write(recording, step, file)
                if fit is not None:
                    for block in recording.blocks(fine_structure.BLOCK_SECONDS * self.audio.sample_rate):
                        fit.add(block)
                    if step == 0:
                        _learn_treble(recording, wanted.path, fit)
        if fit is not None and self.copies:
            self.moments = fit.moments()
        if not wanted.path.exists() or size_and_time(wanted.path) != wanted.key[2:]:
            raise AudioError(f"{wanted.path} changed while it was read; run the command again when it is complete")

    def _write(self, recording: Recording, step: int, file: BinaryIO) -> None:
        whole, sounding = Levels(self.audio.n_mels), Levels(self.audio.n_mels)
        for log_mel in recording.log_mels():
            if len(log_mel):
                file.write(log_mel.data)
                whole.add(log_mel)
                sounding.add(log_mel, pauses=False)
        self.copies.append((self.end, whole.frames, step))
        self.rows.append(np.stack([whole.packed(), sounding.packed()]))
        self.end += whole.frames


def read_shards(folder: Path) -> dict[Key, Found]:
    """Return what the shards of a folder say of each recording: of several that know one, the one that says most."""
    known: dict[Key, Found] = {}
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with path.open("rb") as opened, np.load(opened) as stored:
                told = json.loads(stored["told"].tobytes())
            np.load(path.with_suffix(".npy"), mmap_mode="r")
        except (FileNotFoundError, EOFError, ValueError, KeyError, BadZipFile):  # after a power cut
            continue
        row = 0
        for place, recording in enumerate(told):
            number, name, size, time = recording["key"]
            copies = tuple(
                Copy(start, frames, higher, row + index)
                for index, (start, frames, higher) in enumerate(recording["copies"])
            )
            row += len(copies)
            depth, damaged = Depth(recording["depth"]), recording["damaged"]
            found = Found(
                path.with_suffix(""), place, recording["seconds"], depth, recording["unusable"], damaged, copies
            )
            before = known.get((number, name, size, time))
            if before is None or (not before.damaged, before.depth) < (not damaged, depth):
                known[number, name, size, time] = found
    return known


def forget_damaged(folder: Path) -> None:
    """Remove the shards of a folder that are not what was written, so that they are decoded anew.

    Frames beyond the first gigabyte are taken as they are: to read them all would take longer than to begin training.
    """
    left = _CHECKED
    for path in sorted(folder.glob("[!.]*.npz")):
        frames = path.with_suffix(".npy")
        try:
            left -= frames.stat().st_size
            with ZipFile(path) as parts, np.load(path) as stored:
                if parts.testzip() is None and (left < 0 or int(stored["checksum"]) == checksum_of(frames)):
                    continue
        except (OSError, ValueError, KeyError, BadZipFile):
            pass
        path.unlink(missing_ok=True)


def read_levels(shard: Path) -> Array:
    """Return the levels of the copies in a shard, `Levels.packed` with and without pauses: [n, 2, 3 M + 1]."""
    with shard.with_suffix(".npz").open("rb") as opened, np.load(opened) as stored:
        return np.asarray(stored["levels"])


def read_structure(found: Found, into: fine_structure.Fit) -> None:
    """Count in what a shard says of the fine structure of a recording."""
    with found.shard.with_suffix(".npz").open("rb") as opened, np.load(opened) as stored:
        prefix = f"{found.place}/"
        moments = {name.removeprefix(prefix): stored[name] for name in stored.files if name.startswith(prefix)}
    if moments:
        into.merge(moments)


def size_and_time(path: Path) -> tuple[int, int]:
    """Return what shows that a file was changed."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def too_short(seconds: float, audio: AudioConfig) -> str:
    """Return why a recording of so many seconds cannot be trained on."""
    needed = audio.segment_frames / audio.frames_per_second
    return f"it is {seconds:.2f} s long, a training segment takes {needed:.2f} s"


def checksum_of(path: Path) -> int:
    """Return the CRC-32 of a file."""
    total = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total = zlib.crc32(block, total)
    return total


def _unusable(recording: Recording) -> str:
    """Return why a recording cannot be trained on, or nothing."""
    audio = recording.audio
    if (frames := recording.length // audio.hop_length) < audio.segment_frames:
        return too_short(frames / audio.frames_per_second, audio)
    loud = any(frames.size and frames.max() > sound.LOG_MEL_FLOOR for frames in recording.log_mels())
    return "" if loud else "it is silent"


def _learn_treble(recording: Recording, path: Path, fit: fine_structure.Fit) -> None:
    """Read the file of a recording again, at a rate that holds what sounds above the mel bands, if it has one."""
    audio = treble.wide(recording.audio)
    if sound.read_header(path).sample_rate < audio.sample_rate:
        return
    with open_recording(path, audio) as opened:
        wide = replace(opened, gain=recording.gain)
        blocks = (part.blocks(fine_structure.BLOCK_SECONDS * part.audio.sample_rate) for part in (recording, wide))
        for pair in zip(*blocks, strict=False):  # the wider may begin another block with its last sample
            fit.add_treble(*pair)


def _write_shape(file: BinaryIO, shape: tuple[int, int]) -> None:
    """Write the .npy header at the start of a file; NumPy pads it so that the first axis can grow in place."""
    file.seek(0)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _caching(target: Path) -> Iterator[Path]:
    """Replace a file of the cache, unless another process uses it already: its name says what it holds."""
    try:
        with replacing(target) as temporary:
            yield temporary
    except PermissionError:  # Windows does not replace a file that is mapped to memory
        if not target.exists():
            raise


def decoded(shard: Path, recordings: Sequence[Wanted], audio: AudioConfig, semitones: int) -> list[str]:
    """Do `write_shard` in a process of its own; return what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", sound.AudioWarning)
        write_shard(shard, recordings, audio, semitones)
    return [str(warning.message) for warning in caught]
