"""Find the audio of a pair: a folder of the user's, or the built-in corpus."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from gst_jax import config, corpus
from gst_jax.audio import AudioError
from gst_jax.config import Config, ConfigError, DataConfig
from gst_jax.data.genres import Genre, load_genres


def settings_for(audio_dir: str | os.PathLike[str] | None, settings: Config) -> Config:
    """Return the settings that hold for the audio.

    The built-in corpus (no folder) keeps its held-out tunes apart, so that all its training files train.

    Raises:
        ConfigError: when a setting of the built-in corpus is to hold for a folder.
    """
    if audio_dir is None:
        return dataclasses.replace(settings, data=dataclasses.replace(settings.data, held_out_fraction=0.0))
    if settings.data.corpus_tracks != DataConfig().corpus_tracks:
        raise ConfigError(
            f"data.corpus_tracks is {settings.data.corpus_tracks}, but --audio_dir has all tracks of your folders "
            "train; leave one of them out"
        )
    return settings


def load_pair(
    pair: tuple[str, str], audio_dir: str | os.PathLike[str] | None, settings: Config, progress: Any = None
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
    a, b = load_genres(audio_dir, pair, settings.audio, settings.data, config.cache_dir(), progress)
    return a, b
