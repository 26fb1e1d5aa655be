"""Find the audio of a pair: a folder of the user's, or the built-in corpus."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gst_jax import config, corpus
from gst_jax.config import Config, ConfigError, DataConfig
from gst_jax.data.genres import Genre, genre_folders, load_genres
from gst_jax.runs.directory import RunDirectory, cache_dir
from gst_jax.sound import AudioError
from gst_jax.types import Progress

_SAME_LEVEL = 0.01  # dB: less than any file that is added, taken away or changed makes, more than two machines differ


def find_pairs(text: str | None, audio_dir: str | os.PathLike[str] | None, default: str) -> list[tuple[str, str]]:
    """Return the pairs that a `--pair` names.

    Args:
        text: as `folk_rock`; `all` is folk_rock, then folk_jazz; None the two folders of `audio_dir`, or `default`.
        audio_dir: holds one folder per genre; None is the built-in corpus.
        default: the pair of the built-in corpus where none was named.

    Raises:
        ConfigError: when a pair was not named, or cannot be understood.
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
    return [config.parse_pair(pair, genres) for pair in (("folk_rock", "folk_jazz") if text == "all" else (text,))]


def settings_for(audio_dir: str | os.PathLike[str] | None, settings: Config) -> Config:
    """Return the settings that hold for the audio.

    The built-in corpus (no folder) keeps its held-out tunes apart, so that all its training files train.

    Raises:
        ConfigError: when a setting of the built-in corpus is to hold for a folder, or the other way round.
    """
    if audio_dir is None:
        if settings.data.held_out_fraction not in (0.0, DataConfig().held_out_fraction):
            raise ConfigError(
                f"data.held_out_fraction is {settings.data.held_out_fraction}, but the built-in corpus has tunes of "
                "its own to hold out and trains on all others; leave the setting out, or give --audio_dir"
            )
        return dataclasses.replace(settings, data=dataclasses.replace(settings.data, held_out_fraction=0.0))
    if settings.data.corpus_tracks != DataConfig().corpus_tracks:
        raise ConfigError(
            f"data.corpus_tracks is {settings.data.corpus_tracks}, but --audio_dir has all tracks of your folders "
            "train; leave one of them out"
        )
    return settings


def load_pair(
    pair: tuple[str, str],
    audio_dir: str | os.PathLike[str] | None,
    settings: Config,
    progress: Progress | None = None,
) -> tuple[Genre, Genre]:
    """Load the two genres of a pair.

    Args:
        pair: names of the genres a and b.
        audio_dir: holds one folder per genre; None is the built-in corpus, which is rendered when first needed.
        settings: from `settings_for`.
        progress: called like `tqdm.tqdm` on the files to render or decode.

    Raises:
        AudioError: when a genre is missing, or its files cannot be trained on.
    """
    if audio_dir is None:
        unknown = [genre for genre in pair if genre not in corpus.GENRES]
        if unknown:
            raise AudioError(
                f"the built-in corpus has no genre {unknown[0]!r}, only {', '.join(corpus.GENRES)}; "
                "give --audio_dir=DIR, a folder that holds one folder of audio per genre"
            )
        tracks = settings.data.corpus_tracks
        directory = corpus.build(corpus.default_directory(), progress=progress, training_tracks=tracks)
        audio_dir = directory / corpus.training_folder(tracks)
    a, b = load_genres(audio_dir, pair, settings.audio, settings.data, cache_dir(), progress)
    return a, b


def as_trained(genres: tuple[Genre, Genre], run: RunDirectory) -> tuple[Genre, Genre]:
    """Return the genres of a run with the statistics that it was trained with, to the last bit.

    Another machine measures the same audio a little differently.

    Raises:
        AudioError: when the audio is not what the run was trained on: its levels are a part of the model.
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


def sample_tracks(run: RunDirectory) -> dict[str, Path]:
    """Return by genre a track that a run did not train on; one that it did where none was held out."""
    if run.audio_dir is None:
        folder = corpus.build(corpus.default_directory()) / "paired" / "validation" / "rearranged"
        return {genre: folder / genre / "tune_00.flac" for genre in run.pair}
    return {genre.name: (genre.held_out or [genre.tracks[0].path])[0] for genre in load_run(run)}


def load_run(run: RunDirectory, progress: Progress | None = None) -> tuple[Genre, Genre]:
    """Load the genres that a run was trained on, as `load_pair` and `as_trained`."""
    return as_trained(load_pair(run.pair, run.audio_dir, run.config, progress), run)
