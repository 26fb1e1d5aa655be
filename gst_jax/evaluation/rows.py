"""Line up a trained generator beside the rivals that it has to beat."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gst_jax.config import Run
from gst_jax.evaluation import rivals
from gst_jax.synthesis import DEFAULT_ROUTE

if TYPE_CHECKING:
    from gst_jax.inference import Translator

Array = NDArray[np.float32]
Row = Callable[[Array], Array]  # a conversion of one waveform at the run's sample rate, [N] -> [N]


def make_rows(
    run_dir: str | os.PathLike[str],
    run: Run,
    source: str,
    target: str,
    training: dict[str, list[Array]],
    strengths: tuple[float, ...] = (),
) -> dict[str, Row]:
    """Return the methods by name; what is made as a log-mel becomes sound by one route, filled alike.

    Args:
        run_dir: of the run.
        run: its settings.
        source: the genre that goes in.
        target: the genre that comes out.
        training: waveforms [N] of the target's training tracks, under its name.
        strengths: at which the conversion is measured too, as `conversion at 0.5`.
    """
    from gst_jax.inference import Translator

    audio = run.config.audio
    before, after = run.statistics[source], run.statistics[target]
    palette = rivals.make_palette(training[target], audio)

    def through(translator: Translator, strength: float = 1.0, route: str = DEFAULT_ROUTE) -> Row:
        return lambda waveform: translator(waveform, audio.sample_rate, strength, route)

    trained = Translator.from_run(run_dir, to=target)
    equaliser = dataclasses.replace(trained, generator=lambda log_mel: rivals.equalise(log_mel, before, after))
    untrained = dataclasses.replace(trained, generator=_untrained(run, source, target))
    return {
        "conversion": through(trained),
        "untouched input": lambda waveform: waveform,
        "equaliser": through(equaliser),
        "equaliser, a filter alone": through(equaliser, route="gain"),
        "musaicing": lambda waveform: rivals.musaicing(waveform, before, after, palette, audio),
        "distortion": lambda waveform: rivals.distortion(waveform, after, audio, trained.fine_structure),
        "untrained generator": through(untrained),
        **{f"conversion at {strength:g}": through(trained, strength) for strength in strengths},
    }


def _untrained(run: Run, source: str, target: str) -> Callable[[Array], Array]:
    """Return what the run's generator did before its first step: log-mels in dB [T, M] -> [T, M]."""
    from gst_jax import cyclegan, data, inference, transport

    generators = cyclegan.init_parameters(run.config)["generator"]
    generators = transport.begin(generators, *data.load_pair(run.pair, run.audio_dir, run.config))
    return inference.compiled(generators["ab" if (source, target) == run.pair else "ba"], run, source, target)
