"""Measure how near conversions are to the target genre in the embedding of a music tagger made elsewhere.

    pip download --no-deps musicnn==0.1.0
    python scripts/outside_judge.py --weights=musicnn-0.1.0-py3-none-any.whl --out=results/outside_judge.json \
        --runs=pretrained/folk_rock,pretrained/folk_jazz --elsewhere=elsewhere --real=recordings

It listens to tunes of the built-in corpus, to the sets `bank` and `mma` of `scripts/elsewhere.py`, and to a folder of
real recordings, one folder per genre, of which 20 s of each track are used. Gain: 0 is as far from the target as the
untouched songs, 1 is inside it. Called: the same of the target's share of the genres' tags. Spread: the distance
between random halves of the target's own tracks, the 97.5th of 100; what is nearer than that is inside.

The tagger is musicnn (Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio
tagging"), trained on listeners' tags. Its package needs an old TensorFlow. So its weights are read from the wheel,
and the network is written out here. The measure is the kernel distance between tracks in the penultimate layer.
Nothing in this project was trained or chosen by it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import band_rows
import command
import numpy as np
import tagger
import tensor_bundle
from absl import flags

from gst_jax.evaluation.methods import make_methods
from gst_jax.evaluation.metrics import style
from gst_jax.evaluation.songs import Song, gather
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

METHODS = (
    "untouched input",
    "conversion",
    "equaliser",
    "equaliser, a filter alone",
    "distortion",
    "musaicing",
    "untrained generator",
)
KINDS = ("own tunes", "bank", "mma", "real")
_WEIGHTS = flags.DEFINE_string("weights", None, "wheel of musicnn", required=True)
_RUNS = flags.DEFINE_list("runs", None, "run directories on the built-in corpus, separated by commas", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "choose by validation, report test once")
_ELSEWHERE = flags.DEFINE_string("elsewhere", "elsewhere", "folder made by scripts/elsewhere.py")
_REAL = flags.DEFINE_string("real", "recordings", "folder of real recordings, one folder per genre")
_EXCEPT = flags.DEFINE_list("except", [], "names of real recordings that a run learned from, without suffix")
_METHODS = flags.DEFINE_multi_enum(
    "method",
    list(METHODS),
    [*METHODS, *band_rows.METHODS],
    "one to measure; may be repeated (default: all without a band)",
)
_KINDS = flags.DEFINE_multi_enum("kind", list(KINDS), KINDS, "music to judge by; may be repeated (default: all)")
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


def main() -> None:
    """Measure every run."""
    with zipfile.ZipFile(_WEIGHTS.value) as wheel:
        ear = tagger.make_tagger(tensor_bundle.read(wheel, tagger.MODEL))
    elsewhere = f"{_ELSEWHERE.value}/{{}}/{_SPLIT.value}"
    folders = {
        "own tunes": None,
        "bank": elsewhere.format("bank"),
        "mma": elsewhere.format("mma"),
        "real": _REAL.value,
    }
    runs: dict[str, dict] = {}
    for run in _RUNS.value:
        for kind in _KINDS.value:
            runs.setdefault(Path(run).name, {})[kind] = judge(run, ear, _SPLIT.value, folders[kind])
    write_text(_OUT.value, json.dumps({"runs": runs, "provenance": provenance.collect()}, indent=1) + "\n")


def heard_of(songs: Sequence[Song]) -> list[Song]:
    """Leave out what a run learned from."""
    return [song for song in songs if song.name not in _EXCEPT.value]


def judge(run_dir: str, ear, split: str, folder: str | None) -> dict:
    """Measure the methods of a run in both directions, on one kind of music."""
    run = RunDirectory.open(run_dir)
    rate = run.config.audio.sample_rate
    material = gather(run, split, audio_dir=folder)
    songs = {direction: heard_of(part) for direction, part in material.songs.items()}
    tracks = material.reference
    if folder is not None:  # the songs of one direction are what the other is compared to
        tracks = {source: [song.source for song in part] for (source, _), part in songs.items()}
    reference = {
        genre: [tagger.listen(ear, tagger.middle(track, rate), rate) for track in part]
        for genre, part in tracks.items()
    }
    width = style.bandwidth(np.concatenate([windows for part in reference.values() for windows, _ in part]))
    found = {}
    for (source, target), chosen in songs.items():
        excerpts = [tagger.middle(song.source, rate) for song in chosen]
        methods = make_methods(run, source, target, material)
        if not set(band_rows.METHODS).isdisjoint(_METHODS.value):
            methods |= band_rows.make_methods(methods["conversion"], target, excerpts, rate)
        made = {method: [methods[method](excerpt) for excerpt in excerpts] for method in _METHODS.value}
        made |= {f"true target, {name}": [song.truths[name] for song in chosen] for name in chosen[0].truths}
        heard = {method: [tagger.listen(ear, waveform, rate) for waveform in part] for method, part in made.items()}
        rows = tagger.compare(heard, reference[target], target, width)
        found[f"{source} to {target}"] = {"songs": [song.name for song in chosen], **rows}
        for method, figures in rows["methods"].items():
            shown = ", ".join(f"{name} {np.ravel(value)[0]:.3f}" for name, value in figures.items())
            print(f"{run.path.name}, {folder or 'own tunes'}: {source} to {target}: {method}: {shown}", flush=True)
    return found


if __name__ == "__main__":
    command.run(main)
