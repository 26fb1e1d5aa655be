"""Measure how often the cautions of `convert` and `prepare` are right, on the built-in tunes and on recordings.

    python scripts/cautions.py --real=DIR --except=NAME,NAME --out=results/cautions.json

DIR holds a folder of recordings for each of folk, rock, jazz; NAME is the beginning of the name of a recording that
the bundled models learned from. Of songs: how often is one that a model converts called nearer to the genre that it
converts to, and how often is one of that genre? Of folders: how often are five recordings of one genre said to be
no other music than five more, and how often five of each of two genres? How often are MP3 copies of recordings found
among them, and how often is what is none taken for one?
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import command
import numpy as np
from absl import flags

from gst_jax import data, sound
from gst_jax.config import Config, DataConfig
from gst_jax.conversion.likeness import Likeness
from gst_jax.corpus import library
from gst_jax.data.look import find_copies
from gst_jax.data.recordings import open_recording
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory, cache_dir
from gst_jax.sound import levels

_REAL = flags.DEFINE_string("real", None, "folder of recordings, a folder per genre", required=True)
_EXCEPT = flags.DEFINE_list("except", [], "beginnings of the names of recordings that the models learned from")
_OUT = flags.DEFINE_string("out", None, "JSON file to write; by default none is")

AUDIO, RUNS = Config().audio, ("folk_rock", "folk_jazz")
DEALS, FEW = 20, 5
RATE, BIT_RATE = 44_100, 64_000  # of the copies


def main() -> None:
    """Measure everything; print it and write it down."""
    corpus = library.build(library.default_directory())
    tunes = {genre: sorted(corpus.glob(f"paired/*/rearranged/{genre}/*.flac")) for genre in library.GENRES}
    real = {genre: sound.find_audio(Path(_REAL.value, genre)) for genre in library.GENRES}
    unseen = {
        genre: [path for path in files if not path.name.startswith(tuple(_EXCEPT.value))]
        for genre, files in real.items()
    }
    places = {"built-in": corpus / library.training_folder(), "recordings": Path(_REAL.value)}
    found = {
        "songs": {"built-in": songs(tunes), "recordings": songs(unseen)},
        "folders": {kind: folders(place) for kind, place in places.items()},
        "copies": copies(places["recordings"]),
    }
    print(json.dumps(found, indent=1))
    if _OUT.value:
        write_text(_OUT.value, json.dumps(found | {"provenance": provenance.collect()}, indent=1) + "\n")


def songs(files: dict[str, list[Path]]) -> dict[str, list[int]]:
    """Count the songs in each direction, then those doubted, then the same of songs of the target."""
    heard = {genre: [measured(path) for path in paths] for genre, paths in files.items()}
    counts = {}
    for run in map(RunDirectory.open, RUNS):
        for source, target in (run.pair, run.pair[::-1]):
            likeness = Likeness(source, target, run.statistics[source], run.statistics[target])
            parts = [[bool(likeness.doubt(song)) for song in heard[genre]] for genre in (source, target)]
            counts[f"{source} to {target}"] = [number for part in parts for number in (len(part), sum(part))]
    return counts


def measured(path: Path) -> levels.Levels:
    """Return the levels of a song as a conversion hears it."""
    song = levels.Levels(AUDIO.n_mels)
    with open_recording(path, AUDIO) as recording:
        for frames in recording.log_mels():
            song.add(frames, pauses=False)
    return song


def folders(place: Path) -> dict[str, list[int]]:
    """Count deals of five and five recordings, then those said to be alike, within a genre and between two."""
    genres = loaded([place], library.GENRES)
    counts = {}
    for one, other in [(one, other) for number, one in enumerate(genres) for other in genres[number:]]:
        said = [any("at random" in line for line in data.cautions(a, b, AUDIO)) for a, b in dealt(one, other)]
        counts[f"{one.name} and {other.name}"] = [len(said), sum(said)]
    return counts


def dealt(one: data.Genre, other: data.Genre) -> Iterator[tuple[data.Genre, data.Genre]]:
    """Yield random choices of five recordings of each, never the same where both are one genre."""
    rng = np.random.default_rng(0)
    for _ in range(DEALS):
        a, b = (rng.permutation(np.array(genre.recordings, object)) for genre in (one, other))
        a, b = (a[:FEW], a[FEW : 2 * FEW]) if one is other else (a[:FEW], b[:FEW])
        yield replace(one, tracks=tuple(a)), replace(other, tracks=tuple(b))


def copies(place: Path) -> dict[str, int]:
    """Count the MP3 copies, quieter and cut, that are found, and the pairs that are no copies."""
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(place.glob("*/*.flac")):
            wave = sound.read_wave(path)
            part = sound.resample(0.5 * wave.samples[wave.sample_rate :], wave.sample_rate, RATE)
            target = Path(folder, "copies", f"{path.stem}.mp3")
            target.parent.mkdir(exist_ok=True)
            kind = sound.choose_kind(target, RATE, part.shape[1])
            sound.write_blocks(target, [part], RATE, part.shape[1], kind._replace(bit_rate=BIT_RATE))
        genres = [*loaded([place], library.GENRES), *loaded([folder], ["copies"])]
        right, wrong, pairs = 0, 0, 0
        for number, one in enumerate(genres):
            for other in genres[number + 1 :]:
                for a, b in find_copies(one, other):
                    right += a.path.stem == b.path.stem
                    wrong += a.path.stem != b.path.stem
                pairs += len(one.recordings) * len(other.recordings)
        count = len(genres[-1].recordings)
    return {"copies": count, "found": right, "pairs that are none": pairs - count, "taken for copies": wrong}


def loaded(places: list[Path | str], names: list[str] | tuple[str, ...]) -> list[data.Genre]:
    """Return genres with all their recordings."""
    return data.load_genres(places, names, AUDIO, DataConfig(held_out_fraction=0.0), cache_dir())


if __name__ == "__main__":
    command.run(main)
