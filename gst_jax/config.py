"""Every setting of a run, with its default and its range; a file or flag that does not fit is refused."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from gst_jax import bundled

ARCHITECTURES = ("frames", "pictures")
ADVERSARIAL_LOSSES = ("logistic", "least_squares")
PRECISIONS = ("auto", "float32", "bfloat16")

_RANGES = {
    "audio.sample_rate": (8_000, 192_000),  # Hz, as of the files that can be read
    "audio.n_fft": (32, 65_536),
    "audio.hop_length": (1, math.inf),
    "audio.n_mels": (32, math.inf),
    "data.held_out_fraction": (0, 0.9),
    "data.corpus_tracks": (1, math.inf),
    "data.speed_semitones": (0, 12),
    "data.disturbance": (0, 1),
    "model.song_share": (0, 1),
    "model.channels": (1, math.inf),
    "model.residual_blocks": (1, math.inf),
    "model.discriminator_channels": (1, math.inf),
    "training.batch_size": (1, math.inf),
    "training.accumulation_steps": (1, math.inf),
    "training.epochs": (1, math.inf),
    "training.log_every": (1, math.inf),
    "training.checkpoint_every": (1, math.inf),
    "training.keep_checkpoints": (1, math.inf),
    "training.measure_every": (1, math.inf),
    "training.seed": (0, 2**32 - 1),
}
# The former names of settings with the present ones, and the former values that are words now.
_RENAMED: dict[str, tuple[str, dict[Any, str]]] = {
    "data.transposed": ("data.speed_semitones", {}),
    "model.dimensions": ("model.architecture", {1: "frames", 2: "pictures"}),
    "model.transport": ("model.transport_taps", {}),
    "loss.logistic": ("loss.adversarial_loss", {True: "logistic", False: "least_squares"}),
}
# What held before there was such a setting, of each section.
BEFORE: Any = {"model": {"song_share": 0.0}, "data": {"disturbance": 0.0}, "training": {"precision": "float32"}}
_SEPARATORS = frozenset("/\\")  # of folders, in paths


class ConfigError(ValueError):
    """A setting that cannot work; the message names it, says why, and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How sound becomes log-mel frames."""

    sample_rate: int = 16_000  # Hz; all audio is resampled to it
    n_fft: int = 1024  # samples in the window of a frame
    hop_length: int = 252  # samples from one frame to the next
    n_mels: int = 96  # mel bands in a frame
    f_min: float = 0.0  # Hz, where the lowest band begins
    f_max: float = 8_000.0  # Hz, where the highest band ends
    segment_seconds: float = 2.0  # length of the pieces that the networks train on

    @property
    def segment_frames(self) -> int:
        """Frames in one training segment: 126 for 2.0 s at 16 kHz with hop 252."""
        return int(self.segment_seconds * self.sample_rate) // self.hop_length

    @property
    def frames_per_second(self) -> float:
        """Log-mel frames in one second of sound."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which tracks train."""

    held_out_fraction: float = 0.1  # share of each genre's tracks that is kept from training, to test on
    corpus_tracks: int = 10  # training tracks per genre from the built-in corpus, half a minute each
    skip_damaged: bool = False  # train without files that cannot be read, instead of naming them and stopping
    speed_semitones: int = 0  # also train on copies played faster and slower, each semitone up to so many
    disturbance: float = 1.0  # how much what the generators convert in training is filtered, blurred and muddied


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of the two generators and the two discriminators."""

    architecture: str = "frames"  # convolutions over time, with mel bins as channels; "pictures": over both
    channels: int = 176  # of the generator's first layer; with "pictures", later layers have up to four times as many
    residual_blocks: int = 4  # of the generator
    discriminator_channels: int = 128  # of its first layer
    residual: bool = True  # the generator's output is added to its input, instead of replacing it
    transport_taps: int = 31  # length in frames of the linear map, computed from the audio, that comes first; 0: none
    song_share: float = 0.6  # of a song's own levels in those by which it is standardised; the others are its genre's


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the losses.

    CycleGAN's own weights, 10 for cycle and 5 for identity, would keep a residual generator where it begins. An
    identity loss asks the generator to leave music of the target genre as it is; but with `model.transport_taps` it
    begins as a map that changes such music, too.
    """

    adversarial: float = 1.0  # a conversion shall pass for a real piece
    cycle: float = 1.0  # converting there and back shall give the original
    identity: float = 0.0  # music of the target genre shall stay as it is
    adversarial_loss: str = "logistic"  # or "least_squares"
    gradient_penalty: float = 0.1  # R1: a discriminator shall not be steep at real pieces


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the networks are optimised, for how long, and what is written meanwhile."""

    batch_size: int = 2  # segments of each genre in a micro-batch
    accumulation_steps: int = 1  # micro-batches whose gradients are averaged for one update
    epochs: int = 40  # in each, every segment of the larger genre is seen once
    learning_rate: float = 4e-4  # of Adam
    beta1: float = 0.5  # of Adam
    beta2: float = 0.999  # of Adam
    ema_decay: float = 0.998  # per update; conversions use this moving average of the generators
    precision: str = "auto"  # in which frame networks multiply: float32, bfloat16, or what is faster here
    seed: int = 0  # of the first parameters and the order of segments
    log_every: int = 10  # micro-batches between lines of the log
    checkpoint_every: int = 200  # micro-batches between checkpoints
    keep_checkpoints: int = 3  # how many of the last checkpoints are kept
    measure_every: int = 400  # micro-batches between measurements of held-out music; the best generators convert
    patience: int = 8  # measurements without a better one after which training ends; 0: it never does


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a run."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            ConfigError: naming the first of them.
        """
        _check_ranges(self)
        _check_audio(self.audio)
        _check_model(self.model, self.audio)
        _require_one_of(self.loss.adversarial_loss, ADVERSARIAL_LOSSES, "loss.adversarial_loss")
        _require_one_of(self.training.precision, PRECISIONS, "training.precision")
        fits = self.training.precision != "bfloat16" or self.model.architecture == "frames"
        _require(fits, 'training.precision = "bfloat16" needs model.architecture = "frames"; take "float32"')
        _require(self.training.learning_rate > 0, "training.learning_rate must be above 0")


def _check_ranges(settings: Config) -> None:
    """Refuse numbers that are not finite or out of their range, which is from 0 up where `_RANGES` has none."""
    for section in dataclasses.fields(settings):
        part = getattr(settings, section.name)
        for key in dataclasses.fields(part):
            name, value = f"{section.name}.{key.name}", getattr(part, key.name)
            if isinstance(value, str):
                continue
            _require(math.isfinite(value), f"{name} is {value}; it must be a finite number")
            low, high = _RANGES.get(name, (0, math.inf))
            _require(value >= low, f"{name} is {value}; it must be at least {low}")
            _require(value <= high, f"{name} is {value}; it must be at most {high}")
    for name in ("beta1", "beta2", "ema_decay"):
        value = getattr(settings.training, name)
        _require(value < 1, f"training.{name} is {value}; it must be from 0 to 1, 1 excluded")


def _check_audio(audio: AudioConfig) -> None:
    _require(
        audio.hop_length <= audio.n_fft // 2,
        f"audio.hop_length {audio.hop_length} leaves gaps between windows of {audio.n_fft} samples; use at most "
        f"{audio.n_fft // 2}",
    )
    _require(
        audio.f_min < audio.f_max <= audio.sample_rate / 2,
        f"audio.f_min {audio.f_min} and f_max {audio.f_max} must rise, to half the sample rate at most, which "
        f"is {audio.sample_rate / 2}",
    )
    _require(
        audio.n_mels % 4 == 0,
        f"audio.n_mels is {audio.n_mels}; the networks halve it twice, so it must be a multiple of 4",
    )
    _require(
        audio.segment_frames >= 32,
        f"audio.segment_seconds {audio.segment_seconds} gives only {audio.segment_frames} frames; the discriminator "
        "needs 32",
    )


def _check_model(model: ModelConfig, audio: AudioConfig) -> None:
    _require_one_of(model.architecture, ARCHITECTURES, "model.architecture")
    taps = model.transport_taps
    fits = model.architecture == "frames" and taps % 2 == 1 and taps < audio.segment_frames
    _require(
        taps == 0 or fits,
        f'model.transport_taps is {taps}; it must be 0, or with model.architecture = "frames" an odd number below '
        f"the {audio.segment_frames} frames of a segment",
    )


def parse_pair(pair: str, genres: Collection[str] = ()) -> tuple[str, str]:
    """Split the name of a pair, such as `folk_rock`, into its two genres.

    Args:
        pair: two different names joined by an underscore.
        genres: the names that there are, where that is known; these may hold underscores themselves.

    Raises:
        ConfigError: when the name cannot be split, or in more than one way.
    """
    parts = pair.split("_")
    splits = [("_".join(parts[:place]), "_".join(parts[place:])) for place in range(1, len(parts))]
    splits = [(a, b) for a, b in splits if a and b and a != b and not _SEPARATORS & {*a, *b}]
    known = [split for split in splits if split[0] in genres and split[1] in genres]
    if len(known) > 1:
        ways = " or ".join(f"{a} and {b}" for a, b in known)
        raise ConfigError(f"--pair={pair!r} can mean {ways}; rename a folder")
    if known or len(splits) == 1:
        return (known or splits)[0]
    there = f", of {', '.join(sorted(genres)[:12])}{' ...' if len(genres) > 12 else ''}" if genres else ""
    raise ConfigError(f"--pair={pair!r} must be two different genre names joined by an underscore{there}")


def load(path: str | os.PathLike[str] | None = None, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    """Read a TOML file (None: the defaults), by path or bundled name, then apply `section.key=value` overrides.

    Raises:
        ConfigError: on an unknown section or key, a value of another type, or settings that cannot work.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        known = bundled("configs")
        file = Path(path) if Path(path).exists() else known.get(os.fspath(path), Path(path))
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8-sig"))  # editors on Windows begin a file with a mark
        except OSError as error:
            names = ", ".join(known)
            raise ConfigError(f"cannot read the config {path}: {error.strerror}; bundled: {names}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not text in UTF-8; save it again in that encoding") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        name, equals, text = override.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot):
            raise ConfigError(f"--set={override!r} must have the form section.key=value, as in training.epochs=3")
        values = tree.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"config section {section!r} must hold keys, not {values!r}")
        values[key] = _parse_value(section, key, text)
    return from_dict(tree)


def _parse_value(section: str, key: str, text: str) -> Any:
    """Read the value of an override as TOML, though words need no quotes."""
    sections = get_type_hints(Config)
    if section in sections and get_type_hints(sections[section]).get(key) is str:
        return text.strip("\"'")
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set={section}.{key}={text}: {text!r} is not a number, true or false") from error


def from_dict(tree: dict[str, Any]) -> Config:
    """Build settings from `{section: {key: value}}`; what is absent takes its default.

    Raises:
        ConfigError: as `load`.
    """
    sections = get_type_hints(Config)
    parts = {}
    for section, values in tree.items():
        if section not in sections:
            raise ConfigError(f"unknown config section {section!r}; there are {', '.join(sections)}")
        if not isinstance(values, dict):
            raise ConfigError(f"config section {section!r} must hold keys, not {values!r}")
        types = get_type_hints(sections[section])
        for key, value in values.items():
            if renamed := _RENAMED.get(f"{section}.{key}"):
                raise ConfigError(f"{section}.{key} is now {renamed[0]}: write {renamed[0]}={_new(renamed, value)}")
            if key not in types:
                raise ConfigError(f"unknown config key {section}.{key}; there are {', '.join(types)}")
            if types[key] is float and type(value) is int:
                values = values | {key: float(value)}
            elif type(value) is not types[key]:
                raise ConfigError(f"{section}.{key} is {value!r}; it must be of type {types[key].__name__}")
        parts[section] = sections[section](**values)
    return Config(**parts)


def upgraded(tree: dict[str, Any]) -> dict[str, Any]:
    """Give `{section: {key: value}}`, as an earlier version recorded it, the present names and values."""
    result: dict[str, Any] = {}
    for section, values in tree.items():
        for key, value in values.items():
            name = f"{section}.{key}"
            new = _RENAMED.get(name, (name, {}))
            new_section, _, new_key = new[0].partition(".")
            result.setdefault(new_section, {})[new_key] = _new(new, value)
    for section, values in BEFORE.items():
        result[section] = values | result.get(section, {})
    return result


def _new(renamed: tuple[str, dict[Any, str]], value: Any) -> Any:
    """Return the present value of a setting of `_RENAMED` for a former one."""
    return renamed[1].get(value, value) if isinstance(value, int) else value


def to_dict(settings: Config) -> dict[str, dict[str, Any]]:
    """Return settings as `{section: {key: value}}`, which `from_dict` reads."""
    return dataclasses.asdict(settings)


def differences(old: Config, new: Config) -> list[str]:
    """List the settings that differ, each as `section.key: old -> new`."""
    before, after = to_dict(old), to_dict(new)
    return [
        f"{section}.{key}: {value!r} -> {after[section][key]!r}"
        for section, values in before.items()
        for key, value in values.items()
        if value != after[section][key]
    ]


def _require_one_of(value: str, choices: tuple[str, ...], name: str) -> None:
    _require(value in choices, f"{name} is {value!r}; it must be {' or '.join(choices)}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
