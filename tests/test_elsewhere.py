"""Music made elsewhere has the notes of our tunes, and none of our instruments, levels and rooms."""

import midi_scores
import numpy as np
import pytest

from gst_jax.corpus import library


@pytest.mark.parametrize("genre", ["folk", "rock", "jazz"])
def test_another_bank_plays_every_note_of_the_arrangement(genre):
    score = midi_scores.on_another_bank("validation", genre, 0)
    arrangement = library.arrangement_of(library.CorpusFile("", "validation", 0, genre, genre))
    *players, drummer = score.instruments
    assert drummer.is_drum and len(drummer.notes) == len(arrangement.drums)
    for player, notes in zip(players, arrangement.parts.values(), strict=True):
        assert 0 <= player.program < 128 and not player.is_drum
        assert sorted(note.start for note in player.notes) == pytest.approx(sorted(note.onset for note in notes))
        assert len({note.pitch % 12 for note in player.notes} ^ {note.pitch % 12 for note in notes}) == 0


def test_a_score_is_the_same_every_time_and_another_for_each_number():
    def starts(number):
        score = midi_scores.on_another_bank("test", "jazz", number)
        return [(player.program, note.start, note.pitch) for player in score.instruments for note in player.notes]

    assert starts(0) == starts(0) != starts(1)


def test_chords_are_named_as_the_program_wants_them():
    tune = library.tune_of("validation", 0)
    names = [midi_scores.chord_name(tune, bar) for bar in range(tune.bars)]
    for bar, name in enumerate(names):
        root, third, fifth = tune.chord(bar)
        note = midi_scores.NOTES[root % 12]
        kind = name.removeprefix(note)
        assert name.startswith(note) and {"": (4, 7), "m": (3, 7), "dim": (3, 6), "aug": (4, 8)}[kind] == (
            third - root,
            fifth - root,
        )


def test_players_are_balanced_within_what_midi_allows():
    for seed in range(20):
        values = {change.number: change.value for change in midi_scores.mixed(-14.0, np.random.default_rng(seed))}
        assert 20 <= values[7] <= 127 and 0 <= values[10] <= 127 and values[91] > 0
