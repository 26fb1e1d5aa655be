"""Measure how well the band hears: beats, bars, key and chords of the built-in corpus, and where it stays silent.

    python scripts/hear.py --tunes=48 --out=results/band_hearing.json --recordings=../shared/audio

Paired tunes of the corpus, and more that are composed as they are, are rendered in every genre, as they are and in
ways that make it harder, heard, and compared with what was composed. With `--recordings`, a folder of folders of real
recordings, it is counted how many of these a band would join. Takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import command
import numpy as np
import unsteady
from absl import flags

from gst_jax import sound
from gst_jax.band.hearing import hear, why_silent
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.corpus import library
from gst_jax.corpus.arrangement import Arrangement
from gst_jax.corpus.composition import Tune, describe
from gst_jax.corpus.library import CorpusFile
from gst_jax.corpus.render import SAMPLE_RATE
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

TOLERANCE = 0.05  # seconds
DRIFT = 0.08  # share by which the tempo drifts
SEEDS = 10  # of each kind of sound without a beat

_OUT = flags.DEFINE_string("out", None, "JSON file to write; by default none is")
_SPLIT = flags.DEFINE_enum("split", "test", ("test", "validation"), "which tunes; validation chose the settings")
_TUNES = flags.DEFINE_integer("tunes", 8, "how many; the corpus holds the first 8 of test, 4 of validation")
_RECORDINGS = flags.DEFINE_string("recordings", None, "folder with a folder of recordings for each genre")

Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What was composed."""

    tune: Tune
    beats: np.ndarray  # seconds of each beat and of the end of the last bar [beats + 1]
    higher: int = 0  # semitones by which it is played higher


def main() -> None:
    """Measure everything; print and write down the figures."""
    found: dict[str, dict[str, list[Figures]]] = {}
    files = [
        CorpusFile("", _SPLIT.value, number, genre, genre)
        for number in range(_TUNES.value)
        for genre in library.GENRES
    ]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for file, heard in zip(files, pool.imap(heard_in, files), strict=True):
            for condition, figures in heard:
                found.setdefault(condition, {}).setdefault(file.source, []).append(figures)
    tunes = {
        condition: {"all": mean([heard for part in by_genre.values() for heard in part])}
        | {genre: mean(part) for genre, part in by_genre.items()}
        for condition, by_genre in found.items()
    }
    for condition, by_genre in tunes.items():
        print(condition, {name: round(value, 3) for name, value in by_genre["all"].items()})
    result = {"split": _SPLIT.value, "files": len(files), "tunes": tunes, "silent": silences()}
    if _RECORDINGS.value:
        result["recordings"] = recordings(Path(_RECORDINGS.value))
    print(result["silent"], result.get("recordings", ""))
    if _OUT.value:
        write_text(_OUT.value, json.dumps(result | {"provenance": provenance.collect()}, indent=1) + "\n")


def heard_in(file: CorpusFile) -> list[tuple[str, Figures]]:
    """Play a file in every condition; return how well each was heard."""
    return [(condition, judge(hear(samples, rate), truth)) for condition, samples, rate, truth in performances(file)]


def performances(file: CorpusFile) -> Iterator[tuple[str, np.ndarray, int, Truth]]:
    """Play a file in every condition: its name, mono samples [N], their rate, and the truth."""
    tune = library.tune_of(file.split, file.tune)
    played = library.arrangement_of(file)
    steady = describe(tune)["beats"]
    beats = np.array([*steady, steady[-1] + tune.beat_seconds])
    truth = Truth(tune, beats)
    rng = np.random.default_rng([file.tune, library.GENRES.index(file.source)])

    straight = rendered(file, played)
    yield "as it is", straight, SAMPLE_RATE, truth
    bend = drift(rng.uniform(12, 24), rng.uniform(0, 2 * np.pi))
    yield "drifting tempo", rendered(file, warped(played, bend)), SAMPLE_RATE, Truth(tune, bend(beats))
    higher = int(rng.integers(1, 7)) * int(rng.choice((-1, 1)))
    yield "another key", rendered(file, transposed(played, higher)), SAMPLE_RATE, Truth(tune, beats, higher)
    for pitch in (432, 446):
        rate = round(SAMPLE_RATE * pitch / 440)
        yield f"A = {pitch} Hz", straight, rate, Truth(tune, beats * SAMPLE_RATE / rate)
    cut = (0.1 + rng.uniform(1.2, tune.meter - 0.2)) * tune.beat_seconds
    yield "begun within a bar", straight[round(cut * SAMPLE_RATE) :], SAMPLE_RATE, Truth(tune, beats - cut)
    alone = dataclasses.replace(played, drums=played.drums[-1:])
    yield "no drums", rendered(file, alone), SAMPLE_RATE, truth


def rendered(file: CorpusFile, arrangement: Arrangement) -> np.ndarray:
    return sound.mono(library.samples_of(file, arrangement))


def drift(period: float, phase: float) -> Callable[[Any], Any]:
    """Return what maps even time to time whose tempo swings by DRIFT either way, once in `period` seconds."""
    depth = DRIFT * period / (2 * np.pi)
    return lambda even: even + depth * (np.cos(phase) - np.cos(2 * np.pi * even / period + phase))


def warped(arrangement: Arrangement, bend: Callable[[Any], Any]) -> Arrangement:
    """Return an arrangement with every onset and end moved to where `bend` puts it."""

    def moved(event: Any) -> Any:
        onset = float(bend(event.onset))
        if not hasattr(event, "duration"):
            return dataclasses.replace(event, onset=onset)
        return dataclasses.replace(event, onset=onset, duration=float(bend(event.onset + event.duration)) - onset)

    return dataclasses.replace(
        arrangement,
        seconds=float(bend(arrangement.seconds)),
        parts={role: tuple(map(moved, notes)) for role, notes in arrangement.parts.items()},
        drums=tuple(map(moved, arrangement.drums)),
    )


def transposed(arrangement: Arrangement, semitones: int) -> Arrangement:
    """Return an arrangement played higher, the tuned drums too."""
    parts = {
        role: tuple(dataclasses.replace(note, pitch=note.pitch + semitones) for note in notes)
        for role, notes in arrangement.parts.items()
    }
    return dataclasses.replace(arrangement, tonic=(arrangement.tonic + semitones) % 12, parts=parts)


def judge(sheet: LeadSheet, truth: Truth) -> Figures:
    """Compare a lead sheet with the truth; what is not a figure is 1 where it is right and 0 elsewhere."""
    tune, kept = truth.tune, truth.beats[:-1] >= 0
    beats, lines = truth.beats[:-1][kept], truth.beats[:-1][:: tune.meter]
    bars = np.stack([lines, truth.beats[tune.meter :: tune.meter]], axis=1).mean(axis=1)
    tonic = (tune.tonic + truth.higher) % 12
    roots = [(tonic + tune.mode.steps[degree]) % 12 for degree in tune.chords]
    pace = float(np.median(np.diff(truth.beats)) / np.median(np.diff(sheet.beats))) if sheet.bars else 0.0
    return {
        "beats": agreement(sheet.beats[:-1], beats),
        "downbeats": agreement(sheet.beats[:-1][:: sheet.meter], lines[lines >= 0]),
        "onset error": float(np.median([np.abs(sheet.beats - beat).min() for beat in beats])),
        "meter": float(sheet.meter == tune.meter),
        "half or double tempo": float(abs(abs(np.log2(max(pace, 1e-3))) - 1) < 0.1),
        "tonic": float(sheet.tonic == tonic),
        "scale": float(scale(sheet.tonic, sheet.mode) == scale(tonic, tune.mode)),
        "tonic and mode": float((sheet.tonic, sheet.mode) == (tonic, tune.mode)),
        "chords": float(
            np.mean([root_at(sheet, bar) == root for bar, root in zip(bars, roots, strict=True) if bar > 0])
        ),
        "plays": float(why_silent(sheet) is None),
    }


def agreement(heard: np.ndarray, true: np.ndarray) -> float:
    """Return the F measure of times within TOLERANCE of each other, each used once."""
    hits, place = 0, 0
    for beat in np.sort(true):
        while place < len(heard) and heard[place] < beat - TOLERANCE:
            place += 1
        if place < len(heard) and heard[place] <= beat + TOLERANCE:
            hits, place = hits + 1, place + 1
    return 2 * hits / max(len(heard) + len(true), 1)


def scale(tonic: int, mode: Any) -> set[int]:
    return {(tonic + step) % 12 for step in mode.steps}


def root_at(sheet: LeadSheet, seconds: float) -> int | None:
    """Return the pitch class of the chord's root at a time, None outside the bars."""
    bar = int(np.searchsorted(sheet.beats[:: sheet.meter], seconds)) - 1
    return (sheet.tonic + sheet.mode.steps[sheet.chords[bar]]) % 12 if 0 <= bar < sheet.bars else None


def mean(figures: list[Figures]) -> Figures:
    """Return the mean of each figure, and the median of the errors."""
    means = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
    return means | {"onset error": float(np.median([one["onset error"] for one in figures]))}


def silences() -> dict[str, float]:
    """Return, for each kind of sound without beat or key, the share that the band is silent on."""
    return {
        kind: float(
            np.mean(
                [
                    why_silent(hear(make(np.random.default_rng(seed)), unsteady.RATE)) is not None
                    for seed in range(SEEDS)
                ]
            )
        )
        for kind, make in unsteady.sounds().items()
    }


def recordings(folder: Path) -> dict[str, dict[str, Any]]:
    """Return, for each genre's folder, how many recordings a band would join, and why it would not."""
    found = {}
    for genre in sorted(path for path in folder.iterdir() if path.is_dir()):
        said = {}
        for path in sound.find_audio(genre):
            wave = sound.read_wave(path)
            said[path.stem] = why_silent(hear(sound.mono(wave.samples), wave.sample_rate))
        reasons = {name: reason for name, reason in said.items() if reason}
        found[genre.name] = {"recordings": len(said), "plays": len(said) - len(reasons), "silent": reasons}
    return found


if __name__ == "__main__":
    command.run(main)
