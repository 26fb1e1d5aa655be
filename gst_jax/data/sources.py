"""Find the audio of a pair: folders of the user's, the built-in corpus, or both."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gst_jax import config, corpus, sound
from gst_jax.config import Config, ConfigError, DataConfig
from gst_jax.data.folders import composed, find_folders, genre_folders, listed, missing
from gst_jax.data.genres import Genre, load_genres
from gst_jax.data.team import ALONE, Team
from gst_jax.runs.directory import RunDirectory, cache_dir
from gst_jax.sound import AudioError
from gst_jax.types import Progress

CORPUS = "corpus"  # in place of an audio folder: the built-in corpus; `./corpus` is a folder of that name
_SAME_LEVEL = 0.01  # dB: other audio differs by more, another machine that measures the same audio by less

AudioDirs = Sequence[str | os.PathLike[str]]  # each holds one folder per genre, or is CORPUS; none: CORPUS alone


def find_audio_dirs(given: AudioDirs) -> tuple[str, ...]:
    """Return audio folders in the one form and order that is trained on and recorded, however they were given.

    Args:
        given: as the user named them.

    Returns:
        Absolute paths, sorted, and CORPUS where it was given; nothing for the built-in corpus alone.

    Raises:
        AudioError: when there is no such folder, or it is given twice.
    """
    own = sorted((Path(place).resolve() for place in given if place != CORPUS), key=str)
    for place in own:
        genre_folders(place)
    for one, other in itertools.combinations(own, 2):
        if one.samefile(other):
            alias = f" (also as {other})" if one != other else ""
            raise AudioError(f"--audio_dir={one} is given twice{alias}; leave one of them out")
    lent = [place for place in given if place == CORPUS]
    if len(lent) > 1:
        raise AudioError(f"--audio_dir={CORPUS} is given twice; leave one of them out")
    return (*map(str, own), CORPUS) if own and lent else tuple(map(str, own))


def describe(audio_dirs: AudioDirs) -> str:
    """Return audio folders in words."""
    return " and ".join(map(_word, audio_dirs or [CORPUS]))


def _word(place: str | os.PathLike[str]) -> str:
    return "the built-in corpus" if place == CORPUS else os.fspath(place)


def _genres_in(place: str | os.PathLike[str]) -> Sequence[str]:
    return corpus.GENRES if place == CORPUS else genre_folders(Path(place))


def find_pairs(text: str | None, audio_dirs: AudioDirs, default: str) -> list[tuple[str, str]]:
    """Return the pairs that a `--pair` names.

    Args:
        text: as `folk_rock`, or `all` for folk_rock, then folk_jazz; None is the two genres of `audio_dirs`, or
            `default`.
        audio_dirs: where to find them.
        default: what to take of the built-in corpus when nothing is named.

    Returns:
        The genres a and b of each pair, spelled as their folders are.

    Raises:
        ConfigError: when no pair is named and `audio_dirs` do not hold just two, or it cannot be understood.
        AudioError: when there is no such audio folder.
    """
    # Accented and Bangla letters have two encodings: a keyboard may give one, the name of a folder hold the other.
    found = [genre for place in audio_dirs or [CORPUS] for genre in _genres_in(place)]
    spelling = {composed(genre): genre for genre in reversed(found)}
    genres = sorted(spelling.values())
    if audio_dirs and text is None:
        if len(genres) != 2:
            places = describe(audio_dirs) + (" holds" if len(audio_dirs) == 1 else " hold")
            raise ConfigError(
                f"{places} {len(genres)} folders ({listed(genres)}); name two of them, as in --pair=A_B"
            )
        text = "_".join(genres)
    text = text or default
    texts = ("folk_rock", "folk_jazz") if text == "all" else (text,)
    pairs = [config.parse_pair(composed(text), spelling) for text in texts]
    return [(spelling.get(a, a), spelling.get(b, b)) for a, b in pairs]


def settings_for(audio_dirs: AudioDirs, settings: Config) -> Config:
    """Return the settings that hold for the audio.

    The built-in corpus has tunes of its own to hold out, so that all its training files train.

    Args:
        audio_dirs: where the audio is.
        settings: as the user gave them.

    Raises:
        ConfigError: when a setting for folders is given for the built-in corpus alone, or the other way round.
    """
    if not audio_dirs:
        if settings.data.held_out_fraction not in (0.0, DataConfig().held_out_fraction):
            raise ConfigError(
                f"data.held_out_fraction is {settings.data.held_out_fraction}, but that is for your own folders: the "
                "built-in corpus has tunes of its own to hold out; leave the setting out, or give --audio_dir"
            )
        return dataclasses.replace(settings, data=dataclasses.replace(settings.data, held_out_fraction=0.0))
    if CORPUS not in audio_dirs and settings.data.corpus_tracks != DataConfig().corpus_tracks:
        raise ConfigError(
            f"data.corpus_tracks is {settings.data.corpus_tracks}, but --audio_dir names your own folders, not the "
            f"built-in corpus; leave one of them out, or give --audio_dir={CORPUS}, too, to train on both"
        )
    return settings


def load_pair(
    pair: tuple[str, str],
    audio_dirs: AudioDirs,
    settings: Config,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> tuple[Genre, Genre]:
    """Load the two genres of a pair, as `load_each`."""
    a, b = load_each(pair, audio_dirs, settings, progress, team)
    return a, b


def load_each(
    names: Sequence[str],
    audio_dirs: AudioDirs,
    settings: Config,
    progress: Progress | None = None,
    team: Team = ALONE,
) -> list[Genre]:
    """Load genres, so that one error names the damaged files of all of them.

    Args:
        names: of the genres, each once.
        audio_dirs: where their files are; the built-in corpus is rendered when first needed.
        settings: from `settings_for`.
        progress: called like `tqdm.tqdm` on the files to render or decode; None is silent.
        team: the processes that call this: the first renders, each decodes its share.

    Raises:
        AudioError: when a genre is missing, or its files cannot be trained on.
        OSError: when the cache folder cannot be written to.
    """
    own = [place for place in audio_dirs if place != CORPUS]
    corpus_dir = None
    if not own or CORPUS in audio_dirs:
        if team.index > 0:
            team.wait("the corpus is rendered")
        corpus_dir = _corpus_dir(names, own, settings, progress)
        if team.index == 0:
            team.wait("the corpus is rendered")
    return load_genres(own, names, settings.audio, settings.data, cache_dir(), progress, corpus_dir, team)


def _corpus_dir(names: Sequence[str], own: AudioDirs, settings: Config, progress: Progress | None) -> Path | None:
    """Return the corpus's training files, rendered once it is sure that all genres are there; None for no genre."""
    unknown = [genre for genre in names if genre not in corpus.GENRES]
    if unknown and not own:
        raise AudioError(
            f"the built-in corpus has no genre {unknown[0]!r}, only {', '.join(corpus.GENRES)}; "
            "give --audio_dir=DIR, a folder that holds one folder of audio per genre"
        )
    for genre in unknown:
        if not find_folders(genre, own):
            raise missing(genre, {_word(place): _genres_in(place) for place in (*own, CORPUS)})
    if len(unknown) == len(names):
        return None
    tracks = settings.data.corpus_tracks
    return corpus.build(corpus.default_directory(), progress, tracks) / corpus.training_folder(tracks)


def as_trained(genres: tuple[Genre, Genre], run: RunDirectory) -> tuple[Genre, Genre]:
    """Return the genres of a run with the statistics that it was trained with, to the last bit.

    They are a part of the model; another machine measures the same audio a little differently.

    Raises:
        AudioError: when the audio is not what the run was trained on.
    """
    for genre in genres:
        old, new = (np.array(dataclasses.astuple(part)) for part in (run.statistics[genre.name], genre.statistics))
        if old.shape != new.shape or np.abs(old - new).max() > _SAME_LEVEL:
            raise AudioError(
                f"the {genre.name} is not what {run.path} was trained on (files were added, removed or changed, or "
                "the audio folder is another one); put it back to go on with that run, or start a new one"
            )
    a, b = (dataclasses.replace(genre, statistics=run.statistics[genre.name]) for genre in genres)
    return a, b


def recordings_of(run: RunDirectory, genre: str) -> list[Path]:
    """Return the files of a genre in the user's folders that a run learned from, as they are now.

    Raises:
        ConfigError: when they are gone, or the run does not say where they were.
    """
    own = [place for place in run.audio_dirs if place != CORPUS]
    if not own:
        raise ConfigError(
            f"{run.path} does not say where its recordings of {genre} are, from which --band takes bars; convert "
            "with the run directory that gst_jax train made, or leave --band out"
        )
    there = [place for place in own if Path(place).is_dir()]
    files = [file for folder in find_folders(genre, there) for file in sound.find_audio(folder)]
    if not files:
        raise ConfigError(
            f"the recordings of {genre} that {run.path} learned from, and from which --band takes bars, are no "
            f"longer in {describe(own)}; put them back, or leave --band out"
        )
    return files


def sample_tracks(run: RunDirectory, count: int) -> dict[str, list[Path]]:
    """Return for each genre the first tracks that a run did not train on, or one that it did where none was held out.

    Args:
        run: whose pair's genres.
        count: of tracks, at most.
    """
    if not run.audio_dirs:
        names = [f"tune_{number:02}.flac" for number in range(count)]
        return {genre: [_validation_folder(genre, run) / name for name in names] for genre in run.pair}
    return {genre.name: list(unseen_tracks(genre, run) or [genre.tracks[0].path])[:count] for genre in load_run(run)}


def unseen_tracks(genre: Genre, run: RunDirectory) -> Sequence[Path]:
    """Return the tracks of a genre that a run did not train on.

    They are those held out or, where none was and the corpus plays this genre, the corpus's own.
    """
    if run.audio_dirs and CORPUS not in run.audio_dirs or genre.name not in corpus.GENRES:
        return genre.held_out
    return genre.held_out or sound.find_audio(_validation_folder(genre.name, run))


def _validation_folder(genre: str, run: RunDirectory) -> Path:
    # The corpus of the run's own size is there already, where it was trained.
    tracks = DataConfig().corpus_tracks if run.is_exported else run.config.data.corpus_tracks
    root = corpus.build(corpus.default_directory(), training_tracks=tracks)
    return root / "paired/validation/rearranged" / genre


def load_run(run: RunDirectory, progress: Progress | None = None) -> tuple[Genre, Genre]:
    """Load the genres that a run was trained on: `load_pair`, then `as_trained`."""
    return as_trained(load_pair(run.pair, run.audio_dirs, run.config, progress), run)
