"""Measure a band of borrowed bars: whether the song is then called the genre, whether they fit, what is copied.

    pip download --no-deps musicnn==0.1.0
    python scripts/borrowed_band.py --weights=musicnn-0.1.0-py3-none-any.whl --out=results/borrowed_band.json \
        --runs=pretrained/folk_rock,pretrained/folk_jazz --real=recordings

Of each genre's folder of real recordings every other one is borrowed from; the outside judge (`outside_judge.py`) has
the others for its target. The songs are those of the other genre that a band joins.

Fit: content that a band, alone, shares with its song, and that song and band share with the song. Copying: of the
pitches above 200 Hz that sound where bars are borrowed whole, the share that sounds in the song alone (chance), in
the song with what is really borrowed, and in the song with the whole bars, all equally loud.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import command
import numpy as np
import tagger
import tensor_bundle
from absl import flags
from borrowed_rows import RIGHT, ROWS, RandomBand, WholeBand, copying, fit, play

from gst_jax import sound
from gst_jax.band import recordings
from gst_jax.conversion import accompaniment
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.data import read_mono
from gst_jax.evaluation.metrics import bootstrap, style
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

_WEIGHTS = flags.DEFINE_string("weights", None, "wheel of musicnn", required=True)
_RUNS = flags.DEFINE_list("runs", None, "run directories, separated by commas", required=True)
_REAL = flags.DEFINE_string("real", None, "folder of real recordings, one folder per genre", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


def main() -> None:
    """Measure every run in both directions."""
    with zipfile.ZipFile(_WEIGHTS.value) as wheel:
        ear = tagger.make_tagger(tensor_bundle.read(wheel, tagger.MODEL))
    found = {}
    for path in _RUNS.value:
        run = RunDirectory.open(path)
        for source, target in (run.pair, run.pair[::-1]):
            found[f"{source} to {target}"] = part = measure(run, source, target, ear)
            print(source, target, json.dumps(part, indent=1), flush=True)
    write_text(_OUT.value, json.dumps({"directions": found, "provenance": provenance.collect()}, indent=1) + "\n")


def measure(run: RunDirectory, source: str, target: str, ear) -> dict[str, Any]:
    """Measure one direction."""
    rate = run.config.audio.sample_rate
    files = {genre: sound.find_audio(Path(_REAL.value, genre)) for genre in (source, target)}
    lent, goal = files[target][::2], files[target][1::2]
    bands = [kind(target, 1.0, recordings.hear(lent, target)) for kind in (Band, RandomBand, WholeBand)]
    convert = Translator.from_run(run, target)
    names, heard, fits, copied = [], {row: [] for row in ROWS}, [], []
    for path in files[source]:
        song = read_mono(path, run.config.audio)
        sheet = accompaniment.hear([song[:, None]], rate)
        if bands[0].why_silent(sheet):
            continue
        names.append(path.stem)
        made = play(song, convert(song, rate), sheet, bands, rate)
        for row in ROWS:
            heard[row].append(tagger.listen(ear, tagger.middle(made[row], rate), rate))
        fits.append(fit(song, made, sheet, bands, rate))
        copied.append(copying(song, made[RIGHT], sheet, bands[2], rate))
    target_heard = [tagger.listen(ear, tagger.middle(read_mono(path, run.config.audio), rate), rate) for path in goal]
    width = style.bandwidth(np.concatenate([windows for windows, _ in target_heard]))
    return {
        "songs": names,
        "borrowed from": [recording.path.stem for recording in bands[0].recordings],
        **tagger.compare(heard, target_heard, target, width),
        "fit": {name: bootstrap.mean([one[name] for one in fits]) for name in fits[0]},
        "copying": {name: bootstrap.mean([one[name] for one in copied]) for name in copied[0]},
    }


if __name__ == "__main__":
    command.run(main)
