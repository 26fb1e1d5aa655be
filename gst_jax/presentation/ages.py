"""Keep what one song sounded like at several ages of a run, so that one hears it learn."""

from __future__ import annotations

import json
from typing import Any

from gst_jax import data
from gst_jax.conversion.translator import Translator
from gst_jax.learning import checkpoint
from gst_jax.learning.best import Best
from gst_jax.presentation.player import Version, entry
from gst_jax.presentation.sections import stored
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Array

_MOST = 7  # ages that are kept
_SECONDS = 5.0  # that are heard, at the rate and in the one channel that the run learns from: quick to make
_WITHIN = 60.0  # seconds of the track in whose middle they lie


def song(run: RunDirectory) -> Array:
    """Read the seconds of an unseen track that are converted at each age: [N] at the run's rate and level."""
    waveform = data.read_mono(data.sample_tracks(run, 1)[run.pair[0]][0], run.config.audio, _WITHIN)
    length = round(_SECONDS * run.config.audio.sample_rate)
    start = max(0, (len(waveform) - length) // 2)
    return waveform[start : start + length]


def add(run: RunDirectory, waveform: Array, generator: Any, step: int, seconds: float) -> Array:
    """Convert the song by a generator of one age, and keep that.

    Args:
        run: which learns.
        waveform: from `song`.
        generator: parameters of the run's generator "ab".
        step: micro-batches that it has seen.
        seconds: of stepping until then.

    Returns:
        The conversion, [N].
    """
    rate = run.config.audio.sample_rate
    a, b = run.pair
    made = Translator.from_run(run, b, generator)(waveform, rate)
    name, note = (f"{seconds / 60:.1f} min", f"batch {step}") if step else ("Start", "before training")
    kept = {part["step"]: part for part in stored(run.ages)}
    if not kept:
        kept[-1] = entry(Version("Original", f"{a}, as played", waveform, rate), a) | {"step": -1}
    kept[step] = entry(Version(name, note, made, rate), f"{a}_to_{b}") | {"step": step}
    best = Best(run, None).best()
    steps = spread([number for number in sorted(kept) if number >= 0], None if best is None else int(best["step"]))
    run.samples.mkdir(exist_ok=True)
    write_text(run.ages, json.dumps([kept[number] for number in [-1, *steps]]))
    return made


def add_best(run: RunDirectory) -> None:
    """Keep also what the generator that measured best makes of the song, where other ages are kept."""
    best = Best(run, None).best()
    if best is None or int(best["step"]) in [part["step"] for part in stored(run.ages)] or not run.ages.exists():
        return
    generator = checkpoint.load_generator(run, "ab")
    add(run, song(run), generator, int(best["step"]), best["seconds"])


def spread(steps: list[int], best: int | None = None) -> list[int]:
    """Choose steps that lie as evenly as those given allow, the first, the last and the best among them.

    Args:
        steps: ascending.
        best: the step to keep in any case.
    """
    steps = list(steps)
    while len(steps) > _MOST:
        places = [place for place in range(1, len(steps) - 1) if steps[place] != best]
        del steps[min(places, key=lambda place: steps[place + 1] - steps[place - 1])]
    return steps
