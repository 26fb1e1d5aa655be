"""Load a folder of recordings as the log-mel frames of one genre, from a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.data.cache import Plan, Skipped, refuse, require_any, too_short, write_cache
from gst_jax.runs.directory import Statistics
from gst_jax.sound import AudioError
from gst_jax.types import Array, Progress

_CACHE_VERSION = 5  # raise it when the same files would give other frames


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
    plans, bad = [], []
    folders = {Path(audio_dir) / name: _sound_files(Path(audio_dir) / name) for name in names}
    for folder, files in folders.items():
        plan, damaged = _plan(folder, files, audio, data, Path(cache_dir), progress)
        plans.append(plan)
        bad += damaged
    refuse(bad)
    return [_load(plan, audio, data.speed_semitones, progress) for plan in plans]


def _plan(
    folder: Path,
    files: list[Path],
    audio: AudioConfig,
    data: DataConfig,
    cache_dir: Path,
    progress: Progress | None,
) -> tuple[Plan, list[AudioError]]:
    """Return what to do for a genre, and the files that cannot be used by their headers."""
    foreign = sound.find_audio(folder, sound.FOREIGN_SUFFIXES)
    settings = {"version": _CACHE_VERSION, "audio": asdict(audio), "data": asdict(data)}
    state = [[str(path.relative_to(folder)), *_size_and_time(path)] for path in files + foreign]
    place = f"{folder.name}-{_digest([settings, str(folder.resolve())])}"
    index = cache_dir / "mels" / place / f"{_digest(state)}.json"
    if index.exists() and all(index.with_suffix(suffix).exists() for suffix in (".npy", ".fine")):
        return Plan(folder, index), []
    skipped = [(path, f"{path.suffix} cannot be read: export it as WAV, FLAC or MP3") for path in foreign]
    usable, bad = [], []
    shown = progress(files, total=len(files), desc=f"looking at {folder.name}", unit="file") if progress else files
    for path in shown:
        try:
            seconds = sound.duration(path)
        except AudioError as error:
            bad.append(error)
            continue
        if int(np.ceil(seconds * audio.sample_rate)) // audio.hop_length < audio.segment_frames:
            skipped.append((path, too_short(seconds, audio)))
        else:
            usable.append(path)
    if not bad:
        require_any(usable, folder, skipped)
    training, held_out = split_tracks(usable, data.held_out_fraction)
    return Plan(folder, index, tuple(training), tuple(held_out), tuple(skipped)), bad


def _load(plan: Plan, audio: AudioConfig, speeds: int, progress: Progress | None) -> Genre:
    if plan.training:
        write_cache(plan, audio, speeds, progress)
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


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()[:16]
