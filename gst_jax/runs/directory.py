"""Name, read and write what a run directory holds besides its checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from gst_jax import bundled, config
from gst_jax.config import Config, ConfigError
from gst_jax.runs import seals
from gst_jax.runs.arrays import read_arrays
from gst_jax.runs.atomic import replacing, sweep, write_text
from gst_jax.types import Array

# What reading a file as if it were a run's config.json raises where it is none.
_NOT_OURS = (seals.DamagedError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError)
_SETTINGS = "config.json"


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Per-bin level of one genre's training frames, in dB: what an equaliser would match."""

    mean: tuple[float, ...]  # [M]
    deviation: tuple[float, ...]  # [M]
    highest: tuple[float, ...]  # [M]: nothing converted to the genre is louder


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """A run: what its `config.json` says, and where each of its files lies."""

    path: Path
    pair: tuple[str, str]
    config: Config
    statistics: dict[str, Statistics]  # by genre
    audio_dirs: tuple[str, ...] = ()  # from `data.find_audio_dirs`; none: the built-in corpus alone
    init_from: str | None = None  # the run directory that its first parameters came from
    history: tuple[dict[str, Any], ...] = ()  # the provenance of each call that trained it

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """Read a run directory, found by its path or, where there is no such path, by the name of a bundled run.

        Raises:
            ConfigError: when there is none, or its `config.json` is not one of this program's.
        """
        runs = bundled("pretrained")
        if not Path(path).exists():
            path = runs.get(os.fspath(path), path)
        file = Path(path, _SETTINGS)
        try:
            tree = seals.unsealed(file.read_text(encoding="utf-8"))
            provenance = tree["provenance"]
            return cls(
                path=Path(path),
                pair=(_genre(tree["pair"][0]), _genre(tree["pair"][1])),
                config=config.from_dict(config.upgraded(tree["config"])),
                statistics={
                    genre: Statistics(**{name: tuple(values) for name, values in part.items()})
                    for genre, part in tree["statistics"].items()
                },
                audio_dirs=_audio_dirs(tree),
                init_from=tree.get("init_from"),
                history=tuple(provenance) if isinstance(provenance, list) else (provenance,),  # one, until 0.1
            )
        except OSError as error:
            raise ConfigError(
                f"{path} is not a run directory: it has no readable {_SETTINGS}; train one with gst_jax train, or "
                f"take a bundled one: {', '.join(runs)}"
            ) from error
        except _NOT_OURS as error:
            raise ConfigError(f"{file} is damaged or not of this program: {error!r}; put a copy back") from error

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Tell whether a folder is a run directory."""
        return Path(path, _SETTINGS).exists()

    def write(self) -> None:
        """Write `config.json` into the folder, which must exist."""
        tree = {
            "pair": self.pair,
            "config": config.to_dict(self.config),
            "statistics": {genre: dataclasses.asdict(part) for genre, part in self.statistics.items()},
            "audio_dirs": self.audio_dirs,
            "init_from": self.init_from,
            "provenance": self.history,
        }
        write_text(self.path / _SETTINGS, json.dumps(seals.sealed(tree), indent=1))

    def sweep(self) -> None:
        """Remove what processes that were killed left half-written in it."""
        for folder in (self.path, *self.path.rglob("*/")):
            sweep(folder)

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, absolute, as Orbax wants it."""
        return (self.path / "checkpoints").resolve()

    @property
    def damaged(self) -> Path:
        """The folder that damaged checkpoints are moved to."""
        return (self.path / "damaged").resolve()

    @property
    def generators(self) -> Path:
        """Both averaged generators, in place of checkpoints: what an exported run holds."""
        return self.path / "generators.npz"

    @property
    def best(self) -> Path:
        """Both averaged generators as they were when they measured best; these convert."""
        return self.path / "best.npz"

    @property
    def measures(self) -> Path:
        """What was measured while training, a line of JSON each."""
        return self.path / "measures.jsonl"

    @property
    def is_exported(self) -> bool:
        """Whether it only converts, since it holds generators in place of checkpoints."""
        return self.generators.exists() and not self.checkpoints.exists()

    @property
    def is_bundled(self) -> bool:
        """Whether it came with the package, where nothing is to be written."""
        return self.path in bundled("pretrained").values()

    @property
    def log(self) -> Path:
        """The losses, a line of JSON for each `training.log_every` micro-batches."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """How the last call that trained it ended."""
        return self.path / "summary.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.path / ".lock"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def samples(self) -> Path:
        """The folder of sounds that the report plays."""
        return self.path / "audio_samples"

    @property
    def players(self) -> Path:
        """The songs that the report plays, as its players take them."""
        return self.samples / "players.json"

    @property
    def ages(self) -> Path:
        """The same song as the run converted it at several ages, as the report's players take it."""
        return self.samples / "ages.json"

    @staticmethod
    def board(path: str | os.PathLike[str]) -> Path:
        """Return the folder, of a run that may not exist yet, that TensorBoard shows."""
        return Path(path, "tensorboard")

    @property
    def pictures(self) -> Path:
        """The folder of pictures that the report shows."""
        return self.path / "visualizations"

    def write_fine_structures(self, maps: Sequence[Array]) -> None:
        """Keep the fine structures [M + 1, F] of the pair's two genres, from `sound.fine_structure.Fit`."""
        with replacing(self._fine_structures) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, *maps)

    def read_fine_structures(self) -> tuple[Array, Array]:
        """Return the fine structures [M + 1, F] of the two genres, in the order of the pair.

        Raises:
            ConfigError: when there are none, or they are damaged.
        """
        try:
            stored = read_arrays(self._fine_structures)
            return stored["arr_0"], stored["arr_1"]
        except (FileNotFoundError, KeyError) as error:
            raise ConfigError(
                f"{self.path} holds no {self._fine_structures.name}: it is of an older version of gst_jax; train it "
                "again with gst_jax train"
            ) from error

    @property
    def _fine_structures(self) -> Path:
        return self.path / "fine_structure.npz"

    def evaluation(self, split: str) -> Path:
        """Return where the figures of an evaluation go by default."""
        return self.path / f"evaluation_{split}.json"

    @property
    def evaluations(self) -> list[Path]:
        """The evaluations that are there, the newest last."""
        return sorted(self.path.glob("evaluation_*.json"), key=lambda path: path.stat().st_mtime)


def bundled_run(to: str) -> str:
    """Return the name of the one bundled run that converts to a genre.

    Raises:
        ConfigError: when there is none, or more than one.
    """
    runs = list(bundled("pretrained"))
    names = [name for name in runs if to in name.split("_")]
    if not names:
        raise ConfigError(
            f"no bundled run ({', '.join(runs)}) converts to {to!r}; name your own, as in --run=runs/A_B"
        )
    if len(names) > 1:
        options = " or ".join(f"--run={name}" for name in names)
        raise ConfigError(f"--to={to} needs one of the runs that convert to it: {options}")
    return names[0]


def _genre(name: str) -> str:
    """Return the name of a genre, which becomes a part of the names of files."""
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        raise TypeError(f"no genre is called {name!r}")
    return name


def _audio_dirs(tree: dict[str, Any]) -> tuple[str, ...]:
    """Return the audio folders of a `config.json`, which was of one folder or none until 0.1."""
    if "audio_dirs" in tree:
        return tuple(tree["audio_dirs"])
    return () if tree["audio_dir"] is None else (tree["audio_dir"],)


def cache_dir() -> Path:
    """Return where rendered audio, mels and compiled code are kept: `$GST_JAX_CACHE`, else in the user's cache.

    Where the user has no home folder, or a read-only one, it is a folder among the temporary files.
    """
    if chosen := os.environ.get("GST_JAX_CACHE"):
        return Path(chosen)
    with contextlib.suppress(RuntimeError):  # of a user without a home folder
        usual = platformdirs.user_cache_path("gst_jax", appauthor=False)
        existing = next((folder for folder in (usual, *usual.parents) if folder.exists()), Path())
        if usual.is_absolute() and os.access(existing, os.W_OK | os.X_OK):
            return usual
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir(), f"gst_jax-{user}")
