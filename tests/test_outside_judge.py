"""The outside judge reads a checkpoint out of a wheel without TensorFlow."""

import struct
import zipfile

import numpy as np
import pytest
import tensor_bundle


def varint(value: int) -> bytes:
    """Write an integer in seven bits a byte, lowest first."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """Write the fields of a protocol buffer."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def block(entries: dict[bytes, bytes]) -> bytes:
    """Write a block of a sorted table: each key without what it shares with the one before, one restart."""
    out, before = b"", b""
    for key, value in sorted(entries.items()):
        shared = next((i for i, (one, other) in enumerate(zip(key, before, strict=False)) if one != other), None)
        shared = min(len(key), len(before)) if shared is None else shared
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return out + struct.pack("<2I", 0, 1)


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"dense/bias": (200,), "dense/kernel": (3, 200), "dense_1/bias": (1,), "scale": ()}
    return {name: random.standard_normal(shape).astype("<f4") for name, shape in shapes.items()}


def test_reads_the_variables_of_a_tensor_bundle(tmp_path, variables):
    entries, numbers = {b"": message((1, 1))}, b""  # the first entry describes the whole bundle
    for name, array in variables.items():
        shape = message(*((2, message((1, size))) for size in array.shape))
        raw = array.tobytes()
        place = [(4, len(numbers))] if numbers else []  # zero is left out
        entries[name.encode()] = message((1, 1), (2, shape), *place, (5, len(raw)))
        numbers += raw
    entries[b"steps"] = message((1, 9), (4, 0), (5, 8))  # an integer is no variable of the network
    data = block(entries)
    trailer = bytes(5)  # compression and checksum of a block
    index = block({b"z": varint(0) + varint(len(data))})
    at = len(data) + len(trailer)
    footer = varint(at + len(index) + 5) + varint(0) + varint(at) + varint(len(index))
    table = data + trailer + index + trailer + footer.ljust(48, b"\0")
    wheel = tmp_path / "tagger.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("musicnn/MSD_musicnn/.index", table)
        archive.writestr("musicnn/MSD_musicnn/.data-00000-of-00001", numbers)

    with zipfile.ZipFile(wheel) as archive:
        read = tensor_bundle.read(archive, "musicnn/MSD_musicnn/")

    assert read.keys() == variables.keys()
    for name, array in variables.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)
