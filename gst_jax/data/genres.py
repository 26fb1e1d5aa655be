"""Load folders of recordings as the log-mel frames of one genre, from a memory-mapped cache."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.data.cache import (
    BadFiles,
    Folders,
    Plan,
    Skipped,
    refuse,
    require_any,
    too_short,
    write_cache,
    write_share,
)
from gst_jax.data.team import ALONE, Team
from gst_jax.runs.directory import Statistics
from gst_jax.sound import AudioError
from gst_jax.types import Array, Progress

_CACHE_VERSION = 6  # raise it when the same files would give other frames


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
    minutes: float  # of sound to train on, not counting copies
    statistics: Statistics
    fine_structure: Array  # float32 [M + 1, F], from `fine_structure.Fit`

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
    return load_genres([folder.parent], [folder.name], audio, data, cache_dir, progress)[0]


def load_genres(
    audio_dirs: Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    audio: AudioConfig,
    data: DataConfig,
    cache_dir: str | os.PathLike[str],
    progress: Progress | None = None,
    corpus_dir: str | os.PathLike[str] | None = None,
    team: Team = ALONE,
) -> list[Genre]:
    """Load several genres; every file's header is checked before the first file is decoded.

    One error names all files with a bad header. When there is none, one error names all files, of all the genres,
    whose sound turns out to be damaged.

    Args:
        audio_dirs: each holds one folder per genre; a genre is all that its folders hold.
        names: of the genres wanted.
        audio: how sound becomes frames.
        data: how tracks are divided, and at which speeds they train.
        cache_dir: its `mels` folder keeps the frames. When a file is added, changed or removed, or a setting is
            another, they are computed anew.
        progress: called like `tqdm.tqdm` on each genre's files; None is silent.
        corpus_dir: one more such folder, of which no file is held out: the built-in corpus's; None is no more.
        team: the processes that call this, each of which decodes a share of the tracks into the cache.

    Raises:
        AudioError: when a genre is in no folder, or its folder holds no usable sound or is given twice; when a file
            in it cannot be read, or changes while it is read.
    """
    found = _found(audio_dirs, names, audio, data, cache_dir, progress, corpus_dir)
    plans = [part for part in found if isinstance(part, Plan)]
    if team.count > 1:
        for plan in plans:
            write_share(plan, audio, data.speed_semitones, team, progress)
        team.wait("all tracks are decoded")
    if team.index > 0:
        team.wait("the cache is whole")
        for plan in plans:
            team.require(plan.index, "name one by GST_JAX_CACHE")
        return load_genres(audio_dirs, names, audio, data, cache_dir, progress, corpus_dir)
    genres: list[Genre] = []
    bad: list[AudioError] = []
    for part in found:
        try:
            genres.append(part if isinstance(part, Genre) else _compute(part, audio, data, progress))
        except BadFiles as error:
            bad += error.errors
    refuse(bad)
    team.wait("the cache is whole")
    return genres


def _found(
    audio_dirs: Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    audio: AudioConfig,
    data: DataConfig,
    cache_dir: str | os.PathLike[str],
    progress: Progress | None,
    corpus_dir: str | os.PathLike[str] | None,
) -> list[Genre | Plan]:
    """Return each genre from the cache or, once all their headers are good, what to decode for it."""
    everything = [_folders(name, audio_dirs, corpus_dir) for name in names]
    indices = [_index(folders, audio, data, Path(cache_dir)) for folders in everything]
    _refuse_shared(everything)
    found: list[Genre | Plan] = []
    bad: list[AudioError] = []
    for folders, index in zip(everything, indices, strict=True):
        if genre := _cached(folders, index, audio):
            found.append(genre)
        else:
            plan, damaged = _plan(folders, index, audio, data, progress)
            found.append(plan)
            bad += damaged
    refuse(bad)
    return found


def _folders(
    name: str, audio_dirs: Sequence[str | os.PathLike[str]], corpus_dir: str | os.PathLike[str] | None
) -> Folders:
    """Return the folders of a genre, or say that there is none."""
    places = [Path(place) for place in (*audio_dirs, corpus_dir) if place is not None]
    paths = find_folders(name, places)
    if not paths:
        raise missing(name, {str(place): genre_folders(place) for place in places})
    corpus = next((path for path in paths if corpus_dir is not None and path.parent == Path(corpus_dir)), None)
    return Folders(name, tuple(paths), corpus)


def _refuse_shared(everything: Sequence[Folders]) -> None:
    """Raise an AudioError when a file would be taken twice."""
    for one, other in itertools.combinations([path for folders in everything for path in folders.paths], 2):
        if one.samefile(other):
            raise AudioError(f"{one} and {other} are one and the same folder; give each genre recordings of its own")
    for folders in everything:
        for one, other in itertools.permutations(folders.paths, 2):
            if one.resolve().is_relative_to(other.resolve()):
                raise AudioError(f"{one} lies in {other}, so that its files would train twice; leave one of them out")


def _index(folders: Folders, audio: AudioConfig, data: DataConfig, cache_dir: Path) -> Path:
    """Return the path of a genre's index in the cache: another folder, setting or file has another path."""
    settings = [_CACHE_VERSION, asdict(audio), data.held_out_fraction, data.speed_semitones]
    settings += ["skip_damaged"] if data.skip_damaged else []
    places = [[str(path.resolve()), path == folders.corpus] for path in folders.paths]
    return cache_dir / "mels" / f"{folders.genre}-{_digest([settings, places])}" / f"{_state(folders)}.json"


def _state(folders: Folders) -> str:
    """Return a digest of the files in a genre's folders: names, sizes and times of change."""
    files = _sound_files(folders) + _foreign_files(folders)
    return _digest([[*folders.relative(path), *_size_and_time(path)] for path in files])


def _cached(folders: Folders, index: Path, audio: AudioConfig) -> Genre | None:
    """Return a genre from the cache, or None where that is missing or, after a power cut, damaged."""
    try:
        stored = json.loads(index.read_text(encoding="ascii"))
        log_mel = np.load(index.with_suffix(".npy"), mmap_mode="r")
        structure = np.load(index.with_suffix(".fine"))
    except (FileNotFoundError, EOFError, ValueError):
        return None
    paths = folders.paths
    tracks = tuple(Track(paths[number] / path, *rest) for number, path, *rest in stored["tracks"])
    seconds = sum(track.frames for track in tracks if track.semitones == 0) / audio.frames_per_second
    return Genre(
        name=folders.genre,
        log_mel=log_mel,
        tracks=tracks,
        held_out=tuple(paths[number] / path for number, path in stored["held_out"]),
        skipped=tuple((paths[number] / path, reason) for number, path, reason in stored["skipped"]),
        minutes=seconds / 60,
        statistics=Statistics(**{name: tuple(stored[name]) for name in ("mean", "deviation", "highest")}),
        fine_structure=structure,
    )


def _plan(
    folders: Folders, index: Path, audio: AudioConfig, data: DataConfig, progress: Progress | None
) -> tuple[Plan, list[AudioError]]:
    """Look at the headers of a genre's files; return what to decode, and an error for each damaged file."""
    unreadable = "cannot be read: export it as WAV, FLAC or MP3"
    skipped = [(path, f"{path.suffix} {unreadable}") for path in _foreign_files(folders)]
    usable, bad = [], []
    files = _sound_files(folders)
    shown = progress(files, total=len(files), desc=f"looking at {folders.genre}", unit="file") if progress else files
    for path in shown:
        try:
            seconds = sound.duration(path)
        except AudioError as error:
            if data.skip_damaged:
                skipped.append((path, str(error)))
            else:
                bad.append(error)
            continue
        if int(np.ceil(seconds * audio.sample_rate)) // audio.hop_length < audio.segment_frames:
            skipped.append((path, too_short(seconds, audio)))
        else:
            usable.append(path)
    if not bad:
        require_any(usable, folders, skipped)
    lent = [path for path in usable if folders.corpus is not None and path.is_relative_to(folders.corpus)]
    own = [path for path in usable if path not in lent]
    training, held_out = split_tracks(own, data.held_out_fraction)
    return Plan(folders, index, (*training, *lent), tuple(held_out), tuple(skipped)), bad


def _compute(plan: Plan, audio: AudioConfig, data: DataConfig, progress: Progress | None) -> Genre:
    """Decode a genre into the cache, then load it from there."""
    try:
        write_cache(plan, audio, data.speed_semitones, progress)
    except BadFiles as error:
        if not data.skip_damaged:
            raise
        write_cache(plan.without(error), audio, data.speed_semitones, progress)
    if _state(plan.folders) != plan.index.stem:
        plan.index.unlink(missing_ok=True)
        places = " or ".join(map(str, plan.folders.paths))
        raise AudioError(f"{places} changed while it was read; run the command again when it is complete")
    genre = _cached(plan.folders, plan.index, audio)
    if genre is None:
        raise OSError(f"{plan.index.parent} was emptied by another process; run the command again")
    return genre


def genre_folders(audio_dir: Path) -> list[str]:
    """Name the folders of an audio folder, one per genre.

    Raises:
        AudioError: when there is no such folder.
    """
    if not audio_dir.is_dir():
        raise AudioError(f"there is no folder {audio_dir}; the audio folder must hold one folder per genre")
    return sorted(path.name for path in audio_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def find_folders(genre: str, audio_dirs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the folders of a genre in the audio folders that hold it, in their order.

    Raises:
        AudioError: when there is no such audio folder.
    """
    found = []
    for audio_dir in map(Path, audio_dirs):
        alike = [name for name in genre_folders(audio_dir) if composed(name) == composed(genre)]
        found += [audio_dir / name for name in ([genre] if (audio_dir / genre).is_dir() else alike[:1])]
    return found


def missing(genre: str, held: Mapping[str, Sequence[str]]) -> AudioError:
    """Return what to say of a genre that no audio folder holds: `held` are the genres of each."""
    there = listed({name for names in held.values() for name in names}) or "no folder at all"
    has, holds, make = ("has", "it holds", "make it") if len(held) == 1 else ("have", "they hold", "make it in one")
    return AudioError(
        f"{' and '.join(held)} {has} no folder {genre!r}; {holds} {there}: {make}, or name another pair"
    )


def listed(names: Collection[str]) -> str:
    """Join names in order; of many, as a home folder holds, the first will do."""
    return ", ".join(sorted(names)[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def composed(text: str) -> str:
    """Return the one encoding of a text, where accented and Bangla letters have two."""
    return unicodedata.normalize("NFC", text)


def _sound_files(folders: Folders) -> list[Path]:
    """List a genre's files, or say which of its folders is empty."""
    found = []
    for folder in folders.paths:
        files = sound.find_audio(folder)
        if not files:
            foreign = sound.find_audio(folder, sound.FOREIGN_SUFFIXES)
            what = f"only sound that cannot be read, such as {foreign[0].name}" if foreign else "no sound file"
            raise AudioError(f"{folder} holds {what}; put WAV, FLAC, OGG or MP3 files there")
        found += files
    return found


def _foreign_files(folders: Folders) -> list[Path]:
    return [path for folder in folders.paths for path in sound.find_audio(folder, sound.FOREIGN_SUFFIXES)]


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()[:16]
