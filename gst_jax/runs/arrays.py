"""Read a model's arrays as data, whoever made the file: nothing is executed, and no more is read than expected."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from gst_jax.config import ConfigError
from gst_jax.types import Array


def read_arrays(path: Path, beginning: str = "", largest: int = 1_000_000) -> dict[str, Array]:
    """Read arrays of numbers from a file that `numpy.savez` or `savez_compressed` wrote.

    Args:
        path: of the file.
        beginning: of the names that are wanted.
        largest: numbers in an array, at most.

    Returns:
        Each, by its name.

    Raises:
        FileNotFoundError: when there is no such file.
        ConfigError: when it is damaged, or something else.
    """
    try:  # an archive that is encrypted, or packed in a rare way, is a RuntimeError
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith(beginning) and name.endswith(".npy")]
            return {name.removesuffix(".npy"): _read(archive.open(name), largest) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path} is damaged or no part of a model ({error}); put the original back, or train again"
        ) from error


def _read(member: IO[bytes], largest: int) -> Array:
    """Read an array, whose header is believed only within limits."""
    with member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = read_header(member)
        count = math.prod(shape)
        if dtype.kind != "f" or not 0 <= count <= largest:
            raise ValueError(f"it holds an array of {dtype} with the shape {shape}")
        values = np.frombuffer(member.read(count * dtype.itemsize), dtype, count)
        return values.reshape(shape, order="F" if by_columns else "C")
