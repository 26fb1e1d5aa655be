import threading
import time

import numpy as np
import pytest

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import streams


@pytest.mark.parametrize("total", [1, 5, 9, 10, 11, 20, 47])
@pytest.mark.parametrize("block", [1, 3, 100])
def test_windows_hold_every_row_once_with_its_surroundings(total, block):
    rows = np.arange(1, total + 1)[:, None]
    padded = np.pad(rows, ((4, 40), (0, 0)))
    blocks = [rows[start : start + block] for start in range(0, total, block)]
    seen, counts = 0, []
    for window, fresh in streams.windows(blocks, 10, 4, 3, "constant"):
        assert (window == padded[seen : seen + 17]).all()
        seen += fresh
        counts.append(fresh)
    assert seen == total
    assert set(counts[:-1]) <= {10} and counts[-1] < 10


def test_cross_fading_equal_pieces_changes_nothing():
    piece = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    assert np.allclose(streams.cross_faded(piece[:8], piece), piece)


def test_a_cross_fade_goes_from_one_piece_to_the_other():
    faded = streams.cross_faded(np.zeros((4, 1), np.float32), np.ones((6, 1), np.float32))
    assert faded[:, 0].tolist() == [0.125, 0.375, 0.625, 0.875, 1, 1]


@pytest.mark.parametrize("count", [1, 3])
def test_items_made_ahead_come_in_order_and_errors_with_them(count):
    def items():
        yield from range(5)
        raise OSError("disk")

    taken = []
    with pytest.raises(OSError, match="disk"):
        for item in streams.ahead(items(), count):
            taken.append(item)
    assert taken == [0, 1, 2, 3, 4]
    assert list(streams.ahead([], count)) == []


def test_items_made_ahead_stop_with_their_taker():
    made = []
    items = streams.ahead((made.append(number) for number in range(1000)), 2)
    next(items)
    items.close()
    assert len(made) < 10


def test_what_is_forgotten_is_not_kept():
    tape = streams.Tape()
    for _ in range(100):
        tape.append(np.zeros((10, 2)))
        tape.forget(tape.end - 5)
    assert tape.end == 1000 and len(tape.rows) == 5


@pytest.mark.parametrize("size", [1, 7, 100])
def test_reblocking_keeps_every_row(size):
    rows = np.arange(50)[:, None]
    cut = list(streams.reblocked(np.split(rows, [0, 3, 4, 40]), size))
    assert (np.concatenate(cut) == rows).all()
    assert {len(part) for part in cut[:-1]} <= {size} and 0 < len(cut[-1]) <= size


@pytest.mark.parametrize("rate_in", [8_000, 11_027, 16_000, 44_100])
def test_resampling_a_stream_is_resampling_the_whole(rate_in):
    wave = np.random.default_rng(0).standard_normal(30_001).astype(np.float32)
    pieces = streams.resampled(np.split(wave, [0, 1, 999, 20_000]), rate_in, 16_000)
    whole = sound.resample(wave, rate_in, 16_000)
    out = np.concatenate(list(pieces))
    assert abs(len(out) - len(whole)) <= 1
    assert np.abs(out - whole[: len(out)]).max() < 1e-6


def test_measuring_a_stream_is_measuring_the_whole():
    audio = AudioConfig()
    wave = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    streamed = np.concatenate(list(streams.log_mels(np.split(wave, [5, 40_000]), audio)))
    whole = sound.log_mel(np.pad(wave, (0, audio.hop_length)), audio)
    assert streamed.shape == whole.shape
    assert np.allclose(streamed, whole, atol=1e-4)


@pytest.mark.parametrize("limit", [10, 10**9])
def test_a_spool_gives_back_what_it_was_given(monkeypatch, limit):
    monkeypatch.setattr(streams, "_SPOOL_BYTES", limit)
    rows = np.random.default_rng(0).standard_normal((50, 2, 3)).astype(np.float32)
    spool = streams.Spool()
    spool.append(rows[:20])
    assert (spool.read(5, 15) == rows[5:15]).all()
    spool.append(rows[20:])
    assert (spool.read(15, 30) == rows[15:30]).all() and spool.end == 50
    assert (spool.read(45, 99) == rows[45:]).all() and len(spool.read(50, 60)) == 0
    spool.close()


def test_mapping_keeps_the_order_and_works_on_several_at_once():
    together = threading.Barrier(3, timeout=10)  # broken unless three threads meet

    def slow_at_first(number):
        together.wait()
        time.sleep(0.05 if number == 0 else 0)
        return -number

    assert list(streams.mapped(slow_at_first, range(6), 3)) == [0, -1, -2, -3, -4, -5]


def test_mapping_takes_few_items_ahead_and_passes_errors_on():
    taken = []
    results = streams.mapped(lambda number: 1 // (number - 10), (taken.append(n) or n for n in range(100)), 2)
    next(results)
    assert len(taken) <= 4
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert len(taken) <= 14


def test_channels_are_mixed_to_what_is_heard_in_either():
    rng = np.random.default_rng(0)
    left, other = rng.standard_normal((2, 48_000)).astype(np.float32)
    plain = np.stack([left, other], axis=1)
    assert np.concatenate(list(streams.mixed([plain], 16_000))).tobytes() == sound.mono(plain).tobytes()
    for right in (-left, -0.97 * left):
        mix = np.concatenate(list(streams.mixed(np.array_split(np.stack([left, right], axis=1), 7), 16_000)))
        assert mix == pytest.approx((left - right) / 2, abs=1e-6)
    surround = np.stack([left, left, 0 * left, 0 * left, -left, -left], axis=1)
    assert np.concatenate(list(streams.mixed([surround], 16_000))) == pytest.approx(left * 4 / 6, abs=1e-6)
    half = np.stack([left, np.concatenate([left[:24_000], -left[24_000:]])], axis=1)  # in one half of the song alone
    assert np.concatenate(list(streams.mixed([half], 16_000))).std() == pytest.approx(left.std(), rel=0.01)
    assert not np.concatenate(list(streams.mixed([np.zeros((100, 2), np.float32)], 16_000))).any()
