"""Measure whether a band plays the song's chords and beats, which the outside judge cannot hear.

    python scripts/band_content.py --runs=pretrained/folk_rock --out=results/band_content_folk_rock.json
    python scripts/band_content.py --runs=pretrained/folk_jazz --out=results/band_content_folk_jazz.json

It listens to tunes of the built-in corpus, whose chords and beats are written down, with bands that play along as
they should and in the wrong ways of `band_rows.py`. The band alone is compared with what is written, the conversion
with the band is compared with the song. The measure to reach is what the target genre's own arrangement of the tune
has. Each takes five minutes of a quiet core.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing

import band_rows
import command
import numpy as np
from absl import flags

from gst_jax.band.hearing import why_silent
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.conversion import accompaniment
from gst_jax.conversion.accompaniment import Band
from gst_jax.corpus import library
from gst_jax.corpus.composition import describe
from gst_jax.evaluation.methods import make_methods
from gst_jax.evaluation.metrics import bootstrap, content
from gst_jax.evaluation.metrics.transcription import HOP_SECONDS, Transcription, transcribe
from gst_jax.evaluation.songs import Song, gather
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import streams

CONVERSION, TRUE = "conversion", "true target, rearranged"
MEASURES = ("chord", "beat")

_RUNS = flags.DEFINE_list("runs", None, "run directories on the built-in corpus, separated by commas", required=True)
_SPLIT = flags.DEFINE_enum("split", "test", ["validation", "test"], "choose by validation, report test once")
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)

Figures = dict[str, float]


def main() -> None:
    """Measure every direction of every run."""
    found = {}
    for run_dir in _RUNS.value:
        run = RunDirectory.open(run_dir)
        rate = run.config.audio.sample_rate
        material = gather(run, _SPLIT.value)
        for (source, target), songs in material.songs.items():
            convert = make_methods(run, source, target, material)[CONVERSION]
            sheets = [accompaniment.hear([song.source[:, None]], rate) for song in songs]
            made = [
                judge(song, convert(song.source), sheets, Band(target), rate)
                for song, sheets in zip(songs, band_rows.changes(sheets), strict=True)
                if not why_silent(sheets[band_rows.RIGHT])
            ]
            found[f"{source} to {target}"] = {"songs": len(songs), "played": len(made), "methods": summary(made)}
            for method, figures in found[f"{source} to {target}"]["methods"].items():
                print(
                    source,
                    target,
                    method,
                    {name: np.round(part, 2).tolist() for name, part in figures.items()},
                    flush=True,
                )
    result = {"split": _SPLIT.value, "directions": found, "provenance": provenance.collect()}
    write_text(_OUT.value, json.dumps(result, indent=1) + "\n")


def judge(
    song: Song, converted: np.ndarray, sheets: dict[str, LeadSheet], band: Band, rate: int
) -> dict[str, Figures]:
    """Measure one song [N] with each band: by what is played alone against what is written, and by the mix.

    Args:
        song: of the corpus.
        converted: the same without a band [N].
        sheets: what each band plays from.
        band: who plays.
        rate: Hz.
    """
    heard = transcribe(song.source, rate)
    pairs = {CONVERSION: (converted, converted), TRUE: (song.truths["rearranged"],) * 2}
    for row, sheet in sheets.items():
        with closing(streams.Spool()) as spool, closing(streams.Spool()) as alone:
            mix = np.concatenate(list(band.along([converted[:, None]], sheet, rate, stems=(spool, alone))))
            pairs[row] = alone.read(0, alone.end)[:, 0], mix[:, 0]
    found = {}
    for row, (alone, mix) in pairs.items():
        agreement = content.agreement(heard, transcribe(mix, rate))
        found[row] = written(transcribe(alone, rate), song) | {
            f"{name} of the mix": agreement[name] for name in MEASURES
        }
    return found


def written(heard: Transcription, song: Song) -> Figures:
    """Return how far what is heard has a tune's chords, by their roots in frames, and its beats, as an F-measure."""
    tune = describe(library.tune_of(_SPLIT.value, int(song.name.removeprefix("tune_"))))
    right = []
    for chord in tune["chords"]:
        first, last = (round(second / HOP_SECONDS) for second in (chord["onset"], chord["onset"] + chord["duration"]))
        found = heard.chords[first:last]
        right.append((found >= 0) & (found % 12 == chord["root"]))  # a rock band's fifths are neither major nor minor
    beats = content.event_f_measure(heard.beats, np.array(tune["beats"]), content.BEAT_TOLERANCE)
    return {"chord": float(np.mean(np.concatenate(right))), "beat": beats}


def summary(songs: Sequence[dict[str, Figures]]) -> dict[str, dict[str, bootstrap.Estimate]]:
    """Return each row's means over the songs, and by how much the right band is above it, song by song."""
    found = {}
    for row in songs[0]:
        figures = {name: bootstrap.mean([song[row][name] for song in songs]) for name in songs[0][row]}
        if row in band_rows.WRONG:
            figures |= {
                f"{name} below the right band": bootstrap.mean(
                    [song[band_rows.RIGHT][name] - song[row][name] for song in songs]
                )
                for name in songs[0][row]
            }
        found[row] = figures
    return found


if __name__ == "__main__":
    command.run(main)
