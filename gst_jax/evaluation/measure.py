"""Run every row over every song of a run, in both directions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gst_jax.evaluation import scores
from gst_jax.evaluation.criteria import bars
from gst_jax.evaluation.hearing import Heard, hear, hear_style, train_ear
from gst_jax.evaluation.methods import make_rows
from gst_jax.evaluation.metrics.style import Ear
from gst_jax.evaluation.songs import PAIRED, Material, gather
from gst_jax.learning import checkpoint
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Progress

Report = dict[str, Any]

STRENGTHS = (0.25, 0.5, 0.75)  # between the untouched input and the conversion


def evaluate(
    run_dir: str | os.PathLike[str],
    split: str = "validation",
    strengths: tuple[float, ...] = STRENGTHS,
    progress: Progress | None = None,
) -> Report:
    """Measure both directions of a run.

    A run on the built-in corpus is measured on its paired tunes, one on the user's audio on the tracks held out of
    training. All is measured on waveforms of the default synthesis route, at one loudness and by one analysis.

    Args:
        run_dir: of `train`.
        split: of the built-in corpus: validation, to choose by, or test, to report once.
        strengths: at which the conversion is measured too.
        progress: as `tqdm.tqdm`.

    Returns:
        `{"run", "trained": its provenance, "weights": their digest, "split", "classifier": {genre: share of real
        tracks recognised}, "directions": {"folk_to_jazz":
        {"songs": [...], "rows": {row: {kind: {measure: [value, low, high]}}}, "findings": [...],
        "bars": [...]}}}`, where kind is `style`, `content`, or `rearranged` or `reorchestrated`: closeness to that.
    """
    run = RunDirectory.open(run_dir)
    material = gather(run, split, progress)
    rate = run.config.audio.sample_rate
    ear = train_ear(material.training, rate, progress=progress)
    reference = {
        genre: [hear_style(track, rate, ear) for track in tracks] for genre, tracks in material.reference.items()
    }
    report: Report = {
        "run": run.path.name,
        "trained": run.history[-1] if run.history else None,
        "weights": checkpoint.digest({key: checkpoint.load_generator(run, key) for key in ("ab", "ba")}),
        "split": split if run.audio_dir is None else "held out",
        "classifier": {
            genre: float(np.mean([ear.log_odds(windows, genre).mean() > 0 for windows in tracks]))
            for genre, tracks in reference.items()
        },
        "directions": {},
    }
    for source, target in material.songs:
        report["directions"][f"{source}_to_{target}"] = _direction(
            run, source, target, material, ear, reference, strengths, progress
        )
    return report


def _direction(
    run: RunDirectory,
    source: str,
    target: str,
    material: Material,
    ear: Ear,
    reference: dict[str, Any],
    strengths: tuple[float, ...],
    progress: Progress | None,
) -> Report:
    rate = run.config.audio.sample_rate
    songs = material.songs[source, target]
    converters = make_rows(run, source, target, material, strengths)
    jobs = [(row, song) for row in converters for song in songs]
    shown = progress(jobs, desc=f"{source} to {target}", unit="song") if progress else jobs
    heard: dict[str, list[Heard]] = {row: [] for row in converters}
    for row, song in shown:
        heard[row].append(hear(converters[row](song.source), rate, ear))
    truths = {
        name: [hear(song.truths[name], rate, ear) for song in songs]
        for name in PAIRED
        if all(name in song.truths for song in songs)
    }
    judge = scores.StyleJudge(ear, source, target, reference)
    rows = {
        row: _figures(conversions, heard["untouched input"], truths, judge)
        for row, conversions in (heard | {f"true target, {name}": part for name, part in truths.items()}).items()
    }
    if not truths:
        training = [hear_style(track, rate, ear) for track in material.training[target]]
        rows["true target, training tracks"] = {"style": judge.measure(training)}
    return {
        "songs": [song.name for song in songs],
        "rows": rows,
        "findings": scores.findings(heard),
        "bars": bars(rows),
    }


def _figures(
    conversions: Sequence[Heard],
    sources: Sequence[Heard],
    truths: dict[str, list[Heard]],
    judge: scores.StyleJudge,
) -> dict[str, scores.Figures]:
    return {
        **{name: scores.closeness_figures(conversions, truth) for name, truth in truths.items()},
        "style": judge.measure([conversion.windows for conversion in conversions]),
        "content": scores.content_figures(sources, conversions),
    }
