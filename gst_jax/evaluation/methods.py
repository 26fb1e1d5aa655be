"""Make the methods of an evaluation: the trained generator and the rivals that it has to beat."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from gst_jax.conversion.synthesis import DEFAULT_ROUTE
from gst_jax.evaluation import rivals
from gst_jax.evaluation.songs import Material
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array

if TYPE_CHECKING:
    from gst_jax.conversion.translator import Translator

Method = Callable[[Array], Array]  # a conversion of one waveform at the run's sample rate, [N] -> [N]
LogMels = Callable[[Array], Array]  # in dB, [T, M] -> [T, M]


def make_methods(
    run: RunDirectory,
    source: str,
    target: str,
    material: Material,
    strengths: tuple[float, ...] = (),
) -> dict[str, Method]:
    """Return the methods by name; those that make log-mels turn them into sound by the same synthesis route.

    What takes a moment to prepare is prepared by the first conversion, so that a progress bar can show it.

    Args:
        run: whose generator is measured.
        source: the genre of what is converted.
        target: the genre that it is converted to.
        material: of the run.
        strengths: between 0 and 1, at which the conversion is measured too, as `conversion at 0.5`.
    """
    from gst_jax.conversion.translator import Translator

    audio = run.config.audio
    before, after = run.statistics[source], run.statistics[target]

    @functools.cache
    def palette() -> rivals.Palette:
        return rivals.make_palette(material.training[target], audio)

    @functools.cache
    def beginning() -> Translator:
        return dataclasses.replace(trained, generator=untrained(run, source, target))

    def through(translator: Translator, strength: float = 1.0, route: str = DEFAULT_ROUTE) -> Method:
        return lambda waveform: translator(waveform, audio.sample_rate, strength, route)

    trained = Translator.from_run(run, to=target)
    equalised = dataclasses.replace(trained, generator=equaliser(run, source, target))
    return {
        "conversion": through(trained),
        "untouched input": lambda waveform: waveform,
        "equaliser": through(equalised),
        "equaliser, a filter alone": through(equalised, route="gain"),
        "musaicing": lambda waveform: rivals.musaicing(waveform, before, after, palette(), audio),
        "distortion": lambda waveform: rivals.distortion(waveform, after, audio, trained.fine_structure),
        "untrained generator": lambda waveform: through(beginning())(waveform),
        **{f"conversion at {strength:g}": through(trained, strength) for strength in strengths},
    }


def equaliser(run: RunDirectory, source: str, target: str) -> LogMels:
    """Return what learns nothing but two genres' levels: log-mels in dB [T, M] -> [T, M]."""
    before, after = run.statistics[source], run.statistics[target]
    return lambda log_mel: rivals.equalise(log_mel, before, after)


def untrained(run: RunDirectory, source: str, target: str) -> LogMels:
    """Return the generator with which the run's training began: log-mels in dB [T, M] -> [T, M]."""
    from gst_jax.conversion.translator import compiled
    from gst_jax.learning import checkpoint, cyclegan
    from gst_jax.learning.models import TRANSPORT

    direction = "ab" if (source, target) == run.pair else "ba"
    generator = cyclegan.init_parameters(run.config)["generator"][direction]
    trained = checkpoint.load_generator(run, direction)
    kept = {TRANSPORT: trained[TRANSPORT]} if TRANSPORT in trained else {}  # training leaves it as it was
    return compiled(generator | kept, run, source, target)
