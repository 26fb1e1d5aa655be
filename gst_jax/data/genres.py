"""Load a folder of recordings as the log-mel frames of one genre, from a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.runs.atomic import replacing
from gst_jax.runs.directory import Statistics
from gst_jax.sound import AudioError, fine_structure, loudness
from gst_jax.types import Array, Progress

Skipped = tuple[Path, str]  # a file, and why

_CACHE_VERSION = 5  # raise it when the same files would give other frames
_MIN_DEVIATION = 1.0  # dB: a band that never moves must not have its noise blown up


@dataclass(frozen=True)
class Track:
    """Where one recording, or a copy of it at another speed, lies in the frames of its genre."""

    path: Path
    start: int  # its first frame
    frames: int
    semitones: int = 0  # how much higher, and so faster, it is played than the recording


@dataclass(frozen=True, eq=False)
class Genre:
    """The training frames of one genre, and what became of each of its files."""

    name: str
    log_mel: Array  # float32 [frames of all tracks, M] in dB, memory-mapped, read-only
    tracks: tuple[Track, ...]
    held_out: tuple[Path, ...]  # never trained on
    skipped: tuple[Skipped, ...]
    minutes: float  # of training sound, not counting copies
    statistics: Statistics
    fine_structure: Array  # float32 [M + 1, n_fft // 2 + 1], from `fine_structure.Fit`

    @property
    def recordings(self) -> list[Track]:
        """The tracks, without copies at other speeds."""
        return [track for track in self.tracks if track.semitones == 0]


@dataclass(frozen=True)
class _Plan:
    """What to do for a genre: take the cache when there is one, else decode `training` into it."""

    folder: Path
    index: Path  # written last, so the cache is whole when it exists
    training: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def read_mono(path: Path, audio: AudioConfig, seconds: float | None = None) -> Array:
    """Read a file, or its first seconds, as a model hears it: mono, at its rate and `loudness.REFERENCE`, [N].

    Raises:
        AudioError: as `audio.read_wave`.
    """
    return next(_read_at_speeds(path, audio, [0], seconds))[1]


def _read_at_speeds(
    path: Path, audio: AudioConfig, semitones: Iterable[int], seconds: float | None = None
) -> Iterator[tuple[int, Array]]:
    """Read a file once, as `read_mono`, and yield it at several speeds: semitones higher, samples [N]."""
    decoded = sound.read_wave(path)
    rate = decoded.sample_rate
    waveform = sound.mono(decoded.samples if seconds is None else decoded.samples[: round(seconds * rate)])
    del decoded  # of an hour in stereo, a gigabyte
    for step in semitones:
        # From the recording's own rate, so that a slower copy still reaches up to the highest band.
        copy = sound.resample(waveform, round(rate * 2 ** (step / 12)), audio.sample_rate)
        yield (
            step,
            copy * loudness.gain_to_reference(loudness.gating_blocks(copy, audio.sample_rate), audio.sample_rate),
        )


def split_tracks(files: Sequence[Path], held_out_fraction: float) -> tuple[list[Path], list[Path]]:
    """Divide files into training and held-out ones by a hash of their names.

    Two files or more, with a fraction above 0, leave at least one on either side.

    Returns:
        Training files, held-out files, each in the given order.
    """
    count = 0
    if held_out_fraction > 0 and len(files) > 1:
        count = min(max(round(held_out_fraction * len(files)), 1), len(files) - 1)
    ranked = sorted(files, key=lambda path: (hashlib.sha256(os.fsencode(path.name)).digest(), path))
    held_out = set(ranked[:count])
    return [path for path in files if path not in held_out], [path for path in files if path in held_out]


def load_genre(
    folder: str | os.PathLike[str],
    audio: AudioConfig,
    data: DataConfig,
    cache_dir: str | os.PathLike[str],
    progress: Progress | None = None,
) -> Genre:
    """Load one genre, as `load_genres`, from its folder."""
    folder = Path(folder)
    return load_genres(folder.parent, [folder.name], audio, data, cache_dir, progress)[0]


def load_genres(
    audio_dir: str | os.PathLike[str],
    names: Sequence[str],
    audio: AudioConfig,
    data: DataConfig,
    cache_dir: str | os.PathLike[str],
    progress: Progress | None = None,
) -> list[Genre]:
    """Load several genres; every file's header is checked before the first file is decoded.

    Args:
        audio_dir: holds one folder per genre.
        names: of the genres wanted.
        audio: how to measure frames.
        data: how to divide tracks.
        cache_dir: its `mels` folder keeps the frames; a file added, changed or removed, or another setting,
            has them measured anew.
        progress: called as `tqdm.tqdm` around each genre's tracks; None is silent.

    Raises:
        AudioError: when a folder is missing or holds no usable sound, or a file in it is damaged.
    """
    plans = [_plan(Path(audio_dir) / name, audio, data, Path(cache_dir)) for name in names]
    return [_load(plan, audio, data.speed_semitones, progress) for plan in plans]


def _plan(folder: Path, audio: AudioConfig, data: DataConfig, cache_dir: Path) -> _Plan:
    files = _sound_files(folder)
    foreign = sound.find_audio(folder, sound.FOREIGN_SUFFIXES)
    settings = {"version": _CACHE_VERSION, "audio": asdict(audio), "data": asdict(data)}
    state = [[str(path.relative_to(folder)), *_size_and_time(path)] for path in files + foreign]
    place = f"{folder.name}-{_digest([settings, str(folder.resolve())])}"
    index = cache_dir / "mels" / place / f"{_digest(state)}.json"
    if index.exists() and all(index.with_suffix(suffix).exists() for suffix in (".npy", ".fine")):
        return _Plan(folder, index)
    skipped = [(path, f"{path.suffix} cannot be read: export it as WAV, FLAC or MP3") for path in foreign]
    usable = []
    for path in files:
        seconds = sound.duration(path)
        if int(np.ceil(seconds * audio.sample_rate)) // audio.hop_length < audio.segment_frames:
            skipped.append((path, _too_short(seconds, audio)))
        else:
            usable.append(path)
    _require_any(usable, folder, skipped)
    training, held_out = split_tracks(usable, data.held_out_fraction)
    return _Plan(folder, index, tuple(training), tuple(held_out), tuple(skipped))


def _load(plan: _Plan, audio: AudioConfig, speeds: int, progress: Progress | None) -> Genre:
    if plan.training:
        _write_cache(plan, audio, speeds, progress)
    index = json.loads(plan.index.read_text(encoding="ascii"))
    log_mel = np.load(plan.index.with_suffix(".npy"), mmap_mode="r")
    tracks = tuple(Track(plan.folder / path, *rest) for path, *rest in index["tracks"])
    seconds = sum(track.frames for track in tracks if track.semitones == 0) / audio.frames_per_second
    return Genre(
        name=plan.folder.name,
        log_mel=log_mel,
        tracks=tracks,
        held_out=tuple(plan.folder / path for path in index["held_out"]),
        skipped=tuple((plan.folder / path, reason) for path, reason in index["skipped"]),
        minutes=seconds / 60,
        statistics=Statistics(**{name: tuple(index[name]) for name in ("mean", "deviation", "highest")}),
        fine_structure=np.load(plan.index.with_suffix(".fine")),
    )


def _write_cache(plan: _Plan, audio: AudioConfig, speeds: int, progress: Progress | None) -> None:
    """Decode the training tracks into an .npy file, each with its copies, then describe all: fine structure, index.

    Each appears whole, by a rename, under a name made of what went in: processes that do this at the same
    time do the work twice, no harm done.
    """
    plan.index.parent.mkdir(parents=True, exist_ok=True)
    tracks: list[tuple[Path, int, int, int]] = []
    skipped = list(plan.skipped)
    total, squares = np.zeros(audio.n_mels), np.zeros(audio.n_mels)
    highest = np.full(audio.n_mels, sound.LOG_MEL_FLOOR, np.float32)
    fit = fine_structure.Fit(audio)
    start = 0
    steps = sorted(range(-speeds, speeds + 1), key=abs)  # the recording itself first
    paths = plan.training
    if progress is not None:
        paths = progress(paths, total=len(paths), desc=plan.folder.name, unit="track")
    with _caching(plan.index.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        _write_shape(file, (0, audio.n_mels))
        for path in paths:
            for semitones, waveform in _read_at_speeds(path, audio, steps):
                log_mel = sound.log_mel(waveform, audio)
                if reason := _unusable(log_mel, audio):
                    if semitones == 0:
                        skipped.append((path, reason))
                        break
                    continue  # a faster copy may be too short
                file.write(log_mel.data)
                fit.add(waveform)
                total += log_mel.sum(axis=0, dtype=np.float64)
                squares += np.square(log_mel, dtype=np.float64).sum(axis=0)
                np.maximum(highest, log_mel.max(axis=0), out=highest)
                tracks.append((path, start, len(log_mel), semitones))
                start += len(log_mel)
        _require_any(tracks, plan.folder, skipped)
        _write_shape(file, (start, audio.n_mels))
    mean = total / start
    deviation = np.sqrt(np.maximum(squares / start - mean**2, _MIN_DEVIATION**2))
    index = {
        "tracks": [(_relative(path, plan), *rest) for path, *rest in tracks],
        "held_out": [_relative(path, plan) for path in plan.held_out],
        "skipped": [(_relative(path, plan), reason) for path, reason in skipped],
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "highest": highest.tolist(),
    }
    with _caching(plan.index.with_suffix(".fine")) as temporary, temporary.open("wb") as file:
        np.save(file, fit.solve())
    with _caching(plan.index) as temporary:
        temporary.write_text(json.dumps(index, indent=1), encoding="ascii")
    for path in plan.index.parent.glob("[!.]*"):
        if path.stem != plan.index.stem:  # of an earlier state of the folder
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


def genre_folders(audio_dir: Path) -> list[str]:
    """Name the folders of an audio folder, one per genre.

    Raises:
        AudioError: when there is no such folder.
    """
    if not audio_dir.is_dir():
        raise AudioError(f"there is no folder {audio_dir}; the audio folder must hold one folder per genre")
    return sorted(path.name for path in audio_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def _sound_files(folder: Path) -> list[Path]:
    """List a genre's files, or say which folder is missing or empty."""
    audio_dir = folder.parent
    genres = genre_folders(audio_dir)
    if not folder.is_dir():
        there = f"it holds {', '.join(genres)}" if genres else "it holds no folder at all"
        raise AudioError(f"{audio_dir} has no folder {folder.name!r}; {there}: make it, or name another pair")
    files = sound.find_audio(folder)
    if not files:
        foreign = sound.find_audio(folder, sound.FOREIGN_SUFFIXES)
        what = f"only sound that cannot be read, such as {foreign[0].name}" if foreign else "no sound file"
        raise AudioError(f"{folder} holds {what}; put WAV, FLAC, OGG or MP3 files there")
    return files


def _require_any(usable: Sequence[object], folder: Path, skipped: Sequence[Skipped]) -> None:
    if not usable:
        path, reason = skipped[0]
        raise AudioError(
            f"{folder} has no track to train on: all {len(skipped)} are skipped, first {path.name}: {reason}; "
            "add longer or other recordings"
        )


def _unusable(log_mel: Array, audio: AudioConfig) -> str:
    """Return why frames [T, M] cannot be trained on, or nothing."""
    if len(log_mel) < audio.segment_frames:
        return _too_short(len(log_mel) / audio.frames_per_second, audio)
    return "it is silent" if log_mel.max() <= sound.LOG_MEL_FLOOR else ""


def _too_short(seconds: float, audio: AudioConfig) -> str:
    needed = audio.segment_frames / audio.frames_per_second
    return f"it is {seconds:.2f} s long, a training segment takes {needed:.2f} s"


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _relative(path: Path, plan: _Plan) -> str:
    return str(path.relative_to(plan.folder))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()[:16]
