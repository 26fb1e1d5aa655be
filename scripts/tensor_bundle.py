"""Read a TensorFlow checkpoint without TensorFlow; used by outside_judge.py.

A checkpoint is a "tensor bundle": one file of raw numbers, and a sorted table of names, each with a protocol buffer
that tells the shape of a variable and its place among the numbers.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator

import numpy as np

from gst_jax.types import Array


def read(archive: zipfile.ZipFile, prefix: str) -> dict[str, Array]:
    """Read the float32 variables of a checkpoint in a zip file by name; its files begin with a prefix."""
    table = archive.read(f"{prefix}.index")
    numbers = archive.read(f"{prefix}.data-00000-of-00001")
    _, at = read_varints(table, len(table) - 48, 2)  # the footer: where the index of indices lies, then the index
    (offset, size), _ = read_varints(table, at, 2)
    variables = {}
    for _, handle in entries(table[offset : offset + size]):
        (offset, size), _ = read_varints(handle, 0, 2)
        for name, entry in entries(table[offset : offset + size]):
            fields = dict(read_message(entry))
            if name and fields.get(1) == 1:  # float32
                shape = [dict(read_message(value)).get(1, 1) for _, value in read_message(fields.get(2, b""))]
                start = fields.get(4, 0)
                variables[name.decode()] = np.frombuffer(numbers[start : start + fields[5]], "<f4").reshape(shape)
    return variables


def read_varints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Read integers of seven bits a byte, lowest first; return them with where they end."""
    values = []
    for _ in range(count):
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                break
        values.append(value)
    return values, at


def entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block of the table; each key shares a beginning with the one before."""
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        (shared, fresh, length), at = read_varints(block, at, 3)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def read_message(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbered fields of a protocol buffer: integers, or bytes."""
    at = 0
    while at < len(data):
        (tag,), at = read_varints(data, at, 1)
        if tag & 7 == 0:
            (value,), at = read_varints(data, at, 1)
        elif tag & 7 == 2:
            (length,), at = read_varints(data, at, 1)
            value, at = data[at : at + length], at + length
        else:
            value, at = data[at : at + 4], at + 4
        yield tag >> 3, value
