"""Keep training states on disk, safe against interruption at any moment.

A checkpoint is Orbax's directory `checkpoints/<step>/` plus a seal, written last: the CRC-32 of each of its files.
Orbax neither stores checksums of array data nor survives a truncated file quietly, so a checkpoint is read only
when its seal is whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import shutil
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from orbax.checkpoint import v1 as ocp

from gst_jax import data
from gst_jax.learning import cyclegan, processes
from gst_jax.runs.arrays import read_arrays
from gst_jax.runs.atomic import replacing, write_text
from gst_jax.runs.directory import RunDirectory

_SEAL = "crc32.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which, why, and what to do."""


def open_checkpoints(run: RunDirectory) -> ocp.training.Checkpointer:
    """Open the checkpoints of a run for training; to be closed, or used as a context manager.

    A damaged checkpoint is moved into the folder `damaged`, with a warning, so that the one before it is the newest.
    Of the newest, `training.keep_checkpoints` are kept, and never fewer than two: Orbax deletes what is too old
    before the seal of the new one is written.
    """
    if processes.is_first():
        # Orbax would do so in a thread, which a training that ends at once leaves behind with a traceback.
        for unfinished in run.checkpoints.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(unfinished)
        _put_damaged_aside(run)
    processes.wait("damaged checkpoints are put aside")
    return ocp.training.Checkpointer(
        run.checkpoints,
        preservation_policy=ocp.training.preservation_policies.LatestN(max(run.config.training.keep_checkpoints, 2)),
    )


def _put_damaged_aside(run: RunDirectory) -> None:
    for step in _steps(run):
        folder = run.checkpoints / str(step)
        if not _is_whole(folder):
            run.damaged.mkdir(exist_ok=True)
            names = itertools.chain([str(step)], (f"{step}-{number}" for number in itertools.count(2)))
            aside = next(path for name in names if not (path := run.damaged / name).exists())
            folder.rename(aside)
            warnings.warn(f"the checkpoint of step {step} is damaged; it was moved to {aside}", stacklevel=3)


def require_space(checkpoints: ocp.training.Checkpointer, state: cyclegan.TrainState) -> None:
    """Raise CheckpointError unless the disk has room for one more checkpoint."""
    needed = 1.2 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    free = shutil.disk_usage(checkpoints.directory).free
    if free < needed:
        raise CheckpointError(
            f"the disk of {checkpoints.directory} has {free / 1e6:.1f} MB free, and a checkpoint needs up to "
            f"{needed / 1e6:.1f} MB; make room, then give the same command to go on"
        )


def save(checkpoints: ocp.training.Checkpointer, state: cyclegan.TrainState) -> None:
    """Write a state under its step, whole or not at all; what the step already holds is left as it is.

    All processes call it with the state that they share; it is written once.

    Raises:
        CheckpointError: when the disk is full.
    """
    step = int(state.step)
    if any(saved.step == step for saved in checkpoints.checkpoints):
        return
    require_space(checkpoints, state)
    checkpoints.save(step, state, force=True)
    if processes.is_first():
        folder = Path(checkpoints.directory, str(step))
        sums = {path: zlib.crc32((folder / path).read_bytes()) for path in _files(folder)}
        write_text(folder / _SEAL, json.dumps(sums))


def restore(checkpoints: ocp.training.Checkpointer, abstract: cyclegan.TrainState) -> cyclegan.TrainState | None:
    """Load the newest state, or None where there is none.

    Args:
        checkpoints: from `open_checkpoints`.
        abstract: shapes and shardings, from `cyclegan.abstract_state`.

    Raises:
        CheckpointError: when the checkpoint is of another model.
    """
    if checkpoints.latest is None:
        return None
    _refuse_other_model(Path(checkpoints.directory, str(checkpoints.latest.step)), abstract)
    return checkpoints.load(checkpoints.latest, abstract)


def newest(run: RunDirectory) -> int | None:
    """Return the step of the newest whole checkpoint, None where there is none; warns of damaged ones after it."""
    for step in reversed(_steps(run)):
        folder = run.checkpoints / str(step)
        if _is_whole(folder):
            return step
        warnings.warn(f"the checkpoint {folder} is damaged; trying the one before", stacklevel=2)
    return None


def load_generator(run: RunDirectory, direction: str) -> cyclegan.Parameters:
    """Load the averaged generator that measured best, else that of the newest whole checkpoint.

    Args:
        run: whose generator.
        direction: "ab", from the pair's first genre to its second, or "ba".

    Raises:
        CheckpointError: when there is no checkpoint, none is whole, or it is of another model.
        ConfigError: when the file that holds it is damaged.
    """
    for path in (run.best, run.generators):
        if path.exists():
            return _read_generator(path, cyclegan.abstract_state(run.config).ema, direction)
    return _load(run, lambda state: state.ema[direction])


def load_parameters(run: RunDirectory) -> cyclegan.Parameters:
    """Load all parameters of the newest whole checkpoint, to start another run from.

    Raises:
        CheckpointError: as `load_generator`, and for an exported run, which has no discriminators.
    """
    if run.is_exported:
        raise CheckpointError(
            f"{run.path} is an exported run: it converts, but its discriminators were left out, so no training can "
            "start from it; name the run directory that it was exported from"
        )
    return _load(run, lambda state: state.parameters)


def export_generators(run: RunDirectory, target: str | os.PathLike[str]) -> None:
    """Write what converting needs of a run to a new run directory of a few MB: both averaged generators, in half.

    Args:
        run: to be exported.
        target: folder to make; it must not exist.

    Raises:
        CheckpointError: when the target exists, or as `load_generator`.
    """
    target = Path(target)
    if target.exists():
        raise CheckpointError(f"{target} exists; name a new folder, or remove it first")
    generators = {direction: load_generator(run, direction) for direction in ("ab", "ba")}
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.mkdir()
        # The corpus's own tunes measure what learned from it anywhere; other folders are on one machine.
        audio_dirs = () if data.CORPUS in run.audio_dirs else run.audio_dirs
        exported = dataclasses.replace(run, path=temporary, audio_dirs=audio_dirs)
        write_generators(exported.generators, generators, np.float16)
        exported.write_fine_structures(run.read_fine_structures())
        exported.write()


def write_generators(path: Path, generators: cyclegan.Parameters, dtype: type = np.float32) -> None:
    """Write generators `{"ab", "ba"}` to a file."""
    arrays: dict[str, Any] = {
        jax.tree_util.keystr(name, simple=True, separator="/"): np.asarray(leaf, dtype)
        for name, leaf in jax.tree.leaves_with_path(generators)
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def digest(generators: dict[str, cyclegan.Parameters]) -> str:
    """Return 16 hexadecimal digits that identify the values of generators `{"ab", "ba"}`."""
    total = hashlib.sha256()
    for direction, parameters in sorted(generators.items()):
        for path, leaf in jax.tree.leaves_with_path(parameters):
            total.update(_name(path, direction).encode("ascii") + np.asarray(leaf, np.float32).tobytes())
    return total.hexdigest()[:16]


def _read_generator(path: Path, abstract: cyclegan.Parameters, direction: str) -> cyclegan.Parameters:
    """Read one generator of `write_generators` as float32."""
    expected = {
        _name(leaf_path, direction): leaf.shape for leaf_path, leaf in jax.tree.leaves_with_path(abstract[direction])
    }
    found = read_arrays(path, direction, largest=max(map(math.prod, expected.values())))
    if {name: array.shape for name, array in found.items()} != expected:
        raise CheckpointError(f"{path} is of another model than config.json beside it describes; put both back")
    return jax.tree_util.tree_map_with_path(
        lambda leaf_path, leaf: jnp.asarray(found[_name(leaf_path, direction)], leaf.dtype), abstract[direction]
    )


def _name(path: tuple[Any, ...], direction: str) -> str:
    return f"{direction}/{jax.tree_util.keystr(path, simple=True, separator='/')}"


def _load(run: RunDirectory, part: Callable[[cyclegan.TrainState], Any]) -> cyclegan.Parameters:
    """Read one part of the newest whole state, leaving the rest on disk."""
    step = newest(run)
    if step is None:
        raise CheckpointError(f"{run.path} has no whole checkpoint; train it with gst_jax train")
    folder = run.checkpoints / str(step)
    abstract = cyclegan.abstract_state(run.config)
    wanted = {id(leaf) for leaf in jax.tree.leaves(part(abstract))}
    masked = jax.tree.map(lambda leaf: leaf if id(leaf) in wanted else ocp.PLACEHOLDER, abstract)
    alone = ocp.Context()  # of the processes of a training, one loads, for the report
    alone.multiprocessing.primary_host = jax.process_index()
    alone.multiprocessing.active_processes = {jax.process_index()}
    with alone:
        _refuse_other_model(folder, abstract)
        return part(ocp.load(folder, masked, checkpointable_name="state"))


def _steps(run: RunDirectory) -> list[int]:
    """Return the steps that have a directory, ascending."""
    return sorted(int(path.name) for path in run.checkpoints.glob("[0-9]*") if path.name.isdigit())


def _files(folder: Path) -> list[str]:
    """Return the paths of all files below a checkpoint but its seal."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != _SEAL
    )


def _is_whole(folder: Path) -> bool:
    """Tell whether each file of a checkpoint is what its seal says."""
    try:
        sums = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        # Seals of 0.1 written on Windows have backslashes.
        files = ((folder / path.replace("\\", "/"), value) for path, value in sums.items())
        return all(zlib.crc32(path.read_bytes()) == value for path, value in files) and bool(sums)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False


def _refuse_other_model(folder: Path, abstract: cyclegan.TrainState) -> None:
    """Raise CheckpointError unless the names and shapes on disk are those expected."""

    def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree.leaves_with_path(tree)
        return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}

    stored, expected = shapes(ocp.metadata(folder).metadata), shapes(abstract)
    different = [name for name in sorted(stored | expected) if stored.get(name) != expected.get(name)]
    if different:
        name = different[0]
        raise CheckpointError(
            f"the checkpoint {folder} is of another model than config.json describes: {name} has the shape "
            f"{stored.get(name)} instead of {expected.get(name)} ({len(different)} such differences); "
            "put back the config.json, or the version of gst_jax, that it was trained with"
        )
