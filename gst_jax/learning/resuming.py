"""Tell whether a run can go on as it is asked to."""

from __future__ import annotations

import dataclasses
import os

from gst_jax import config, data
from gst_jax.config import Config
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says why, and what to do."""


# Settings that a resumed run may change: its length, and what it writes on the way.
_FREE = tuple(
    f"training.{key}"
    for key in ("epochs", "log_every", "checkpoint_every", "keep_checkpoints", "measure_every", "patience")
)


def refuse_unfit(old: RunDirectory, audio_dirs: tuple[str, ...]) -> None:
    """Raise TrainingError when a run cannot go on: an exported one, or with another number of folders of audio.

    So with the corpus or without it. Folders may have been moved: whether their audio is the same is seen once read.
    """
    if old.is_exported:
        raise TrainingError(
            f"{old.path} holds an exported run, which converts but cannot be trained, as its discriminators were "
            "left out; give another --run_dir"
        )
    if len(old.audio_dirs) != len(audio_dirs) or (data.CORPUS in old.audio_dirs) != (data.CORPUS in audio_dirs):
        options = " ".join(f"--audio_dir={place}" for place in old.audio_dirs)
        remedy = f"give {options}" if options else "leave --audio_dir out"
        raise TrainingError(f"{old.path} was trained on {data.describe(old.audio_dirs)}; {remedy} to go on")


def as_begun(old: RunDirectory | None, settings: Config, is_exact: bool) -> Config:
    """Return settings with which a run goes on as it began, where the user did not choose.

    A new one multiplies as is best on the machines that it begins on, and goes on so on others.

    Args:
        old: the run that goes on.
        settings: as asked for.
        is_exact: whether one of these machines multiplies best in float32, as all then do.
    """
    if settings.training.precision == "auto":
        precision = ("float32" if is_exact else "bfloat16") if old is None else old.config.training.precision
        settings = dataclasses.replace(settings, training=dataclasses.replace(settings.training, precision=precision))
    if old is None:
        return settings
    for section, values in config.BEFORE.items():
        ours, usual, theirs = (getattr(one, section) for one in (settings, Config(), old.config))
        kept = {
            key: value
            for key, value in values.items()
            if getattr(theirs, key) == value and getattr(ours, key) == getattr(usual, key)
        }
        settings = dataclasses.replace(settings, **{section: dataclasses.replace(ours, **kept)})
    return settings


def initial_parameters(init_from: str | os.PathLike[str], settings: Config) -> cyclegan.Parameters:
    """Load the parameters of another run, which must be of the same architecture."""
    other = RunDirectory.open(init_from)
    different = [text for text in config.differences(other.config, settings) if text.startswith(("model.", "audio."))]
    if different:
        raise TrainingError(f"--init_from={init_from} is of another model: {'; '.join(different)}")
    return checkpoint.load_parameters(other)


def refuse_other_run(old: RunDirectory, new: RunDirectory) -> None:
    """Raise TrainingError when a run is to go on with another pair, other settings or another start."""
    different = [text for text in config.differences(old.config, new.config) if not text.startswith(_FREE)]
    if old.pair != new.pair:
        different.insert(0, f"pair: {'_'.join(old.pair)} -> {'_'.join(new.pair)}")
    if new.init_from not in (None, old.init_from):
        different.append(f"init_from: {old.init_from} -> {new.init_from}")
    if different:
        raise TrainingError(
            f"{old.path} holds a run with other settings: {'; '.join(different)}. Give the old settings to go on "
            "with it, or another --run_dir to start a new one"
        )
