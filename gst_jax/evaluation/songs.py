"""Gather what a run is evaluated on: songs that it did not train on, and real music of both genres."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gst_jax import corpus, data, sound
from gst_jax.config import AudioConfig, ConfigError, DataConfig
from gst_jax.corpus import library
from gst_jax.evaluation.progress import shown
from gst_jax.runs import directory
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError
from gst_jax.types import Array, Progress

SPLITS = ("validation", "test")
PAIRED = ("rearranged", "reorchestrated")
_REFERENCE_FILES = 8  # per genre
_SECONDS = 60.0  # read of one track at most
_TRAINING_SECONDS = 600.0  # read of all training tracks of a genre, but at least ten of each


@dataclass(frozen=True)
class Song:
    """A track to convert and, where they exist, perfect conversions of it."""

    name: str
    source: Array  # [N] at the run's sample rate and level
    truths: dict[str, Array]  # by the names in PAIRED, [N] each; none for the user's own songs


@dataclass(frozen=True)
class Material:
    """Everything needed to evaluate one run.

    No song and no reference track was trained on. A run on the user's audio has few tracks held out: there, the songs
    of a genre are also its reference tracks.
    """

    songs: dict[tuple[str, str], list[Song]]  # by (source, target)
    training: dict[str, list[Array]]  # by genre: tracks to fit the embedding to, [N] each
    reference: dict[str, list[Array]]  # by genre: real music to compare conversions to, [N] each


def gather(
    run: RunDirectory,
    split: str,
    progress: Progress | None = None,
    audio_dir: str | os.PathLike[str] | None = None,
) -> Material:
    """Read the songs of a run, or others.

    Args:
        run: on the built-in corpus alone, whose tunes are paired, or on the user's own tracks too.
        split: of the built-in corpus, one of SPLITS; the held-out tracks of the user are one set.
        progress: as `tqdm.tqdm`.
        audio_dir: holds a folder of other recordings for each genre, to convert and to compare to instead.

    Raises:
        ConfigError: when there is no such split, or no track was held out.
        AudioError: when `audio_dir` has no sound for a genre.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    audio = run.config.audio
    directions = (run.pair, run.pair[::-1])
    unseen: dict[str, Sequence[Path]] = {}
    if audio_dir is not None:
        unseen = {genre: _recordings(Path(audio_dir, genre)) for genre in run.pair}
    if not on_corpus(run):
        genres = data.load_run(run, progress)
        unseen = unseen or {genre.name: _unseen(genre, run) for genre in genres}
    else:  # one embedding for all runs, whatever data.corpus_tracks says
        usual = data.settings_for((), dataclasses.replace(run.config, data=DataConfig()))
        genres = data.load_pair(run.pair, (), usual, progress)
    training = {genre.name: _training(genre, audio, progress) for genre in genres}
    if unseen:
        read = {name: _read(name, tracks, audio, progress) for name, tracks in unseen.items()}
        songs = {(source, target): read[source] for source, target in directions}
        return Material(songs, training, {name: [song.source for song in part] for name, part in read.items()})
    return Material(
        songs={direction: _paired(split, *direction, audio, progress) for direction in directions},
        training=training,
        reference={genre: _reference(genre, audio, progress) for genre in run.pair},
    )


def on_corpus(run: RunDirectory) -> bool:
    """Tell whether a run is measured on tunes of the built-in corpus: where it holds out nothing else."""
    learned = not run.audio_dirs or data.CORPUS in run.audio_dirs and not run.config.data.held_out_fraction
    return learned and set(run.pair) <= set(corpus.GENRES)


def _unseen(genre: data.Genre, run: RunDirectory) -> Sequence[Path]:
    paths = data.unseen_tracks(genre, run)
    if not paths:
        raise ConfigError(
            f"no track of {genre.name} was held out of training, so nothing can be measured; train again with "
            "more tracks or a data.held_out_fraction above 0"
        )
    return paths


def _training(genre: data.Genre, audio: AudioConfig, progress: Progress | None) -> list[Array]:
    seconds = min(_SECONDS, max(10.0, _TRAINING_SECONDS / len(genre.recordings)))
    paths = [recording.path for recording in genre.recordings]
    return [data.read_mono(path, audio, seconds) for path in shown(paths, progress, f"reading {genre.name}", "track")]


def _recordings(folder: Path) -> list[Path]:
    """List the sound files of a folder."""
    if not folder.is_dir() or not (found := sound.find_audio(folder)):
        raise AudioError(f"there are no recordings in {folder}; put there what is to be converted and compared to")
    return found


def _read(name: str, paths: Sequence[Path], audio: AudioConfig, progress: Progress | None) -> list[Song]:
    tracks = shown(paths, progress, f"reading {name} held out", "track")
    return [Song(path.stem, data.read_mono(path, audio, _SECONDS), {}) for path in tracks]


def _paired(split: str, source: str, target: str, audio: AudioConfig, progress: Progress | None) -> list[Song]:
    """Read the tunes of the built-in corpus that both genres play."""
    root = corpus.build(corpus.default_directory()) / "paired" / split
    folders = {"rearranged": target, "reorchestrated": f"{source}_as_{target}"}
    songs = []
    paths = sound.find_audio(root / "rearranged" / source)
    for path in shown(paths, progress, f"reading {source} and {target}", "tune"):
        tracks = {name: root / name / folder / path.name for name, folder in folders.items()}
        truths = {name: data.read_mono(track, audio) for name, track in tracks.items() if track.exists()}
        origin = data.read_mono(path, audio)
        length = min(len(waveform) for waveform in (origin, *truths.values()))
        songs.append(Song(path.stem, origin[:length], {name: truth[:length] for name, truth in truths.items()}))
    return songs


def _reference(genre: str, audio: AudioConfig, progress: Progress | None) -> list[Array]:
    """Read tunes of the built-in corpus that are in no other set, rendered when first needed."""
    from gst_jax.corpus.render import SAMPLE_RATE  # here, since it loads the sound bank

    folder = directory.cache_dir() / f"reference-{corpus.VERSION}" / genre
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.flac" for number in range(_REFERENCE_FILES)]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    for number, path in shown(missing, progress, f"rendering {genre} to compare to", "tune"):
        samples = library.samples_of(library.CorpusFile(path.name, "reference", number, genre, genre))
        sound.write_wave(path, samples, SAMPLE_RATE, subtype="PCM_16")
    return [data.read_mono(path, audio) for path in paths]
