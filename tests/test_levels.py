"""A song is heard as itself: its levels, and how far they count against its genre's."""

import numpy as np
import pytest

from gst_jax import sound
from gst_jax.sound import levels

MEAN, DEVIATION = np.full(8, -10.0), np.full(8, 6.0)


def levels_of(log_mel, pauses=True):
    song = levels.Levels(log_mel.shape[1])
    for piece in np.array_split(log_mel, 7):
        song.add(piece.astype(np.float32), pauses)
    return song


def test_levels_added_piece_by_piece_are_those_of_the_whole():
    log_mel = np.random.default_rng(0).normal(-12, 5, (1000, 8))
    song = levels_of(log_mel)
    np.testing.assert_allclose(song.mean, log_mel.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(song.deviation, log_mel.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(song.highest, log_mel.max(axis=0), atol=1e-5)
    assert song.frames == 1000


def test_pauses_say_nothing_of_a_song():
    log_mel = np.random.default_rng(1).normal(-5, 3, (600, 8))
    paused = np.concatenate([np.full((400, 8), sound.LOG_MEL_FLOOR), log_mel, np.full((300, 8), -45.0)])
    np.testing.assert_allclose(levels_of(paused, pauses=False).mean, log_mel.mean(axis=0), atol=1e-5)
    assert levels_of(paused, pauses=False).frames == 600


def test_silence_and_a_song_without_frames_are_taken_for_their_genre():
    for frames in (np.full((500, 8), sound.LOG_MEL_FLOOR), np.zeros((0, 8))):
        mean, deviation = levels.blended(MEAN, DEVIATION, levels_of(frames, pauses=False), 0.6)
        np.testing.assert_array_equal(mean, MEAN)
        np.testing.assert_array_equal(deviation, DEVIATION)


def test_a_long_song_counts_for_its_share_and_a_short_one_for_less():
    rng = np.random.default_rng(2)
    moved = []
    for seconds in (0.5, 2, 10, 600):
        song = levels_of(rng.normal(0, 6, (round(63.5 * seconds), 8)))
        mean, _ = levels.blended(MEAN, DEVIATION, song, 0.6)
        moved.append(float(np.mean((mean - MEAN) / (song.mean - MEAN))))
    assert moved == sorted(moved)
    assert moved[0] < 0.15 and moved[1] == pytest.approx(0.3, abs=0.01) and moved[3] == pytest.approx(0.6, abs=0.01)


def test_an_odd_song_moves_no_band_far():
    """Of a lone tone all bands but one are at the floor: these must not be lifted to the genre's level."""
    tone = np.full((5000, 8), sound.LOG_MEL_FLOOR)
    tone[:, 3] = 20.0
    mean, deviation = levels.blended(MEAN, DEVIATION, levels_of(tone), 1.0)
    assert np.abs(mean - MEAN).max() <= 15.0
    assert (deviation >= DEVIATION / 2).all() and (deviation <= DEVIATION * 2).all()


def test_levels_of_a_filtered_song_follow_without_hearing_it_again():
    rng = np.random.default_rng(3)
    log_mel, gain = rng.normal(-5, 4, (500, 8)), rng.normal(0, 6, 8)
    one, other = levels_of(log_mel).filtered(gain), levels_of(log_mel + gain)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-4)
    np.testing.assert_allclose(one.deviation, other.deviation, atol=1e-4)
