"""Hold every setting of a run as frozen dataclasses, strict about what it reads."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints


class ConfigError(ValueError):
    """A setting that cannot work; the message says which, why, and what would."""


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """How sound becomes log-mel frames."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 1024  # samples
    hop_length: int = 252  # samples between frames
    n_mels: int = 96
    f_min: float = 0.0  # Hz
    f_max: float = 8_000.0  # Hz
    segment_seconds: float = 2.0

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
    """How tracks are divided, and made more of."""

    held_out_fraction: float = 0.1  # of each genre's tracks, never trained on
    corpus_tracks: int = 10  # training tracks a genre that the built-in corpus lends, half a minute each
    transposed: int = 0  # semitones slower and faster at which tracks train, too: 2 makes an epoch five times as long


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of the two generators and the two discriminators."""

    dimensions: int = 1  # of the convolutions: 1 over time, where mel bins are channels; 2 over time and frequency
    channels: int = 176  # of the generator's first layer; in 2-D doubled at each of two down-samplings
    residual_blocks: int = 4
    discriminator_channels: int = 128
    residual: bool = True  # the generator adds to its input instead of replacing it
    transport: int = 31  # taps of the linear map, computed from the data, that a 1-D generator begins with; 0: none


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the losses.

    CycleGAN's own 10 and 5 hold a residual generator at its start. A transport moves what is of the target already,
    so that it has no use for an identity loss.
    """

    adversarial: float = 1.0
    cycle: float = 1.0
    identity: float = 0.0
    logistic: bool = True  # in place of least squares, as adversarial loss
    gradient_penalty: float = 0.1  # R1 of the discriminators


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimisation, its length, and what it writes."""

    batch_size: int = 2  # segments of each genre in a micro-batch
    accumulation_steps: int = 1  # micro-batches in one optimizer update
    epochs: int = 60
    learning_rate: float = 4e-4
    beta1: float = 0.5
    beta2: float = 0.999
    ema_decay: float = 0.998  # per update, of the generators that convert
    seed: int = 0
    log_every: int = 10  # micro-batches
    checkpoint_every: int = 100  # micro-batches
    keep_checkpoints: int = 3


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
            ConfigError: naming the first such setting.
        """
        audio, training = self.audio, self.training
        for section in dataclasses.fields(self):
            part = getattr(self, section.name)
            for key in dataclasses.fields(part):
                _check_number(f"{section.name}.{key.name}", getattr(part, key.name))
        for name, value in {
            "audio.sample_rate": audio.sample_rate,
            "audio.n_fft": audio.n_fft,
            "audio.hop_length": audio.hop_length,
            "audio.n_mels": audio.n_mels,
            "data.corpus_tracks": self.data.corpus_tracks,
            "model.channels": self.model.channels,
            "model.residual_blocks": self.model.residual_blocks,
            "model.discriminator_channels": self.model.discriminator_channels,
            "training.batch_size": training.batch_size,
            "training.epochs": training.epochs,
            "training.accumulation_steps": training.accumulation_steps,
            "training.log_every": training.log_every,
            "training.checkpoint_every": training.checkpoint_every,
            "training.keep_checkpoints": training.keep_checkpoints,
        }.items():
            _require(value >= 1, f"{name} is {value}; it must be at least 1")
        _require(
            audio.hop_length <= audio.n_fft // 2,
            f"audio.hop_length {audio.hop_length} leaves gaps "
            f"between windows of {audio.n_fft} samples; use at most {audio.n_fft // 2}",
        )
        _require(
            audio.f_min < audio.f_max <= audio.sample_rate / 2,
            f"audio.f_min {audio.f_min} and f_max "
            f"{audio.f_max} must rise and stay below half the sample rate, {audio.sample_rate / 2}",
        )
        _require(
            audio.n_mels % 4 == 0 and audio.n_mels >= 32,
            f"audio.n_mels is {audio.n_mels}; the networks "
            "halve it several times, so it must be a multiple of 4 and at least 32",
        )
        dimensions = self.model.dimensions
        _require(dimensions in (1, 2), f"model.dimensions is {dimensions}; it must be 1 or 2")
        _require(
            audio.segment_frames >= 32,
            f"audio.segment_seconds {audio.segment_seconds} gives only "
            f"{audio.segment_frames} frames; the discriminator needs 32",
        )
        transport = self.model.transport
        _require(
            transport == 0 or (dimensions == 1 and transport % 2 == 1 and 0 < transport < audio.segment_frames),
            f"model.transport is {transport}; it must be 0, or with model.dimensions = 1 an odd number below the "
            f"{audio.segment_frames} frames of a segment",
        )
        _require(
            0 <= self.data.held_out_fraction <= 0.9,
            f"data.held_out_fraction {self.data.held_out_fraction} must lie in 0 to 0.9",
        )
        _require(
            0 <= self.data.transposed <= 12, f"data.transposed is {self.data.transposed}; it must lie in 0 to 12"
        )
        _require(training.seed >= 0, f"training.seed is {training.seed}; it must be at least 0")
        _require(training.learning_rate > 0, "training.learning_rate must be above 0")
        for name in ("beta1", "beta2", "ema_decay"):
            value = getattr(training, name)
            _require(0 <= value < 1, f"training.{name} is {value}; it must lie in 0 to 1, 1 excluded")
        for key in dataclasses.fields(self.loss):
            value = getattr(self.loss, key.name)
            _require(value >= 0, f"loss.{key.name} is {value}; a weight cannot be negative")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Per-bin level of one genre's training frames, in dB: what an equaliser would match."""

    mean: tuple[float, ...]  # [M]
    deviation: tuple[float, ...]  # [M]
    highest: tuple[float, ...]  # [M]: nothing converted to the genre is louder


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run directory says of itself in `config.json`."""

    pair: tuple[str, str]
    config: Config
    statistics: dict[str, Statistics]  # by genre
    audio_dir: str | None  # None: the built-in corpus
    provenance: dict[str, Any]


def parse_pair(pair: str) -> tuple[str, str]:
    """Split `folk_rock` into its two genres.

    Raises:
        ConfigError: unless the text is two different names joined by one underscore.
    """
    names = pair.split("_")
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ConfigError(
            f"--pair={pair!r} must be two different genre names joined by one underscore, as in "
            "folk_rock (name the folders so that they hold no underscore)"
        )
    return names[0], names[1]


def load(path: str | os.PathLike[str] | None = None, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    """Read a TOML file (None: the defaults), then apply `section.key=value` overrides.

    Raises:
        ConfigError: on an unknown section or key, a value of another type, or settings that cannot work.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for override in overrides:
        name, equals, text = override.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot):
            raise ConfigError(f"--set={override!r} must have the form section.key=value, as in training.epochs=3")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"--set={override!r}: {text!r} is not a number, true or false") from error
        tree.setdefault(section, {})[key] = value
    return from_dict(tree)


def from_dict(tree: dict[str, Any]) -> Config:
    """Build a config from `{section: {key: value}}`; what is absent takes its default.

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
            if key not in types:
                raise ConfigError(f"unknown config key {section}.{key}; there are {', '.join(types)}")
            if types[key] is float and type(value) is int:
                values = values | {key: float(value)}
            elif type(value) is not types[key]:
                raise ConfigError(f"{section}.{key} is {value!r}; it must be of type {types[key].__name__}")
        parts[section] = sections[section](**values)
    return Config(**parts)


def to_dict(config: Config) -> dict[str, dict[str, Any]]:
    """Return `{section: {key: value}}`, the inverse of `from_dict`."""
    return dataclasses.asdict(config)


def differences(old: Config, new: Config) -> list[str]:
    """Name each key whose value differs, as `section.key: old -> new`."""
    before, after = to_dict(old), to_dict(new)
    return [
        f"{section}.{key}: {value!r} -> {after[section][key]!r}"
        for section, values in before.items()
        for key, value in values.items()
        if value != after[section][key]
    ]


def write_run(run: Run, run_dir: str | os.PathLike[str]) -> None:
    """Write `config.json` into an existing run directory, whole or not at all."""
    target = Path(run_dir) / "config.json"
    temporary = target.with_name("config.json.tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(run), indent=1), encoding="utf-8")
    temporary.replace(target)


def read_run(run_dir: str | os.PathLike[str]) -> Run:
    """Read the `config.json` of a run directory.

    Raises:
        ConfigError: when there is none, or it is not one of this program's.
    """
    path = Path(run_dir) / "config.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        statistics = {
            genre: Statistics(**{name: tuple(values) for name, values in part.items()})
            for genre, part in tree["statistics"].items()
        }
        return Run(
            pair=(tree["pair"][0], tree["pair"][1]),
            config=from_dict(tree["config"]),
            statistics=statistics,
            audio_dir=tree["audio_dir"],
            provenance=tree["provenance"],
        )
    except OSError as error:
        raise ConfigError(
            f"{run_dir} is not a run directory: it has no readable config.json; "
            "train one with python -m gst_jax.train"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged or not of this program: {error!r}") from error


def cache_dir() -> Path:
    """Return where rendered audio, mels and compiled code are kept: `$GST_JAX_CACHE`, else the user's cache."""
    if chosen := os.environ.get("GST_JAX_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gst_jax"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, float):
        _require(math.isfinite(value), f"{name} is {value}; it must be a finite number")
