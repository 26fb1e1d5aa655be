"""Measure what a band costs: how many times real time a song of three minutes is converted with and without it.

    python scripts/band_cost.py --out=results/band_cost.json

Runs with and without a band take turns; each figure is their median. Needs two quiet cores for ten minutes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import command
import numpy as np
import soxr
from absl import flags

from gst_jax import sound
from gst_jax.band import playing
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.conversion import accompaniment, jobs, planning, synthesis
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.corpus import composition
from gst_jax.corpus.orchestra import draw_seats, orchestrate
from gst_jax.corpus.render import SAMPLE_RATE, render
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

Result = TypeVar("Result")

SECONDS = 180.0
SONGS = {"44.1 kHz stereo": (44_100, 2), "16 kHz mono": (16_000, 1)}
DIRECTIONS = {"rock": ("folk", "folk_rock"), "folk": ("rock", "folk_rock"), "jazz": ("folk", "folk_jazz")}

_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)
_REPEATS = flags.DEFINE_integer("repeats", 3, "runs of each kind", lower_bound=1)


def main() -> None:
    """Measure every song towards every genre; print and write down the figures."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in SONGS}
    with tempfile.TemporaryDirectory() as folder:
        for target, (source, pair) in DIRECTIONS.items():
            played = song(source)
            translator = Translator.from_run(f"pretrained/{pair}", target)
            for name, (rate, channels) in SONGS.items():
                samples = soxr.resample(
                    played if channels == 2 else played.mean(axis=1, keepdims=True), SAMPLE_RATE, rate
                )
                path = Path(folder, "song.wav")
                sound.write_wave(path, samples, rate, subtype="PCM_16")
                found[name][target] = measured(path, samples, rate, target, translator)
                print(name, target, {key: round(value, 2) for key, value in found[name][target].items()}, flush=True)
    write_text(_OUT.value, json.dumps({"songs": found, "provenance": provenance.collect()}, indent=1) + "\n")


def song(genre: str) -> np.ndarray:
    """Return a tune of three minutes as a genre plays it, [N, 2]."""
    rng = np.random.default_rng(5)
    tune = composition.compose(rng, SECONDS, (90.0, 130.0))
    arrangement = playing.GENRES[genre].arrange(tune, rng)
    return render(arrangement, orchestrate(genre, draw_seats(rng), rng), rng)


def measured(path: Path, samples: np.ndarray, rate: int, target: str, translator: Translator) -> dict[str, float]:
    """Convert a song with and without a band in turn.

    Returns:
        Times real time, and seconds of processor time, of each; seconds that hearing and playing alone take.
    """
    taken: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., Result], *given: object) -> Result:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work(*given)
        taken.setdefault(name, []).append(time.perf_counter() - wall)
        taken.setdefault(f"{name}, processor", []).append(time.process_time() - cpu)
        return result

    def convert(band: Band | None) -> None:
        plan = planning.plan([path], path.parent / "out", target, overwrite=True)
        failed = jobs.convert(plan.jobs, translator, path.parent / "out", 1.0, synthesis.DEFAULT_ROUTE, band=band)
        if failed:
            raise RuntimeError(failed[0])

    def play(sheet: LeadSheet) -> list[np.ndarray]:
        return list(playing.play(sheet, target, rate, len(samples)))

    convert(None)  # compiles
    for _ in range(_REPEATS.value):
        timed("without", convert, None)
        timed("with", convert, Band(target))
        timed("playing", play, timed("hearing", accompaniment.hear, [samples], rate))
    seconds = {name: statistics.median(each) for name, each in taken.items()}
    length = len(samples) / rate
    return seconds | {f"times real time {name}": length / seconds[name] for name in ("without", "with")}


if __name__ == "__main__":
    command.run(main)
