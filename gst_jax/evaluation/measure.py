"""Measure every method on every song of a run, in both directions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gst_jax.evaluation import scores
from gst_jax.evaluation.analysis import Analysis, analyse, embed, fit_embedding
from gst_jax.evaluation.criteria import criteria
from gst_jax.evaluation.methods import make_methods
from gst_jax.evaluation.metrics.style import StyleEmbedding
from gst_jax.evaluation.progress import shown
from gst_jax.evaluation.songs import PAIRED, Material, gather, on_corpus
from gst_jax.learning import checkpoint
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array, Progress

Report = dict[str, Any]

STRENGTHS = (0.25, 0.5, 0.75)  # of conversions between the untouched input, 0, and the full conversion, 1


@dataclass(frozen=True)
class Judge:
    """Everything by which the conversions of a run are judged."""

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


def prepare(
    run: RunDirectory,
    split: str,
    progress: Progress | None = None,
    audio_dir: str | os.PathLike[str] | None = None,
) -> Judge:
    """Gather the songs of a run and fit the embedding to judge them by; arguments as for `evaluate`."""
    material = gather(run, split, progress, audio_dir)
    rate = run.config.audio.sample_rate
    embedding = fit_embedding(material.training, rate, progress)
    reference = {
        genre: [embed(track, rate, embedding) for track in shown(tracks, progress, f"real {genre}", "track")]
        for genre, tracks in material.reference.items()
    }
    return Judge(run, material, embedding, reference)


def evaluate(
    run_dir: str | os.PathLike[str],
    split: str = "validation",
    strengths: tuple[float, ...] = STRENGTHS,
    progress: Progress | None = None,
    audio_dir: str | os.PathLike[str] | None = None,
) -> Report:
    """Measure both directions of a run.

    A run on the built-in corpus is measured on paired tunes, a run on the user's audio on the tracks held out of
    training. Conversions are made as `convert` makes them; all sounds are brought to one level and sample rate first.

    Args:
        run_dir: run directory of `train`.
        split: of the built-in corpus: validation, to choose by, or test, to report once.
        strengths: between 0 and 1, at which the conversion is measured too.
        progress: as `tqdm.tqdm`.
        audio_dir: holds a folder of other recordings for each genre; these are measured instead.

    Returns:
        `{"run": its name, "trained": provenance of its training, "weights": their digest, "split", "classifier":
        {genre: share of real tracks classified as it}, "directions": {"folk_to_jazz": {"songs": names, "methods":
        {method: {kind: {measure: [value, low, high]}}}, "findings": sentences, "criteria": Criterion tuples}}}`.
        A kind is `style`, `content` or, for closeness to these truths, `rearranged` or `reorchestrated`.
    """
    run = RunDirectory.open(run_dir)
    judge = prepare(run, split, progress, audio_dir)
    return {
        "run": run.path.name,
        "trained": run.history[-1] if run.history else None,
        "weights": checkpoint.digest({key: checkpoint.load_generator(run, key) for key in ("ab", "ba")}),
        "split": str(audio_dir) if audio_dir is not None else split if on_corpus(run) else "held out",
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
    for name, song in shown(jobs, progress, f"{source} to {target}", "song"):
        made[name].append(judge.analyse(converters[name](song.source)))
    truths = {
        name: [judge.analyse(song.truths[name]) for song in shown(songs, progress, f"true {target}", "song")]
        for name in PAIRED
        if all(name in song.truths for song in songs)
    }
    style = scores.StyleJudge(judge.embedding, source, target, judge.reference)
    everything = made | {f"true target, {name}": part for name, part in truths.items()}
    methods = {
        name: _figures(everything[name], made["untouched input"], truths, style)
        for name in shown(list(everything), progress, "figures", "method")
    }
    if not truths:
        tracks = shown(judge.material.training[target], progress, f"true {target}", "track")
        methods["true target, training tracks"] = {"style": style.measure([judge.embed(track) for track in tracks])}
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
    style: scores.StyleJudge,
) -> dict[str, scores.Figures]:
    """Measure what one method made of the songs: closeness to each truth, style and content."""
    return {
        **{name: scores.closeness_figures(conversions, truth) for name, truth in truths.items()},
        "style": style.measure([conversion.windows for conversion in conversions]),
        "content": scores.content_figures(sources, conversions),
    }
