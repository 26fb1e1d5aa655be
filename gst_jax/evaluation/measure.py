"""Run every method over every song of a run, in both directions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from gst_jax.evaluation import scores
from gst_jax.evaluation.analysis import Analysis, analyse, embed, fit_embedding
from gst_jax.evaluation.criteria import criteria
from gst_jax.evaluation.methods import make_methods
from gst_jax.evaluation.metrics.style import StyleEmbedding
from gst_jax.evaluation.songs import PAIRED, Material, gather
from gst_jax.learning import checkpoint
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array, Progress

Report = dict[str, Any]
Item = TypeVar("Item")

STRENGTHS = (0.25, 0.5, 0.75)  # between the untouched input and the conversion


@dataclass(frozen=True)
class Judge:
    """What conversions of a run are judged by."""

    run: RunDirectory
    material: Material
    embedding: StyleEmbedding
    reference: dict[str, list[Array]]  # by genre: real tracks in the embedding, [W_i, K] each

    def analyse(self, waveform: Array) -> Analysis:
        """Analyse a waveform [N] at the run's sample rate."""
        return analyse(waveform, self.run.config.audio.sample_rate, self.embedding)

    def embed(self, waveform: Array) -> Array:
        """Place the windows of a waveform [N] at the run's sample rate in the embedding, [W, K]."""
        return embed(waveform, self.run.config.audio.sample_rate, self.embedding)


def prepare(run: RunDirectory, split: str, progress: Progress | None = None) -> Judge:
    """Gather what a run is measured on, and fit what it is measured by; arguments as for `evaluate`."""
    material = gather(run, split, progress)
    rate = run.config.audio.sample_rate
    embedding = fit_embedding(material.training, rate, progress)
    reference = {
        genre: [embed(track, rate, embedding) for track in _shown(tracks, progress, f"real {genre}", "track")]
        for genre, tracks in material.reference.items()
    }
    return Judge(run, material, embedding, reference)


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
        tracks recognised}, "directions": {"folk_to_jazz": {"songs": [...], "methods": {method: {kind: {measure:
        [value, low, high]}}}, "findings": [...], "criteria": [...]}}}`, where kind is `style`, `content`, or
        `rearranged` or `reorchestrated`: closeness to that.
    """
    run = RunDirectory.open(run_dir)
    judge = prepare(run, split, progress)
    return {
        "run": run.path.name,
        "trained": run.history[-1] if run.history else None,
        "weights": checkpoint.digest({key: checkpoint.load_generator(run, key) for key in ("ab", "ba")}),
        "split": split if run.audio_dir is None else "held out",
        "classifier": {
            genre: float(np.mean([judge.embedding.log_odds(windows, genre).mean() > 0 for windows in tracks]))
            for genre, tracks in judge.reference.items()
        },
        "directions": {
            f"{source}_to_{target}": _direction(judge, source, target, strengths, progress)
            for source, target in judge.material.songs
        },
    }


def _direction(
    judge: Judge, source: str, target: str, strengths: tuple[float, ...], progress: Progress | None
) -> Report:
    """Measure every method in one direction."""
    songs = judge.material.songs[source, target]
    converters = make_methods(judge.run, source, target, judge.material, strengths)
    jobs = [(name, song) for name in converters for song in songs]
    made: dict[str, list[Analysis]] = {name: [] for name in converters}
    for name, song in _shown(jobs, progress, f"{source} to {target}", "song"):
        made[name].append(judge.analyse(converters[name](song.source)))
    truths = {
        name: [judge.analyse(song.truths[name]) for song in _shown(songs, progress, f"true {target}", "song")]
        for name in PAIRED
        if all(name in song.truths for song in songs)
    }
    style = scores.StyleJudge(judge.embedding, source, target, judge.reference)
    everything = made | {f"true target, {name}": part for name, part in truths.items()}
    methods = {
        name: _figures(conversions, made["untouched input"], truths, style)
        for name, conversions in everything.items()
    }
    if not truths:
        training = [judge.embed(track) for track in judge.material.training[target]]
        methods["true target, training tracks"] = {"style": style.measure(training)}
    return {
        "songs": [song.name for song in songs],
        "methods": methods,
        "findings": scores.findings(made),
        "criteria": criteria(methods),
    }


def _figures(
    conversions: Sequence[Analysis],
    sources: Sequence[Analysis],
    truths: dict[str, list[Analysis]],
    judge: scores.StyleJudge,
) -> dict[str, scores.Figures]:
    """Measure the conversions of one method: closeness to each truth, style and content."""
    return {
        **{name: scores.closeness_figures(conversions, truth) for name, truth in truths.items()},
        "style": judge.measure([conversion.windows for conversion in conversions]),
        "content": scores.content_figures(sources, conversions),
    }


def _shown(items: Sequence[Item], progress: Progress | None, what: str, unit: str) -> Iterable[Item]:
    """Show how a long part goes."""
    return items if progress is None else progress(items, desc=what, unit=unit)
