"""Measure a trained run beside the trivial methods that it has to beat."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gst_jax import audio as sound
from gst_jax import corpus, rivals
from gst_jax.config import AudioConfig, ConfigError, Run, read_run
from gst_jax.metrics import bootstrap, closeness

Array = NDArray[np.float32]
Row = Callable[[Array], Array]  # a conversion of one waveform, [N] -> [N]
Report = dict[str, Any]

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Song:
    """A source track with the arrangement that a perfect conversion would give."""

    name: str
    source: Array  # [N]
    truth: Array  # [N]


def evaluate(
    run_dir: str | os.PathLike[str], split: str = "validation", progress: Callable[..., Any] | None = None
) -> Report:
    """Measure both directions of a run on the paired set of the built-in corpus.

    Args:
        run_dir: of `train`.
        split: validation, to choose by, or test, to report once.
        progress: as `tqdm.tqdm`.

    Returns:
        `{direction: {set: {"songs": n, "rows": {row: {measure: [value, low, high]}}}}}`.
    """
    run = read_run(run_dir)
    report: Report = {}
    for source, target in (run.pair, run.pair[::-1]):
        direction = report.setdefault(f"{source}_to_{target}", {})
        converters = rows(run_dir, run, source, target)
        for name, songs in paired_songs(run, split, source, target).items():
            direction[name] = {"songs": len(songs), "rows": {}}
            label = f"{source} to {target}, {name}"
            for row in _track(progress, converters, desc=label, unit="row"):
                figures = [_closeness(converters[row](song.source), song.truth, run.config.audio) for song in songs]
                direction[name]["rows"][row] = {
                    measure: bootstrap.mean([figure[measure] for figure in figures]) for measure in figures[0]
                }
    return report


def rows(run_dir: str | os.PathLike[str], run: Run, source: str, target: str) -> dict[str, Row]:
    """Return the conversion with its rivals, by name; all work on waveforms at the run's sample rate.

    Whatever is made as a log-mel becomes sound by the one default route, so that the route favours none.
    """
    from gst_jax.inference import Translator

    audio = run.config.audio
    before, after = run.statistics[source], run.statistics[target]

    def through(translator: Translator) -> Row:
        return lambda waveform: translator(waveform, audio.sample_rate)

    return {
        "conversion": through(Translator.from_run(run_dir, to=target)),
        "untouched input": lambda waveform: waveform,
        "equaliser": through(Translator(audio, lambda log_mel: rivals.equalise(log_mel, before, after))),
        "untrained generator": through(Translator(audio, _untrained(run, source, target))),
    }


def _untrained(run: Run, source: str, target: str) -> Callable[[Array], Array]:
    """Return what the run's generator did before its first step: log-mels in dB [T, M] -> [T, M]."""
    import jax

    from gst_jax import cyclegan

    parameters = cyclegan.init_state(run.config).ema["ab" if (source, target) == run.pair else "ba"]
    translate = jax.jit(lambda standard: cyclegan.translate(parameters, run.config.model, standard[None])[0])
    mean, deviation, new_mean, new_deviation = (
        np.asarray(values, np.float32)
        for part in (run.statistics[source], run.statistics[target])
        for values in (part.mean, part.deviation)
    )

    def convert(log_mel: Array) -> Array:
        return np.asarray(translate((log_mel - mean) / deviation)) * new_deviation + new_mean

    return convert


def paired_songs(run: Run, split: str, source: str, target: str) -> dict[str, list[Song]]:
    """Read the paired tunes of a split: `{"rearranged": [...], "reorchestrated": [...]}`.

    Raises:
        ConfigError: when the split or a genre of the pair is not in the built-in corpus.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    root = corpus.build(corpus.default_directory()) / "paired" / split
    origin = root / "rearranged" / source
    truths = {
        "rearranged": root / "rearranged" / target,
        "reorchestrated": root / "reorchestrated" / f"{source}_as_{target}",
    }
    songs = {}
    for name, folder in truths.items():
        if folder.is_dir():
            songs[name] = [
                Song(path.stem, *_read_pair(origin / path.name, path, run.config.audio))
                for path in sound.find_audio(folder)
            ]
    if not songs:
        raise ConfigError(f"the built-in corpus has no {source} beside {target}; evaluate this run on its own tracks")
    return songs


def _read_pair(source: Path, truth: Path, audio: AudioConfig) -> tuple[Array, Array]:
    one, other = read_mono(source, audio), read_mono(truth, audio)
    length = min(len(one), len(other))
    return one[:length], other[:length]


def read_mono(path: Path, audio: AudioConfig) -> Array:
    """Read a file as one channel at the model's sample rate, [N]."""
    file = sound.read_wave(path)
    return sound.resample(sound.mono(file.samples), file.sample_rate, audio.sample_rate)


def _closeness(waveform: Array, truth: Array, audio: AudioConfig) -> dict[str, float]:
    log_mel, log_mel_truth = sound.log_mel(waveform, audio), sound.log_mel(truth, audio)
    return {
        "log-mel distance (dB)": closeness.log_mel_distance(log_mel, log_mel_truth),
        "log-spectral distance (dB)": closeness.log_spectral_distance(
            sound.stft(waveform, audio), sound.stft(truth, audio)
        ),
        "MFCC distance": closeness.mfcc_distance(log_mel, log_mel_truth),
    }


def _track(progress: Callable[..., Any] | None, items: Any, **labels: Any) -> Any:
    return items if progress is None else progress(items, **labels)


def table(report: Report) -> str:
    """Lay the figures out as text, one row a method: value [low, high]."""
    lines = []
    for direction, sets in report.items():
        for name, part in sets.items():
            measures = list(next(iter(part["rows"].values())))
            lines += ["", f"{direction.replace('_', ' ')}, {name} ({part['songs']} songs)"]
            lines.append(f"{'':22}" + "".join(f"{measure:>28}" for measure in measures))
            for row, figures in part["rows"].items():
                cells = ("{:.2f} [{:.2f}, {:.2f}]".format(*figures[measure]) for measure in measures)
                lines.append(f"{row:22}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines)


def write_json(report: Report, provenance: dict[str, Any], path: Path) -> None:
    """Write the figures with where they come from, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps({"provenance": provenance, "directions": report}, indent=1), encoding="utf-8")
    temporary.replace(path)
