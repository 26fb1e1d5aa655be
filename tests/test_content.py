"""Transcription of known music, and the agreement of two transcriptions."""

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from gst_jax.evaluation.metrics import content
from gst_jax.evaluation.metrics.transcription import find_beats, find_chords, transcribe

RATE = 16_000


def play(notes, seconds):
    """Harmonic tones (start in seconds, MIDI number, length in seconds)."""
    wave = np.random.default_rng(0).normal(0, 1e-4, int(seconds * RATE))
    for start, pitch, length in notes:
        time = np.arange(int(length * RATE)) / RATE
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(0.6**n * np.sin(2 * np.pi * frequency * n * time) for n in range(1, 7))
        envelope = np.exp(-2 * time) * np.minimum(1, np.minimum(100 * time, 10 * (length - time)))
        wave[int(start * RATE) :][: len(time)] += 0.1 * partials * envelope
    return wave.astype(np.float32)


TUNE = [(0.5, 60, 0.8), (0.5, 64, 0.8), (1.5, 67, 0.8), (2.5, 72, 0.8), (2.5, 55, 0.8)]


def test_notes_of_a_known_tune_are_heard_exactly():
    heard = transcribe(play(TUNE, 4), RATE)
    truth = np.array([[start, pitch] for start, pitch, _ in TUNE], float)
    assert content.note_f_measure(heard.notes, truth) == 1
    np.testing.assert_allclose(heard.onsets[[0]], [0.5], atol=0.03)


def test_sounding_pitches_of_a_held_chord_are_heard():
    heard = transcribe(play([(0, 57, 3), (0, 60, 3), (0, 64, 3)], 3), RATE)
    middle = heard.roll[30:60]
    np.testing.assert_array_equal(np.flatnonzero(middle.mean(axis=0) > 0.5) + 36, [57, 60, 64])
    assert (heard.chords[30:60] == 12 + 9).all()  # A minor


def test_equalising_changes_little_of_what_is_heard():
    wave = play(TUNE, 4)
    spectrum = np.fft.rfft(wave)
    frequency = np.fft.rfftfreq(len(wave), 1 / RATE)
    tilted = np.fft.irfft(spectrum * 10 ** (np.interp(frequency, [100, 4000], [0, 12]) / 20)).astype(np.float32)
    heard = content.agreement(transcribe(wave, RATE), transcribe(tilted, RATE))
    assert heard["note"] == 1 and heard["chroma"] > 0.97 and heard["pitch"] > 0.9


def test_triads_are_named():
    chroma = np.zeros((60, 12))
    chroma[:30, [0, 4, 7]] = chroma[30:, [2, 5, 9]] = 1 / np.sqrt(3)
    chords = find_chords(chroma)
    assert (chords[:15] == 0).all() and (chords[45:] == 12 + 2).all()  # C major, D minor
    assert (find_chords(np.zeros((5, 12))) == -1).all()


def test_clicks_give_their_onsets_and_their_beats():
    wave = np.zeros(10 * RATE, np.float32)
    times = np.arange(0.5, 9.9, 0.5)  # 120 a minute
    for time in times:
        wave[int(time * RATE) :][:200] += np.random.default_rng(0).normal(0, 0.3, 200)
    heard = transcribe(wave, RATE)
    assert content.event_f_measure(heard.onsets, times, 0.03) == 1
    assert content.event_f_measure(heard.beats, times, 0.03) > 0.9


@pytest.mark.parametrize("tempo", [72, 96, 120, 160])
def test_the_beat_follows_the_tempo(tempo):
    """A pulse on every beat, with softer ones between, starting late."""
    strength = np.random.default_rng(0).uniform(0, 0.05, 3000)
    beats = np.arange(0.8, 29.5, 60 / tempo)
    strength[np.round(100 * beats).astype(int)] = 1
    strength[np.round(100 * (beats + 30 / tempo)).astype(int)] = 0.4
    assert content.event_f_measure(find_beats(strength), beats, 0.07) > 0.95


def test_a_tune_played_higher_is_the_same_tune_higher():
    low, high = (transcribe(play([(s, pitch + shift, n) for s, pitch, n in TUNE], 4), RATE) for shift in (0, 5))
    assert content.note_f_measure(low.notes + [0, 5], high.notes) == 1
    assert content.note_f_measure(low.notes, high.notes) < 0.5
    np.testing.assert_allclose(low.onsets, high.onsets, atol=0.03)


def test_transcription_does_not_depend_on_the_level():
    wave = play(TUNE, 4)
    agreement = content.agreement(transcribe(wave, RATE), transcribe(0.1 * wave, RATE))
    assert min(agreement.values()) > 0.95


def test_a_progression_of_chords_is_named_bar_by_bar():
    roots = [(60, 4), (57, 3), (53, 4), (55, 4)]  # C, A minor, F, G
    notes = [(2 * bar, root + step, 1.9) for bar, (root, third) in enumerate(roots) for step in (0, third, 7)]
    heard = transcribe(play(notes, 8), RATE)
    middles = [heard.chords[round((2 * bar + 0.9) / 0.032)] for bar in range(4)]
    assert middles == [0, 12 + 9, 5, 7]


def test_silence_is_heard_as_nothing():
    heard = transcribe(np.zeros(3 * RATE, np.float32), RATE)
    assert not heard.roll.any() and not len(heard.notes) and not len(heard.onsets) and not len(heard.beats)
    assert (heard.chords == -1).all()


def test_event_f_measure_by_hand():
    one, other = np.array([1.0, 2.0, 3.0]), np.array([1.04, 1.05, 2.06, 9.0])
    # Within 50 ms: 1.0 with 1.04 alone (one to one), 2.0 misses 2.06 by 10 ms: 2 * 1 / (3 + 4).
    assert content.event_f_measure(one, other, 0.05) == pytest.approx(2 / 7)
    assert content.event_f_measure(one, one, 0.05) == 1
    assert content.event_f_measure(one, np.zeros(0), 0.05) == 0


def test_matching_is_as_large_as_can_be():
    # The nearest pair first (1.04 with 1.05) would leave 1.00 and 1.09 unmatched.
    assert content.event_f_measure(np.array([1.0, 1.05]), np.array([1.04, 1.09]), 0.05) == 1


def largest_matching(pairs):
    """Count the pairs of a largest one-to-one matching, pairs [n, m] that may be matched."""
    return int((maximum_bipartite_matching(scipy.sparse.csr_matrix(pairs)) >= 0).sum())


def test_f_measures_are_those_of_a_largest_matching():
    """The definition of mir_eval and MIREX, for events and for notes."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, other = (np.sort(rng.uniform(0, 3, rng.integers(1, 30))) for _ in range(2))
        near = np.abs(one[:, None] - other) <= 0.05
        expected = 2 * largest_matching(near) / (len(one) + len(other))
        assert content.event_f_measure(one, other, 0.05) == pytest.approx(expected)
        pitches = [rng.integers(60, 63, len(times)) for times in (one, other)]
        expected = 2 * largest_matching(near & (pitches[0][:, None] == pitches[1])) / (len(one) + len(other))
        notes = [np.stack(part, axis=1) for part in ((one, pitches[0]), (other, pitches[1]))]
        assert content.note_f_measure(*notes) == pytest.approx(expected)


def test_note_f_measure_asks_for_the_same_semitone():
    one, other = np.array([[1.0, 60], [2.0, 62]]), np.array([[1.03, 60], [2.0, 63]])
    assert content.note_f_measure(one, other) == pytest.approx(0.5)


def test_chance_is_the_agreement_of_mismatched_songs():
    songs = [transcribe(play([(0.5 + 0.3 * k, pitch, 1.5)], 3), RATE) for k, pitch in enumerate((48, 55, 62))]
    expected = {
        name: [
            content.agreement(song, song)[name]
            - np.mean([content.agreement(song, other)[name] for other in songs if other is not song])
            for song in songs
        ]
        for name in content.MEASURES
    }
    found = content.above_chance(songs, songs)
    for name in content.MEASURES:
        np.testing.assert_allclose(found[name], expected[name])
    assert min(found["note"]) > 0.9  # nothing in common with the others


def test_the_same_sound_for_every_song_is_at_chance():
    songs = [transcribe(play([(0.5, pitch, 2)], 3), RATE) for pitch in (50, 57, 61)]
    found = content.above_chance(songs, [songs[0]] * 3)
    assert all(np.allclose(values, 0) for values in found.values())


def test_a_shorter_conversion_is_compared_as_far_as_it_goes():
    whole, part = transcribe(play(TUNE, 4), RATE), transcribe(play(TUNE, 4)[: 2 * RATE], RATE)
    found = content.agreement(whole, part)
    assert set(found) == set(content.MEASURES) and found["pitch"] > 0.9


def test_two_silences_agree():
    silent = transcribe(np.zeros(2 * RATE, np.float32), RATE)
    assert set(content.agreement(silent, silent).values()) == {1.0}


def test_one_song_alone_has_no_chance_to_subtract():
    song = transcribe(play(TUNE, 4), RATE)
    found = content.above_chance([song], [song])
    assert all(values == pytest.approx([1.0]) for values in found.values())
