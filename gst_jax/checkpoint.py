"""Keep training states on disk, safe against interruption at any moment.

A checkpoint is Orbax's directory `checkpoints/<step>/` plus a seal, written last: the CRC-32 of each of its files.
Orbax neither stores checksums of array data nor survives a truncated file quietly, so a checkpoint is read only
when its seal is whole.
"""

from __future__ import annotations

import json
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

from gst_jax import config, cyclegan, fine_structure

_SEAL = "crc32.json"
_GENERATORS = "generators.npz"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which, why, and what to do."""


def open_checkpoints(run_dir: str | os.PathLike[str], keep: int) -> ocp.training.Checkpointer:
    """Open the checkpoints of a run for training; to be closed, or used as a context manager.

    A damaged checkpoint is moved to `damaged/<step>` beside `checkpoints`, with a warning, so that the one before it
    is the newest.

    Args:
        run_dir: of the run.
        keep: how many of the newest checkpoints to keep.
    """
    folder = _folder(run_dir)
    for step in _steps(folder):
        if not _is_whole(folder / str(step)):
            aside = folder.parent / "damaged" / str(step)
            aside.parent.mkdir(exist_ok=True)
            (folder / str(step)).rename(aside)
            warnings.warn(f"the checkpoint of step {step} is damaged; it was moved to {aside}", stacklevel=2)
    return ocp.training.Checkpointer(
        folder,
        preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        cleanup_tmp_directories=True,  # what a killed process left half-written
    )


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

    Raises:
        CheckpointError: when the disk is full.
    """
    step = int(state.step)
    if any(saved.step == step for saved in checkpoints.checkpoints):
        return
    require_space(checkpoints, state)
    checkpoints.save(step, state, force=True)
    folder = Path(checkpoints.directory, str(step))
    sums = {path: zlib.crc32((folder / path).read_bytes()) for path in _files(folder)}
    temporary = folder.with_name(f"{step}.{_SEAL}")
    temporary.write_text(json.dumps(sums), encoding="utf-8")
    temporary.replace(folder / _SEAL)


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


def load_generator(run_dir: str | os.PathLike[str], direction: str) -> cyclegan.Parameters:
    """Load the averaged generator of the newest whole checkpoint.

    Args:
        run_dir: of the run.
        direction: "ab", from the pair's first genre to its second, or "ba".

    Raises:
        CheckpointError: when there is no checkpoint, none is whole, or it is of another model.
        config.ConfigError: when `run_dir` is no run directory.
    """
    if (exported := Path(run_dir, _GENERATORS)).exists():
        return _load_exported(exported, cyclegan.abstract_state(config.read_run(run_dir).config).ema, direction)
    return _load(run_dir, lambda state: state.ema[direction])


def export_generators(run_dir: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write what converting needs of a run to a new run directory of a few MB: both averaged generators, in half.

    Args:
        run_dir: of the run.
        target: folder to make; it must not exist.
    """
    run = config.read_run(run_dir)
    arrays: dict[str, Any] = {}
    for direction in ("ab", "ba"):
        leaves = jax.tree.leaves_with_path(load_generator(run_dir, direction))
        arrays |= {_name(path, direction): np.asarray(leaf, np.float16) for path, leaf in leaves}
    target = Path(target)
    if target.exists():
        raise CheckpointError(f"{target} exists; name a new folder, or remove it first")
    temporary = target.with_name(f"{target.name}.tmp")
    temporary.mkdir(parents=True)
    np.savez_compressed(temporary / _GENERATORS, **arrays)
    fine_structure.write(temporary, fine_structure.read(run_dir))
    config.write_run(run, temporary)
    temporary.rename(target)


def _load_exported(path: Path, abstract: cyclegan.Parameters, direction: str) -> cyclegan.Parameters:
    """Read one generator of `export_generators` as float32."""
    with np.load(path) as stored:
        found = {name: stored[name] for name in stored.files if name.startswith(direction)}
    expected = {
        _name(leaf_path, direction): leaf.shape for leaf_path, leaf in jax.tree.leaves_with_path(abstract[direction])
    }
    if {name: array.shape for name, array in found.items()} != expected:
        raise CheckpointError(f"{path} is of another model than config.json beside it describes; put both back")
    return jax.tree_util.tree_map_with_path(
        lambda leaf_path, leaf: jnp.asarray(found[_name(leaf_path, direction)], leaf.dtype), abstract[direction]
    )


def _name(path: tuple[Any, ...], direction: str) -> str:
    return f"{direction}/{jax.tree_util.keystr(path, simple=True, separator='/')}"


def load_parameters(run_dir: str | os.PathLike[str]) -> cyclegan.Parameters:
    """Load all parameters of the newest whole checkpoint, to start another run from; raises as `load_generator`."""
    return _load(run_dir, lambda state: state.parameters)


def _load(run_dir: str | os.PathLike[str], part: Callable[[cyclegan.TrainState], Any]) -> cyclegan.Parameters:
    """Read one part of the newest whole state, leaving the rest on disk."""
    settings = config.read_run(run_dir).config
    folder = _folder(run_dir)
    steps = _steps(folder)
    while steps and not _is_whole(folder / str(steps[-1])):
        warnings.warn(f"the checkpoint {folder / str(steps.pop())} is damaged; trying the one before", stacklevel=3)
    if not steps:
        raise CheckpointError(f"{run_dir} has no whole checkpoint; train it with python -m gst_jax.train")
    newest = folder / str(steps[-1])
    abstract = cyclegan.abstract_state(settings)
    _refuse_other_model(newest, abstract)
    wanted = {id(leaf) for leaf in jax.tree.leaves(part(abstract))}
    masked = jax.tree.map(lambda leaf: leaf if id(leaf) in wanted else ocp.PLACEHOLDER, abstract)
    return part(ocp.load(newest, masked, checkpointable_name="state"))


def _folder(run_dir: str | os.PathLike[str]) -> Path:
    return Path(run_dir, "checkpoints").resolve()


def _steps(folder: Path) -> list[int]:
    """Return the steps that have a directory, ascending."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())


def _files(folder: Path) -> list[str]:
    """Return the paths of all files below a checkpoint but its seal."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != _SEAL
    )


def _is_whole(folder: Path) -> bool:
    """Tell whether each file of a checkpoint is what its seal says."""
    try:
        sums = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        return all(zlib.crc32((folder / path).read_bytes()) == sums[path] for path in sums) and bool(sums)
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
