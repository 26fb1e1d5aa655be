"""The outside judge reads a checkpoint out of a wheel without TensorFlow."""

import struct
import zipfile

import mauve
import numpy as np
import pytest
import scipy.special
import tagger
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


def heard_of(rng, centre, tag, tracks=6):
    """Tracks as the tagger hears them: windows about a centre, and a tag that is scored highest."""
    scores = np.full((9, 50), 0.1)
    scores[:, tag] = 0.8
    return [(rng.normal(centre, 1.0, (9, 200)), scores) for _ in range(tracks)]


def test_untouched_songs_gain_nothing_and_the_target_itself_gains_all():
    rng = np.random.default_rng(0)
    rock, folk = (tagger.TAGS[genre] for genre in ("rock", "folk"))
    goal = heard_of(rng, 1.0, rock)
    heard = {
        "untouched input": heard_of(rng, 0.0, folk),
        "conversion": heard_of(rng, 0.5, rock),
        "true target": heard_of(rng, 1.0, rock),
    }
    found = tagger.compare(heard, goal, "rock", width=20.0)
    gain, called = ({name: row[key] for name, row in found["methods"].items()} for key in ("gain", "called"))
    assert gain["untouched input"] == 0 and called["untouched input"] == 0
    assert 0.5 < gain["conversion"] < 0.9  # half the way is three quarters of the squared distance
    assert gain["true target"] == pytest.approx(1, abs=0.05) and called["true target"] == pytest.approx(1)
    likeness = {name: row["MAUVE"][0] for name, row in found["methods"].items()}
    assert likeness["untouched input"] < likeness["conversion"] < likeness["true target"]
    distance = {name: row["kernel distance to target"][0] for name, row in found["methods"].items()}
    assert distance["true target"] < found["spread"] < distance["conversion"] < distance["untouched input"]


def test_the_middle_of_a_track_is_heard_and_a_short_one_whole():
    rate = 100
    wave = np.arange(50 * rate)
    np.testing.assert_array_equal(tagger.middle(wave, rate), wave[15 * rate : 35 * rate])
    np.testing.assert_array_equal(tagger.middle(wave[:rate], rate), wave[:rate])


def test_mauve_is_the_area_under_the_divergence_curve():
    """Two sets that share nothing have the curve x = (1 - w)^5, y = w^5, whose area is 5 B(6, 5)."""
    assert mauve.area(np.array([2, 0]), np.array([0, 3])) == pytest.approx(5 * scipy.special.beta(6, 5), rel=0.1)
    assert mauve.area(np.array([1, 2, 3]), np.array([2, 4, 6])) == pytest.approx(1)
    near, far = (mauve.area(np.array(one), np.array([5, 5])) for one in ([6, 4], [9, 1]))
    assert far < near < 1
    assert mauve.area(np.array([9, 1]), np.array([5, 5])) == pytest.approx(
        mauve.area(np.array([5, 5]), np.array([9, 1]))
    )


def test_mauve_ranks_sets_of_tracks_by_how_near_they_are():
    rng = np.random.default_rng(0)
    goal, same, near, far = ([rng.normal(shift, 1.0, (12, 50)) for _ in range(8)] for shift in (0, 0, 0.3, 2))
    alike, moved, other = (mauve.mauve(tracks, goal) for tracks in (same, near, far))
    assert alike.value > 0.9 > moved.value > 0.1 > other.value
    assert alike.low <= alike.value and moved.high < alike.low
