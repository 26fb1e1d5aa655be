"""Room for a band: a song's drums step back, its notes stay, and nothing changes where no band plays."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from scipy import signal

from gst_jax.conversion import room
from gst_jax.corpus import library, render
from gst_jax.corpus.orchestra import draw_seats, orchestrate
from gst_jax.sound import loudness

RATE = 16_000


def noise(seconds, rate=RATE, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((round(seconds * rate), channels)).astype(np.float32)


def cut(samples, size):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def stepped(song, band, amount=1.0, rate=RATE):
    return np.concatenate(list(room.step_back([song], [band], rate, amount)))


def hum(frequency, seconds=4.0):
    return 0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)[:, None]


def in_db(one, other):
    return 10 * np.log10(np.sum(np.square(one, dtype=np.float64)) / np.sum(np.square(other, dtype=np.float64)))


@pytest.fixture(scope="module")
def music():
    """Four seconds: bursts of noise of 60 ms twice a second, and notes of half a second, once a second."""
    time = np.arange(4 * RATE) / RATE
    drums = noise(4.0, channels=1) * (time % 0.5 < 0.06)[:, None]
    notes = sum(hum(frequency) for frequency in (330, 440, 660)) * (time % 1 < 0.5)[:, None]
    return drums.astype(np.float32), notes.astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("rate", "more"), [(8_000, 0), (16_000, 1), (44_100, -7), (96_000, 13)])
def test_where_nothing_goes_down_the_sound_is_what_it_was(rate, more, channels):
    song, silence = noise(3 + more / rate, rate, channels), np.zeros((3 * rate + more, channels), np.float32)
    for made in (stepped(song, song, 0.0, rate), stepped(song, silence, 1.0, rate)):
        assert made.shape == song.shape and made.dtype == np.float32
        np.testing.assert_allclose(made, song, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.0001, 0.03, 0.9])
def test_a_short_sound_keeps_its_length(seconds):
    song = noise(seconds)
    assert stepped(song, song).shape == song.shape


@pytest.mark.parametrize("size", [1, 999, 16_000])
def test_it_is_the_same_in_whatever_blocks_it_comes(music, size):
    song, band = (part[:20_000] for part in (sum(music), noise(4.0, channels=1)))
    blocks = list(zip(cut(song, size), cut(band, size), strict=True))
    parts = np.concatenate(list(room.step_back(*zip(*blocks, strict=True), RATE, 1.0)))
    np.testing.assert_array_equal(parts, stepped(song, band))


def test_drums_step_back_and_notes_stay(music):
    drums, notes = music
    band = noise(4.0, channels=1, seed=1)
    assert in_db(stepped(drums, band), drums) < -6
    assert abs(in_db(stepped(notes, band), notes)) < 0.5
    both = stepped(drums + notes, band)
    time = np.arange(4 * RATE) / RATE
    struck = time % 0.5 < 0.06
    assert in_db(both[~struck], (drums + notes)[~struck]) > -0.5
    high = signal.butter(4, 2000, "highpass", fs=RATE, output="sos")  # where only the drums are
    assert in_db(*(signal.sosfilt(high, part, axis=0)[struck] for part in (both, drums))) < -6


def test_drums_step_back_no_further_than_is_said(music):
    drums, _ = music
    assert in_db(stepped(drums, noise(4.0, channels=1)), drums) > -9.1
    half = in_db(stepped(drums, noise(4.0, channels=1), 0.5), drums)
    assert -4.6 < half < -2.5


def test_drums_stay_where_the_band_does_not_play(music):
    drums, _ = music
    band = noise(4.0, channels=1)
    band[: 2 * RATE] = 0
    made, edge = stepped(drums, band), round(0.75 * RATE)
    np.testing.assert_allclose(made[: 2 * RATE - edge], drums[: 2 * RATE - edge], atol=1e-6)
    assert in_db(made[2 * RATE :], drums[2 * RATE :]) < -6


@pytest.mark.slow
@pytest.mark.parametrize("genre", ["rock", "jazz"])
def test_of_a_tune_of_the_corpus_the_drums_step_back_and_little_else(genre, monkeypatch):
    file = next(
        file for file in library.files() if (file.split, file.source, file.target) == ("validation", genre, genre)
    )
    played, players = (
        library.arrangement_of(file),
        orchestrate(genre, draw_seats(np.random.default_rng(0)), np.random.default_rng(0)),
    )
    alone = (dataclasses.replace(played, parts={}), dataclasses.replace(played, drums=()))
    drums, rest = (render._mix(part, players, np.random.default_rng(0)).T.astype(np.float32) for part in alone)
    band = noise(len(drums) / render.SAMPLE_RATE, render.SAMPLE_RATE)
    gains, gain = [], room._gain
    monkeypatch.setattr(room.streams, "mapped", lambda function, items, **_: map(function, items))  # in order
    monkeypatch.setattr(room, "_gain", lambda *given: gains.append(gain(*given)) or gains[-1])
    stepped(drums + rest, band, rate=render.SAMPLE_RATE)

    def change(part):
        """Return by how much a part is as loud when it gets the gains of the whole."""
        again = iter(gains)
        monkeypatch.setattr(room, "_gain", lambda *_: next(again))
        made = stepped(part, band, rate=render.SAMPLE_RATE)
        return 10 * np.log10(loudness.energy(made, render.SAMPLE_RATE) / loudness.energy(part, render.SAMPLE_RATE))

    assert change(drums) < -4
    assert change(rest) > -2


def test_memory_does_not_grow_with_the_song():
    def peak(seconds):
        song, band = ((noise(1.0, 8_000, seed=second) for second in range(seconds)) for _ in range(2))
        tracemalloc.start()
        for _ in room.step_back(song, band, 8_000, 1.0):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(600) < 1.4 * peak(20)  # not 1: two threads meet by chance at their greatest
