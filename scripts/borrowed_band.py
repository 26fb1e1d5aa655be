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

import functools
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import command
import numpy as np
import tagger
import tensor_bundle
from absl import flags

from gst_jax import sound
from gst_jax.band import borrowing, choosing, recordings
from gst_jax.band.choosing import Choice
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.band.recordings import Recording
from gst_jax.conversion import accompaniment
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.data import read_mono
from gst_jax.evaluation.metrics import bootstrap, content, style
from gst_jax.evaluation.metrics.transcription import LOWEST, transcribe
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

ALONE, RIGHT, LOUD, RANDOM = "untouched input", "song with borrowed bars", "the same, twice as loud", "random bars"
CONVERTED = "conversion"
ROWS = (ALONE, RIGHT, LOUD, RANDOM, CONVERTED, "conversion with borrowed bars", "conversion with random bars")
SHARED = ("chroma", "chord", "beat")
MIDDLE = 56 - LOWEST  # the first pitch above 200 Hz

_WEIGHTS = flags.DEFINE_string("weights", None, "wheel of musicnn", required=True)
_RUNS = flags.DEFINE_list("runs", None, "run directories, separated by commas", required=True)
_REAL = flags.DEFINE_string("real", None, "folder of real recordings, one folder per genre", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


class RandomBand(Band):
    """A band that takes any bars within the limits of pace and transposition."""

    def play(self, sheet: LeadSheet, sample_rate: int, length: int) -> Iterator[np.ndarray]:
        """Play alone, as `Band.play` does."""
        return borrowing.perform(sheet, random_bars(sheet, self.recordings), sample_rate, length)


class WholeBand(Band):
    """A band that takes the right bars whole, with their lead."""

    def play(self, sheet: LeadSheet, sample_rate: int, length: int) -> Iterator[np.ndarray]:
        """Play alone, as `Band.play` does."""
        choices = choosing.choose(sheet, self.recordings)
        return borrowing.perform(sheet, choices, sample_rate, length, lambda stereo, rate, semitones: stereo)


def random_bars(sheet: LeadSheet, heard: Sequence[Recording]) -> list[Choice | None]:
    """Choose at random for each two bars of a song."""
    rng = np.random.default_rng(0)
    units = choosing.find_units(heard, sheet.meter)
    chosen: list[Choice | None] = []
    for place in range(-(-sheet.bars // choosing.UNIT)):
        possible = np.flatnonzero(np.isfinite(choosing.cost(sheet, place, units, heard)))
        chosen.append(units.choice(int(rng.choice(possible)), heard) if len(possible) else None)
    return chosen


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


def play(
    song: np.ndarray, converted: np.ndarray, sheet: LeadSheet, bands: Sequence[Band], rate: int
) -> dict[str, np.ndarray]:
    """Return what each row sounds like, [N] each."""
    right, random, _ = bands
    loud = Band(right.genre, 2.0, right.recordings)

    def along(band: Band, alone: np.ndarray) -> np.ndarray:
        return np.concatenate(list(band.along([alone[:, None]], sheet, rate)))[:, 0]

    with_bars = [along(band, song) for band in (right, loud, random)]
    return dict(
        zip(ROWS, [song, *with_bars, converted, along(right, converted), along(random, converted)], strict=True)
    )


def fit(
    song: np.ndarray, made: dict[str, np.ndarray], sheet: LeadSheet, bands: Sequence[Band], rate: int
) -> dict[str, float]:
    """Return what right and random bars share with the song, alone and with it, and how they are joined."""
    hear = functools.partial(transcribe, sample_rate=rate)
    of_song, found = hear(song), {}
    for row, band in ((RIGHT, bands[0]), (RANDOM, bands[1])):
        alone = np.concatenate(list(band.play(sheet, rate, len(song)))).mean(axis=1)
        for name, other in (("alone", alone), ("with the song", made[row])):
            agreement = content.agreement(of_song, hear(other))
            found |= {f"{row}, {name}, {measure}": agreement[measure] for measure in SHARED}
    taken = list(borrowing.passages(sheet, choosing.choose(sheet, bands[0].recordings)))
    lengths = [passage.lines[-1] - passage.lines[0] for passage in taken]
    found["bars between joins"] = sum(len(passage.lines) - 1 for passage in taken) / len(taken)
    found["longest passage, seconds"] = max(lengths)
    return found


def copying(song: np.ndarray, mix: np.ndarray, sheet: LeadSheet, whole: Band, rate: int) -> dict[str, float]:
    """Return the share of the borrowed bars' own pitches, as a whole, that sounds in a mix."""
    lead = np.concatenate(list(whole.play(sheet, rate, len(song)))).mean(axis=1)
    with_lead = np.concatenate(list(whole.along([song[:, None]], sheet, rate)))[:, 0]
    sounding = transcribe(lead, rate).roll[:, MIDDLE:]
    rolls = {
        name: transcribe(wave, rate).roll[:, MIDDLE:]
        for name, wave in (("song alone", song), ("with what is borrowed", mix), ("with the whole bars", with_lead))
    }
    return {name: float(np.sum(roll & sounding) / max(int(np.sum(sounding)), 1)) for name, roll in rolls.items()}


if __name__ == "__main__":
    command.run(main)
