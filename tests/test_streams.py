import numpy as np
import pytest

from gst_jax.conversion import streams


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
