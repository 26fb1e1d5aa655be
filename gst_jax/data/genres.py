"""Load folders of recordings as the log-mel frames of one genre, from a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.data.cache import BadFiles, Plan, Skipped, fill, lacking, require_any, tidy
from gst_jax.data.folders import Folders, folders_of, refuse_shared
from gst_jax.data.frames import Frames
from gst_jax.data.shards import (
    Depth,
    Found,
    Key,
    Wanted,
    forget_damaged,
    read_levels,
    read_shards,
    read_structure,
    too_short,
)
from gst_jax.data.team import ALONE, Team
from gst_jax.runs.directory import Statistics
from gst_jax.sound import AudioError, fine_structure
from gst_jax.sound.levels import Levels
from gst_jax.types import Array, Progress

_CACHE_VERSION = 7  # raise it when the same files would give other frames
_FITTED = 128  # recordings of a genre, at most, whose fine structure is learned: enough, whatever its length


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
    log_mel: Frames | Array  # float32 [frames of all tracks, M] in dB, of which slices are read; memory-mapped
    tracks: tuple[Track, ...]
    held_out: tuple[Path, ...]  # never trained on
    skipped: tuple[Skipped, ...]
    minutes: float  # of sound to train on, not counting copies
    statistics: Statistics
    fine_structure: Array  # float32 [M + 1, F], from `fine_structure.Fit`
    levels: Array  # of each track without its pauses, `Levels.packed`, float64 [tracks, 3 M + 1]

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
    held_out = set(drawn(files, count))
    return [path for path in files if path not in held_out], [path for path in files if path in held_out]


def drawn(files: Sequence[Path], count: int) -> list[Path]:
    """Draw files by a hash of their names: the same ones each time, and mostly so when there are a few more."""
    return sorted(files, key=lambda path: (hashlib.sha256(os.fsencode(path.name)).digest(), path))[:count]


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
        cache_dir: its `mels` folder keeps the frames. Those of a file that is new or changed are computed, and all
            for another `audio`.
        progress: called like `tqdm.tqdm` on each genre's files; None is silent.
        corpus_dir: one more such folder, of which no file is held out: the built-in corpus's; None is no more.
        team: the processes that call this, each of which decodes a share of the tracks into the cache.

    Raises:
        AudioError: when a genre is in no folder, or its folder holds no usable sound or is given twice; when a file
            in it cannot be read, or changes while it is read.
    """
    everything = [folders_of(name, audio_dirs, corpus_dir) for name in names]
    refuse_shared(everything)
    plans: list[Plan] = []
    bad: list[AudioError] = []
    for folders in everything:
        if team.count == 1:  # several would not all miss what one removes
            forget_damaged(place_of(folders, audio, data, Path(cache_dir)))
        plan, damaged = _plan(folders, audio, data, Path(cache_dir), progress)
        plans.append(plan)
        bad += damaged
    if bad:
        raise BadFiles(bad)
    for plan in plans:
        _fill(plan, team, progress)
    team.wait("all tracks are decoded")
    if team.index > 0:  # the first says what is wrong
        team.wait("the cache is whole")
    genres = []
    for plan in plans:
        if team.count > 1:
            team.see(plan.place, plan.is_whole, "name one by GST_JAX_CACHE")
        try:
            genres.append(_assemble(plan))
        except BadFiles as error:
            bad += error.errors
    if bad:
        raise BadFiles(bad)
    if team.index == 0:
        team.wait("the cache is whole")
    return genres


def place_of(folders: Folders, audio: AudioConfig, data: DataConfig, cache_dir: Path) -> Path:
    """Return the folder of a genre's shards: other settings have another."""
    settings = [_CACHE_VERSION, asdict(audio), data.speed_semitones, [str(path.resolve()) for path in folders.paths]]
    digest = hashlib.sha256(json.dumps(settings).encode("ascii")).hexdigest()[:16]
    return cache_dir / "mels" / f"{folders.genre}-{digest}"


def _plan(
    folders: Folders, audio: AudioConfig, data: DataConfig, cache_dir: Path, progress: Progress | None
) -> tuple[Plan, list[AudioError]]:
    """Look at the headers of a genre's new files; return what the genre takes, and an error for each damaged file."""
    place = place_of(folders, audio, data, cache_dir)
    known = read_shards(place)
    if not data.skip_damaged:  # what could not be read is tried again
        known = {key: found for key, found in known.items() if not found.damaged}
    keys = {path: folders.key(path) for path in folders.sound_files()}
    foreign = {path: folders.key(path) for path in folders.foreign_files()}
    seconds, damaged = _look(folders, keys, known, progress)

    least = audio.segment_frames
    short = {path for path in keys if int(np.ceil(seconds[path] * audio.sample_rate)) // audio.hop_length < least}
    usable = [path for path in keys if path not in short and path not in damaged]
    others = [path for path in keys if path in short or path in damaged]
    skipped = [(path, f"{path.suffix} cannot be read: export it as WAV, FLAC or MP3") for path in foreign]
    skipped += [(path, str(damaged.get(path) or too_short(seconds[path], audio))) for path in others]
    bad = [] if data.skip_damaged else list(damaged.values())
    if not bad:
        require_any(usable, folders, skipped)
    is_lent = {path: folders.corpus is not None and path.is_relative_to(folders.corpus) for path in usable}
    lent = [path for path in usable if is_lent[path]]
    own, held_out = split_tracks([path for path in usable if not is_lent[path]], data.held_out_fraction)
    fitted = set(drawn([*own, *lent], _FITTED))
    depths = {path: Depth.STRUCTURE if path in fitted else Depth.FRAMES for path in (*own, *lent)}
    depths |= dict.fromkeys(held_out, Depth.HEARD) | dict.fromkeys(others, Depth.HEADER)
    wanted = {
        path: Wanted(path, keys[path], seconds[path], depth, str(damaged.get(path, "")))
        for path, depth in depths.items()
    }
    plan = Plan(
        folders=folders,
        place=place,
        audio=audio,
        semitones=data.speed_semitones,
        skips_damaged=data.skip_damaged,
        files=frozenset([*keys.values(), *foreign.values()]),
        training=tuple(wanted[path] for path in (*own, *lent)),
        held_out=tuple(wanted[path] for path in held_out),
        others=tuple(wanted[path] for path in others),
        skipped=tuple(skipped),
        new=frozenset(one.key for one in lacking(list(wanted.values()), known)),
    )
    return plan, bad


def _look(
    folders: Folders, keys: Mapping[Path, Key], known: Mapping[Key, Found], progress: Progress | None
) -> tuple[dict[Path, float], dict[Path, AudioError]]:
    """Return the seconds that each file's header promises, 0 of a damaged one, and what is wrong with those."""
    seconds = {path: known[key].seconds for path, key in keys.items() if key in known}
    headers = {path: known[key] for path, key in keys.items() if key in known and known[key].depth == Depth.HEADER}
    damaged = {path: AudioError(found.damaged) for path, found in headers.items() if found.damaged}
    new = [path for path in keys if path not in seconds]
    named = {"total": len(new), "desc": f"looking at {folders.genre}", "unit": "file"}
    for path in progress(new, **named) if progress and new else new:
        try:
            seconds[path] = sound.duration(path)
        except AudioError as error:
            seconds[path], damaged[path] = 0.0, error
    return seconds, damaged


def _fill(plan: Plan, team: Team, progress: Progress | None) -> None:
    """Decode what a genre lacks; refuse folders that changed meanwhile."""
    fill(plan, team, progress)
    if plan.new and plan.folders.keys() != plan.files:
        places = " or ".join(map(str, plan.folders.paths))
        raise AudioError(f"{places} changed while it was read; run the command again when it is complete")


def _assemble(plan: Plan) -> Genre:
    """Return a genre from its shards, all of which are there.

    Raises:
        BadFiles: when files are damaged, naming all of them.
        AudioError: when no file can be trained on.
    """
    known = plan.known()
    if lacking(plan.wanted, known):
        raise OSError(f"{plan.place} was emptied by another process; run the command again")
    bad = [AudioError(known[one.key].damaged) for one in plan.wanted if known[one.key].damaged]
    if bad and not plan.skips_damaged:
        raise BadFiles(bad)
    skipped = list(plan.skipped)
    for one in (*plan.training, *plan.held_out):
        if reason := known[one.key].damaged or known[one.key].unusable:
            skipped.append((one.path, reason))
    unused = {path for path, _ in skipped}
    totals, fit = Levels(plan.audio.n_mels), fine_structure.Fit(plan.audio)
    levels_of = lru_cache(maxsize=64)(read_levels)
    tracks: list[Track] = []
    pieces: list[tuple[Path, int, int]] = []
    levels: list[Array] = []
    for one in plan.training:
        found = known[one.key]
        for copy in found.copies:
            tracks.append(Track(one.path, totals.frames, copy.frames, copy.semitones))
            pieces.append((found.shard, copy.start, copy.frames))
            whole, sounding = levels_of(found.shard)[copy.row]
            totals.merge(Levels.unpacked(whole))
            levels.append(sounding)
        if one.depth == Depth.STRUCTURE:
            read_structure(found, fit)
    require_any(tracks, plan.folders, skipped)
    seconds = sum(track.frames for track in tracks if track.semitones == 0) / plan.audio.frames_per_second
    tidy(plan, known)
    return Genre(
        name=plan.folders.genre,
        log_mel=Frames(pieces, plan.audio.n_mels),
        tracks=tuple(tracks),
        held_out=tuple(one.path for one in plan.held_out if one.path not in unused),
        skipped=tuple(skipped),
        minutes=seconds / 60,
        statistics=Statistics(
            mean=tuple(totals.mean.tolist()),
            deviation=tuple(totals.deviation.tolist()),
            highest=tuple(totals.highest.tolist()),
        ),
        fine_structure=fit.solve(),
        levels=np.stack(levels),
    )
