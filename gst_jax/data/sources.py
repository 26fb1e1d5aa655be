"""Find the audio of a pair: a folder of the user's, or the built-in corpus."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gst_jax import config, corpus
from gst_jax.config import Config, ConfigError, DataConfig
from gst_jax.data.genres import Genre, genre_folders, load_genres
from gst_jax.runs.directory import RunDirectory, cache_dir
from gst_jax.sound import AudioError
from gst_jax.types import Progress

_SAME_LEVEL = 0.01  # dB: other audio differs by more, another machine that measures the same audio by less


def find_pairs(text: str | None, audio_dir: str | os.PathLike[str] | None, default: str) -> list[tuple[str, str]]:
    """Return the pairs that a `--pair` names.

    Args:
        text: as `folk_rock`, or `all` for folk_rock, then folk_jazz; None is the two folders of `audio_dir`, or
            `default`.
        audio_dir: holds one folder per genre; None is the built-in corpus.
        default: what to take of the built-in corpus when nothing is named.

    Returns:
        The genres a and b of each pair, spelled as their folders are.

    Raises:
        ConfigError: when no pair is named and `audio_dir` does not hold just two, or it cannot be understood.
        AudioError: when there is no such audio folder.
    """
    genres: Sequence[str] = corpus.GENRES
    if audio_dir is not None:
        genres = genre_folders(Path(audio_dir))
        if text is None and len(genres) != 2:
            raise ConfigError(
                f"{audio_dir} holds {len(genres)} folders ({', '.join(genres)}); name two of them, as in --pair=A_B"
            )
        text = text or "_".join(genres)
    text = text or default
    # Accented and Bangla letters have two encodings: a keyboard may give one, the name of a folder hold the other.
    spelling = {_composed(genre): genre for genre in genres}
    texts = ("folk_rock", "folk_jazz") if text == "all" else (text,)
    pairs = [config.parse_pair(_composed(text), spelling) for text in texts]
    return [(spelling.get(a, a), spelling.get(b, b)) for a, b in pairs]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def settings_for(audio_dir: str | os.PathLike[str] | None, settings: Config) -> Config:
    """Return the settings that hold for the audio.

    The built-in corpus has tunes of its own to hold out, so that all its training files train.

    Args:
        audio_dir: holds one folder per genre; None is the built-in corpus.
        settings: as the user gave them.

    Raises:
        ConfigError: when a setting for folders is given for the built-in corpus, or the other way round.
    """
    if audio_dir is None:
        if settings.data.held_out_fraction not in (0.0, DataConfig().held_out_fraction):
            raise ConfigError(
                f"data.held_out_fraction is {settings.data.held_out_fraction}, but that is for your own folders: the "
                "built-in corpus has tunes of its own to hold out; leave the setting out, or give --audio_dir"
            )
        return dataclasses.replace(settings, data=dataclasses.replace(settings.data, held_out_fraction=0.0))
    if settings.data.corpus_tracks != DataConfig().corpus_tracks:
        raise ConfigError(
            f"data.corpus_tracks is {settings.data.corpus_tracks}, but --audio_dir names your own folders, not the "
            "built-in corpus; leave one of them out"
        )
    return settings


def load_pair(
    pair: tuple[str, str],
    audio_dir: str | os.PathLike[str] | None,
    settings: Config,
    progress: Progress | None = None,
) -> tuple[Genre, Genre]:
    """Load the two genres of a pair, as `load_each`."""
    a, b = load_each(pair, audio_dir, settings, progress)
    return a, b


def load_each(
    names: Sequence[str],
    audio_dir: str | os.PathLike[str] | None,
    settings: Config,
    progress: Progress | None = None,
) -> list[Genre]:
    """Load genres, so that one error names the damaged files of all of them.

    Args:
        names: of the genres, each once.
        audio_dir: holds one folder per genre; None is the built-in corpus, which is rendered when first needed.
        settings: from `settings_for`.
        progress: called like `tqdm.tqdm` on the files to render or decode; None is silent.

    Raises:
        AudioError: when a genre is missing, or its files cannot be trained on.
        OSError: when the cache folder cannot be written to.
    """
    if audio_dir is None:
        unknown = [genre for genre in names if genre not in corpus.GENRES]
        if unknown:
            raise AudioError(
                f"the built-in corpus has no genre {unknown[0]!r}, only {', '.join(corpus.GENRES)}; "
                "give --audio_dir=DIR, a folder that holds one folder of audio per genre"
            )
        tracks = settings.data.corpus_tracks
        audio_dir = corpus.build(corpus.default_directory(), progress, tracks) / corpus.training_folder(tracks)
    return load_genres(audio_dir, names, settings.audio, settings.data, cache_dir(), progress)


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


def held_out_tracks(run: RunDirectory, genres: Sequence[Genre]) -> dict[str, list[Path]]:
    """Return for each genre the tracks that a run does not train on."""
    if run.audio_dir is None:
        return _validation_tunes(run)
    return {genre.name: list(genre.held_out) for genre in genres}


def sample_tracks(run: RunDirectory) -> dict[str, Path]:
    """Return for each genre a track that a run did not train on, or one that it did where none was held out."""
    if run.audio_dir is None:
        return {genre: tunes[0] for genre, tunes in _validation_tunes(run).items()}
    return {genre.name: (genre.held_out or [genre.tracks[0].path])[0] for genre in load_run(run)}


def _validation_tunes(run: RunDirectory) -> dict[str, list[Path]]:
    # The corpus of the run's own size is there already.
    root = corpus.build(corpus.default_directory(), training_tracks=run.config.data.corpus_tracks)
    folder = root / "paired/validation/rearranged"
    return {genre: sorted((folder / genre).glob("*.flac")) for genre in run.pair}


def load_run(run: RunDirectory, progress: Progress | None = None) -> tuple[Genre, Genre]:
    """Load the genres that a run was trained on: `load_pair`, then `as_trained`."""
    return as_trained(load_pair(run.pair, run.audio_dir, run.config, progress), run)
