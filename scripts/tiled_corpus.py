"""Make a folder and a cache of any number of hours, as if that music had been decoded; used by the other scripts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gst_jax.config import Config
from gst_jax.data import folders, genres, shards
from gst_jax.sound import fine_structure
from gst_jax.sound.levels import Levels

_SONG_SECONDS = 240
_SONGS = 16  # in a shard


def make(hours: float, settings: Config, audio_dir: Path, cache_dir: Path) -> None:
    """Make the genres a and b, of some hours each, in songs of four minutes.

    The files of music are empty but for a letter, and all shards of a genre are one file of noise: what is read and
    mapped is as much as of real music, what the disk holds is not.
    """
    audio = settings.audio
    rng = np.random.default_rng(0)
    song = _SONG_SECONDS * audio.sample_rate // audio.hop_length
    for genre in "ab":
        (audio_dir / genre).mkdir(parents=True)
        paths = [audio_dir / genre / f"{number:06}.wav" for number in range(round(hours * 3600 / _SONG_SECONDS))]
        for path in paths:
            path.write_text("-")
        whole = folders.Folders(genre, (audio_dir / genre,))
        place = genres.place_of(whole, audio, settings.data, cache_dir)
        place.mkdir(parents=True)
        tile = rng.normal(-20, 7, (_SONGS * song, audio.n_mels)).astype(np.float32)
        np.save(cache_dir / f"{genre}.npy", tile)
        checksum = shards.checksum_of(cache_dir / f"{genre}.npy")
        rows = []
        for first in range(0, len(tile), song):
            levels = Levels(audio.n_mels)
            levels.add(tile[first : first + song])
            rows.append(np.stack([levels.packed()] * 2))
        fit = fine_structure.Fit(audio)
        fit.add(0.1 * rng.standard_normal(audio.sample_rate * 10).astype(np.float32))
        for first in range(0, len(paths), _SONGS):
            there = paths[first : first + _SONGS]
            told = [
                {
                    "key": whole.key(path),
                    "seconds": _SONG_SECONDS,
                    "depth": shards.Depth.STRUCTURE,
                    "damaged": "",
                    "unusable": "",
                    "copies": [(number * song, song, 0)],
                }
                for number, path in enumerate(there)
            ]
            shard = place / f"{first:06}"
            os.link(cache_dir / f"{genre}.npy", shard.with_suffix(".npy"))
            moments = {f"0/{name}": value for name, value in fit.moments().items()} if first // _SONGS < 128 else {}
            shards.write_found(shard, told, rows[: len(there)], moments, checksum)
