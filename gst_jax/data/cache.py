"""Decode the files of a genre into its memory-mapped cache, in memory that does not grow with their length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.data.recordings import Recording, open_recording
from gst_jax.data.team import Team
from gst_jax.runs.atomic import replacing, sweep
from gst_jax.sound import AudioError, fine_structure, treble
from gst_jax.sound.levels import Levels
from gst_jax.types import Progress

_AT_A_TIME = 4096  # frames

Skipped = tuple[Path, str]  # a file, and why


class BadFiles(AudioError):
    """Files that cannot be used, in one message."""

    def __init__(self, errors: Sequence[AudioError], paths: Sequence[Path] = ()) -> None:
        """Put the errors, one per file, in one message that says how to train without them."""
        self.errors, self.paths = tuple(errors), tuple(paths)
        lines = [f"{len(errors)} files cannot be used:"] if len(errors) > 1 else []
        remedy = f"to train without {'them' if lines else 'it'}: --set=data.skip_damaged=true"
        super().__init__("\n".join([*lines, *map(str, errors), remedy]))


@dataclass(frozen=True)
class Folders:
    """The folders whose files, together, are a genre."""

    genre: str
    paths: tuple[Path, ...]
    corpus: Path | None = None  # the one of them that is of the built-in corpus; none of its files is held out

    def relative(self, path: Path) -> tuple[int, str]:
        """Return the number of the folder that a file lies in, and its path there."""
        number = next(number for number, folder in enumerate(self.paths) if path.is_relative_to(folder))
        return number, str(path.relative_to(self.paths[number]))


@dataclass(frozen=True)
class Plan:
    """What to decode for a genre that is not in the cache."""

    folders: Folders
    index: Path  # of the cache, written last, so that the cache is whole when it exists
    training: tuple[Path, ...]
    held_out: tuple[Path, ...]
    skipped: tuple[Skipped, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All tracks to decode."""
        return (*self.training, *self.held_out)

    def part(self, path: Path) -> Path:
        """Return where `write_share` keeps what it decoded of a track; `write_cache` removes it in the end."""
        name = hashlib.sha256(repr(self.folders.relative(path)).encode()).hexdigest()[:16]
        return self.index.with_name(f"{self.index.stem}-{name}.npz")

    def without(self, bad: BadFiles) -> Plan:
        """Return a plan that leaves damaged files out."""
        return replace(
            self,
            training=tuple(path for path in self.training if path not in bad.paths),
            held_out=tuple(path for path in self.held_out if path not in bad.paths),
            skipped=(*self.skipped, *zip(bad.paths, map(str, bad.errors), strict=True)),
        )


def write_cache(plan: Plan, audio: AudioConfig, semitones: int, progress: Progress | None) -> None:
    """Write the cache of a genre: the frames (.npy), their fine structure (.fine), an index of both (.json).

    Each file appears whole, by a rename, under a name made of what went in: processes that do this at the same time
    do the work twice, no harm done. The held-out tracks are decoded too, to find the damaged ones now. What
    `write_share` decoded before is taken from there.

    Args:
        plan: what to decode.
        audio: how sound becomes frames.
        semitones: how much higher and lower the copies of training tracks reach; 0 is no copies.
        progress: called like `tqdm.tqdm` on the tracks; None is silent.

    Raises:
        BadFiles: when files are damaged, naming all of them.
        AudioError: when no file can be trained on.
    """
    plan.index.parent.mkdir(parents=True, exist_ok=True)
    sweep(plan.index.parent)
    tracks: list[tuple[Path, int, int, int]] = []
    skipped, held_out = list(plan.skipped), []
    bad: dict[Path, AudioError] = {}
    totals, fit = Levels(audio.n_mels), fine_structure.Fit(audio)
    with _caching(plan.index.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        _write_shape(file, (0, audio.n_mels))
        for path in _shown(plan, plan.paths, progress):
            try:
                taken = _shared(plan.part(path), file, totals, fit)
                reason, copies = taken or _decode(plan, path, audio, semitones, file, totals, fit)
            except AudioError as error:
                bad[path] = error
                continue
            if reason:
                skipped.append((path, reason))
            elif path in plan.held_out:
                held_out.append(path)
            tracks += [(path, *copy) for copy in copies]
        if bad:
            raise BadFiles(list(bad.values()), list(bad))
        require_any(tracks, plan.folders, skipped)
        _write_shape(file, (totals.frames, audio.n_mels))
    _write_index(plan, tracks, held_out, skipped, totals, fit)


def write_share(plan: Plan, audio: AudioConfig, semitones: int, team: Team, progress: Progress | None) -> None:
    """Decode a process's share of the tracks, every `team.count`-th, for `write_cache` of the first to put together.

    What was decoded before is not decoded again. Damaged files are left to `write_cache`, which names all of them.

    Args:
        plan: what to decode, the same in all processes.
        audio: how sound becomes frames.
        semitones: as for `write_cache`.
        team: the processes.
        progress: called like `tqdm.tqdm` on the tracks; None is silent.
    """
    plan.index.parent.mkdir(parents=True, exist_ok=True)
    for path in _shown(plan, plan.paths[team.index :: team.count], progress):
        part, totals, fit = plan.part(path), Levels(audio.n_mels), fine_structure.Fit(audio)
        if part.exists():
            continue
        with suppress(AudioError):
            with replacing(part.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
                _write_shape(file, (0, audio.n_mels))
                reason, copies = _decode(plan, path, audio, semitones, file, totals, fit)
                _write_shape(file, (totals.frames, audio.n_mels))
            with replacing(part) as temporary, temporary.open("wb") as file:
                np.savez(file, reason=reason, copies=np.array(copies, int).reshape(-1, 3), **fit.moments())


def _shown(plan: Plan, paths: Sequence[Path], progress: Progress | None) -> Iterable[Path]:
    return progress(paths, total=len(paths), desc=plan.folders.genre, unit="track") if progress else paths


def _decode(
    plan: Plan,
    path: Path,
    audio: AudioConfig,
    semitones: int,
    file: BinaryIO,
    totals: Levels,
    fit: fine_structure.Fit,
) -> tuple[str, list[tuple[int, int, int]]]:
    """Append the frames of a track and its copies to a file, and count them in; a held-out track is only looked at.

    Returns:
        Why it cannot be used, if so; and the start, the length and the semitones of each copy.
    """
    copies: list[tuple[int, int, int]] = []
    for step in sorted(range(-semitones, semitones + 1), key=abs):  # the recording itself first
        with open_recording(path, audio, step) as recording:
            reason = _unusable(recording)
            if step == 0 and (reason or path in plan.held_out):
                return reason, []
            if reason:
                continue  # a faster copy may be too short
            start = totals.frames
            _write_track(recording, file, totals, fit)
            if step == 0:
                _learn_treble(recording, path, fit)
            copies.append((start, totals.frames - start, step))
    return "", copies


def _shared(
    part: Path, file: BinaryIO, totals: Levels, fit: fine_structure.Fit
) -> tuple[str, list[tuple[int, int, int]]] | None:
    """Append what `write_share` decoded of a track, and return as `_decode`; None where it decoded nothing."""
    first = totals.frames
    try:
        frames = np.load(part.with_suffix(".npy"), mmap_mode="r")
        with part.open("rb") as opened, np.load(opened) as stored:
            told = dict(stored)
    except (FileNotFoundError, EOFError, ValueError, BadZipFile):  # none, or after a power cut damaged
        return None
    for start in range(0, len(frames), _AT_A_TIME):
        block = frames[start : start + _AT_A_TIME]
        file.write(block.data)
        totals.add(block)
    fit.merge(told)
    return str(told["reason"]), [(first + start, *rest) for start, *rest in told["copies"].tolist()]


def _write_track(recording: Recording, file: BinaryIO, totals: Levels, fit: fine_structure.Fit) -> None:
    """Append the frames of a recording to a file; count them in."""
    for log_mel in recording.log_mels():
        if len(log_mel):
            file.write(log_mel.data)
            totals.add(log_mel)
    for block in recording.blocks(fine_structure.BLOCK_SECONDS * recording.audio.sample_rate):
        fit.add(block)


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


def _write_index(
    plan: Plan,
    tracks: Sequence[tuple[Path, int, int, int]],
    held_out: Sequence[Path],
    skipped: Sequence[Skipped],
    totals: Levels,
    fit: fine_structure.Fit,
) -> None:
    """Write fine structure and index; remove what belongs to an earlier state of the folders."""
    relative = plan.folders.relative
    index = {
        "tracks": [(*relative(path), *rest) for path, *rest in tracks],
        "held_out": [relative(path) for path in held_out],
        "skipped": [(*relative(path), reason) for path, reason in skipped],
        "mean": totals.mean.tolist(),
        "deviation": totals.deviation.tolist(),
        "highest": totals.highest.tolist(),
    }
    with _caching(plan.index.with_suffix(".fine")) as temporary, temporary.open("wb") as file:
        np.save(file, fit.solve())
    with _caching(plan.index) as temporary:
        temporary.write_text(json.dumps(index, indent=1), encoding="ascii")
    for path in plan.index.parent.glob("[!.]*"):
        if path.stem != plan.index.stem:
            with suppress(PermissionError):  # Windows does not remove what another process has mapped
                path.unlink(missing_ok=True)


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


def refuse(bad: Sequence[AudioError]) -> None:
    """Raise one error for all files that cannot be used, where there are any.

    Raises:
        BadFiles: naming all of them.
    """
    if bad:
        raise BadFiles(bad)


def require_any(usable: Sequence[object], folders: Folders, skipped: Sequence[Skipped]) -> None:
    """Raise an AudioError when a genre has nothing to train on."""
    if not usable:
        path, reason = skipped[0]
        places = " and ".join(map(str, folders.paths)) + (" has" if len(folders.paths) == 1 else " have")
        raise AudioError(
            f"{places} no track to train on: all {len(skipped)} are skipped, first {path.name}: {reason}; "
            "add longer or other recordings"
        )


def _unusable(recording: Recording) -> str:
    """Return why a recording cannot be trained on, or nothing."""
    audio = recording.audio
    if (frames := recording.length // audio.hop_length) < audio.segment_frames:
        return too_short(frames / audio.frames_per_second, audio)
    loud = any(frames.size and frames.max() > sound.LOG_MEL_FLOOR for frames in recording.log_mels())
    return "" if loud else "it is silent"


def too_short(seconds: float, audio: AudioConfig) -> str:
    """Return why a recording of so many seconds cannot be trained on."""
    needed = audio.segment_frames / audio.frames_per_second
    return f"it is {seconds:.2f} s long, a training segment takes {needed:.2f} s"
