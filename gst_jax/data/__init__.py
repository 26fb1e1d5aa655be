"""Serve batches of log-mel segments [B, T, M] as a pure function of (seed, step), from a mel cache on disk."""

from gst_jax.data.batches import PARTS, Batches
from gst_jax.data.genres import Genre, Track, load_genre, load_genres, split_tracks
from gst_jax.data.recordings import read_mono
from gst_jax.data.sources import (
    as_trained,
    find_pairs,
    held_out_tracks,
    load_each,
    load_pair,
    load_run,
    sample_tracks,
    settings_for,
)

__all__ = [
    "PARTS",
    "Batches",
    "Genre",
    "Track",
    "as_trained",
    "find_pairs",
    "held_out_tracks",
    "load_each",
    "load_genre",
    "load_genres",
    "load_pair",
    "load_run",
    "read_mono",
    "sample_tracks",
    "settings_for",
    "split_tracks",
]
