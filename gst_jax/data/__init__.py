"""Serve batches of log-mel segments [B, T, M] as a pure function of (seed, step), from a mel cache on disk."""

from gst_jax.data.batches import PARTS, Batches
from gst_jax.data.genres import Genre, Track, load_genre, load_genres, split_tracks
from gst_jax.data.look import cautions
from gst_jax.data.recordings import read_mono
from gst_jax.data.sources import (
    CORPUS,
    AudioDirs,
    as_trained,
    describe,
    find_audio_dirs,
    find_pairs,
    load_each,
    load_pair,
    load_run,
    sample_tracks,
    settings_for,
    unseen_tracks,
)
from gst_jax.data.team import Team

__all__ = [
    "CORPUS",
    "PARTS",
    "AudioDirs",
    "Batches",
    "Genre",
    "Team",
    "Track",
    "as_trained",
    "cautions",
    "describe",
    "find_audio_dirs",
    "find_pairs",
    "load_each",
    "load_genre",
    "load_genres",
    "load_pair",
    "load_run",
    "read_mono",
    "sample_tracks",
    "settings_for",
    "split_tracks",
    "unseen_tracks",
]
