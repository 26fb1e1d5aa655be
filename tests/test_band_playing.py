"""A band plays along: on the song's beats, in its key and tuning, as long as the song, and nothing is lost."""

import contextlib
import dataclasses
import threading
import time
import tracemalloc
import warnings

import numpy as np
import pretty_midi
import pytest
from scipy import signal

from gst_jax import sound
from gst_jax.band import midi, playing, rendering
from gst_jax.band.features import BANDS
from gst_jax.band.lead_sheet import STEPS, Confidence, LeadSheet, Steps
from gst_jax.config import ConfigError
from gst_jax.conversion import accompaniment, jobs, planning
from gst_jax.conversion.accompaniment import BELOW, Band
from gst_jax.conversion.translator import Translator
from gst_jax.corpus import bank, percussion, render, strings
from gst_jax.corpus.arrangement import Arrangement, Hit, Note
from gst_jax.corpus.composition import MODES
from gst_jax.presentation import notebook
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import loudness, streams

RATE = 22_050
CHORDS = (0, 3, 4, 0, 0, 5, 3, 0)


def sheet_of(seconds=24.0, meter=4, bars=8, drift=0.0, **changes) -> LeadSheet:
    """A lead sheet in A flat major that begins after a second, of bars whose pace may drift."""
    pace = 60 / 112 * (1 + drift * np.sin(np.linspace(0, 2 * np.pi, bars * meter)))
    sheet = LeadSheet(
        seconds=seconds,
        beats=1 + np.concatenate([[0.0], np.cumsum(pace)]),
        meter=meter,
        tonic=8,
        mode=MODES[0],
        chords=(CHORDS * bars)[:bars],
        phrases="AB" * bars,
        levels=np.zeros(bars),
        tuning=0.0,
        confidence=Confidence(1.0, 1.0, 1.0, 1.0),
        steps=Steps(*(np.zeros((bars * meter * STEPS, *more)) for more in ((12,), (12,), (), (BANDS,)))),
    )
    return dataclasses.replace(sheet, **changes)


def played(sheet, genre, rate=RATE):
    return np.concatenate(list(playing.play(sheet, genre, rate, round(sheet.seconds * rate))))


@pytest.fixture(scope="module")
def song():
    """A song of noise and a hum, stereo, as long as the sheet."""
    rng = np.random.default_rng(0)
    seconds = np.arange(24 * RATE) / RATE
    hum = 0.1 * np.sin(2 * np.pi * 207.65 * seconds)
    return (hum[:, None] + 0.02 * rng.standard_normal((len(seconds), 2))).astype(np.float32)


@pytest.mark.parametrize("genre", sorted(playing.GENRES))
@pytest.mark.parametrize("meter", [3, 4])
def test_notes_begin_on_the_beats_of_a_song_whose_pace_drifts(genre, meter):
    sheet = sheet_of(meter=meter, drift=0.08)
    arrangement = playing.arrange(sheet, genre)
    players = {role: [note.onset for note in notes] for role, notes in arrangement.parts.items()}
    if genre != "jazz":  # its drummer keeps time on the cymbal
        players["drum"] = [hit.onset for hit in arrangement.drums if hit.stroke == "low"]
    for role in ("bass", "drum"):
        if onsets := players.get(role):  # not every folk band has a bass
            nearest = np.abs(np.array(onsets)[:, None] - sheet.beats[:-1:meter]).min(axis=0)
            assert np.median(nearest) < 0.02, role


@pytest.mark.parametrize("genre", sorted(playing.GENRES))
def test_nobody_plays_a_lead(genre):
    assert not {"lead", "harmony"} & set(playing.arrange(sheet_of(), genre).parts)


@pytest.mark.parametrize("genre", sorted(playing.GENRES))
def test_notes_are_of_the_key_and_chords_are_those_of_the_sheet(genre):
    sheet = sheet_of()
    scale = {(sheet.tonic + step) % 12 for step in sheet.mode.steps}
    parts = playing.arrange(sheet, genre).parts
    pitches = [note.pitch % 12 for role, notes in parts.items() for note in notes if role != "bass"]
    assert np.mean([pitch in scale for pitch in pitches]) == 1.0
    for bar, chord in enumerate(sheet.chords):
        start = sheet.beats[bar * sheet.meter]
        bass = min(parts["bass"], key=lambda note: abs(note.onset - start))
        assert bass.pitch % 12 == (sheet.tonic + sheet.mode.steps[chord % 7]) % 12


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_the_band_is_exactly_as_long_as_the_song(rate):
    sheet = sheet_of(seconds=22.2468)
    sound = played(sheet, "jazz", rate)
    assert sound.shape == (round(22.2468 * rate), 2) and sound.dtype == np.float32
    assert np.isfinite(sound).all() and np.abs(sound).max() > 0.1


def test_the_band_plays_in_the_songs_tuning():
    """The bass of the rock band, 40 cents sharp, has its partials 40 cents higher, at the same times."""

    def spectrum(tuning):
        sound = played(sheet_of(tuning=tuning, chords=(0,) * 8), "rock").mean(axis=1)
        frequencies, power = signal.welch(sound, RATE, nperseg=32_768)
        at = 440 * 2 ** (np.arange(-4800, 600, 2) / 1200)
        return np.interp(at, frequencies, np.sqrt(power))

    straight, sharp = spectrum(0.0), spectrum(40.0)
    shifts = np.arange(-40, 41)  # of two cents
    likeness = [np.corrcoef(straight[50:-50], np.roll(sharp, -shift)[50:-50])[0, 1] for shift in shifts]
    assert 2 * shifts[int(np.argmax(likeness))] == pytest.approx(40, abs=6)


def test_the_band_stays_out_of_an_intro_and_a_break():
    levels = np.array([-30.0, -30, 0, 0, -40, 0, 0, 0])
    sheet = sheet_of(levels=levels)
    onsets = np.array([note.onset for notes in playing.arrange(sheet, "rock").parts.values() for note in notes])
    for bar, level in enumerate(levels):
        start, end = sheet.beats[bar * 4] - 0.04, sheet.beats[bar * 4 + 4] - 0.06
        assert (np.sum((onsets >= start) & (onsets < end)) > 0) == (level > -20)


def test_a_song_of_many_parts_has_no_seam():
    """Parts of 32 bars, rendered one after the other, are as loud at their seams as elsewhere."""
    sheet = sheet_of(seconds=160.0, bars=70, phrases="A" * 70)
    sound = played(sheet, "rock").mean(axis=1)
    beats = np.round(sheet.beats * RATE).astype(int)
    level = 10 * np.log10([np.mean(np.square(sound[a:b])) for a, b in zip(beats[:-1], beats[1:], strict=True)])
    steps = np.abs(np.diff(level))
    for seam in (32, 64):
        assert steps[seam * 4 - 1] <= np.percentile(steps, 99)
        assert abs(level[seam * 4 :][:16].mean() - level[seam * 4 - 16 :][:16].mean()) < 2


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song():
    def peak(parts):
        bars = 32 * parts
        sheet = sheet_of(seconds=bars * 4 * 60 / 112 + 3, bars=bars, phrases="A" * bars)
        tracemalloc.start()
        for _ in playing.play(sheet, "rock", 44_100, round(sheet.seconds * 44_100)):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(8) < 1.5 * peak(2)


@pytest.mark.parametrize("rate", [8_000, 22_051, 44_100])
@pytest.mark.parametrize("more", [-13, -2, -1, 1, 2, 7, 44_100])
def test_a_song_keeps_its_length_whatever_the_ear_rounds(rate, more):
    """The sheet is of sound at another rate, so its seconds are not quite the song's."""
    sheet = sheet_of(bars=4, seconds=10.0)
    alone = 0.1 * np.random.default_rng(0).standard_normal((10 * rate + more, 2)).astype(np.float32)
    assert np.concatenate(list(Band("jazz").along([alone], sheet, rate))).shape == alone.shape


@pytest.mark.parametrize("odd", [1, 7, 13])
def test_a_heard_song_keeps_its_length(odd):
    rate = 44_100
    seconds = np.arange(12 * rate + odd) / rate
    pulse = np.exp(-8 * (seconds % 0.5)) * np.sin(2 * np.pi * 220 * seconds)
    alone = (0.2 * pulse[:, None]).astype(np.float32)
    sheet = accompaniment.hear([alone], rate)
    assert round(sheet.seconds * rate) != len(alone)  # else this would prove nothing
    sheet = dataclasses.replace(sheet_of(bars=4), seconds=sheet.seconds)
    assert np.concatenate(list(Band("rock").along([alone], sheet, rate))).shape == alone.shape


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_song_with_a_band_is_as_long_and_as_loud_and_does_not_clip(song, channels):
    alone = np.ascontiguousarray(np.repeat(song[:, :1], channels, axis=1))
    both = np.concatenate(list(Band("rock").along([alone], sheet_of(), RATE)))
    assert both.shape == alone.shape and both.dtype == np.float32
    assert np.abs(both).max() <= loudness.CEILING
    change = 10 * np.log10(loudness.energy(both, RATE) / loudness.energy(alone, RATE))
    assert abs(change) < 1


def test_the_level_is_that_of_the_band_against_the_song(song):
    full, half = (np.concatenate(list(Band("folk", level).along([song], sheet_of(), RATE))) for level in (1.0, 0.5))
    band = played(sheet_of(), "folk")
    shares = []
    for mix in (full, half):
        (ours, theirs), *_ = np.linalg.lstsq(
            np.stack([song.ravel(), band.ravel()], axis=1).astype(np.float64), mix.ravel().astype(np.float64)
        )
        there = np.abs(band).max(axis=1) > 1e-3
        shares.append(np.sqrt(loudness.energy(theirs * band, RATE) / loudness.energy(ours * song[there], RATE)))
    assert 20 * np.log10(shares[0]) == pytest.approx(BELOW, abs=1.5)
    assert shares[0] / shares[1] == pytest.approx(2, rel=0.02)


@pytest.fixture(scope="module")
def drummed(song):
    """The song with bursts of noise on the sheet's beats."""
    place = np.arange(len(song)) / RATE % (60 / 112) < 0.06
    return song + 0.3 * np.random.default_rng(1).standard_normal(song.shape).astype(np.float32) * place[:, None]


@pytest.mark.parametrize(
    ("genre", "level", "least", "most"), [("folk", 1.0, -9.5, -4), ("folk", 0.3, -4, -0.8), ("rock", 1.0, -1, 1)]
)
def test_only_towards_folk_the_songs_drums_step_back(drummed, genre, level, least, most):
    """Noise above 5 kHz, where the song has little else, against the hum."""
    with contextlib.closing(streams.Spool()) as alone, contextlib.closing(streams.Spool()) as band:
        mix = list(Band(genre, level).along([drummed], sheet_of(), RATE, stems=(alone, band)))
        made = alone.read(0, alone.end)
    assert made.shape == drummed.shape == np.concatenate(mix).shape
    inside = slice(2 * RATE, 18 * RATE)
    high, low = (signal.butter(4, edge, kind, fs=RATE, output="sos") for edge, kind in ((5000, "high"), (250, "low")))
    change = [
        10
        * np.log10(
            np.mean(signal.sosfilt(bands, made, axis=0)[inside] ** 2)
            / np.mean(signal.sosfilt(bands, drummed, axis=0)[inside] ** 2)
        )
        for bands in (high, low)
    ]
    assert least < change[0] - change[1] < most


def test_with_its_drums_stepped_back_a_song_is_as_loud(drummed):
    both = np.concatenate(list(Band("folk").along([drummed], sheet_of(), RATE, ceiling=9.0)))
    assert abs(10 * np.log10(loudness.energy(both, RATE) / loudness.energy(drummed, RATE))) < 0.3


@pytest.mark.parametrize("genre", sorted(playing.GENRES))
def test_a_band_of_level_0_changes_nothing(song, genre):
    np.testing.assert_array_equal(np.concatenate(list(Band(genre, 0.0).along([song], sheet_of(), RATE))), song)


def test_the_same_song_gets_the_same_band(song):
    one, other = (np.concatenate(list(Band("jazz").along([song], sheet_of(), RATE))) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_silent_song_stays_silent():
    silence = np.zeros((24 * RATE, 2), np.float32)
    assert not np.concatenate(list(Band("jazz").along([silence], sheet_of(), RATE))).any()


@pytest.mark.parametrize(("genre", "level", "word"), [("metal", 1.0, "no band for 'metal'"), ("jazz", 2.5, "0 to 2")])
def test_a_band_that_there_is_not_is_refused(song, genre, level, word):
    with pytest.raises(ConfigError, match=word):
        list(Band(genre, level).along([song], sheet_of(), RATE))


def test_midi_has_the_songs_bars_and_what_the_band_plays(tmp_path):
    sheet = sheet_of(drift=0.08)
    midi.write(tmp_path / "band.mid", sheet, "rock")
    score = pretty_midi.PrettyMIDI(str(tmp_path / "band.mid"))
    bars = sheet.beats[:-1:4]
    nearest = np.abs(np.array(score.get_downbeats())[:, None] - bars).min(axis=0)
    assert nearest.max() < 0.005
    arrangement = playing.arrange(sheet, "rock")
    players = {player.name: player for player in score.instruments}
    assert set(players) == {*arrangement.parts, "drums"} and players["drums"].is_drum
    for role, notes in arrangement.parts.items():
        assert len(players[role].notes) == len(notes)
        found = sorted(note.start for note in players[role].notes)
        np.testing.assert_allclose(found, sorted(note.onset for note in notes), atol=0.005)


def convert(inputs, out, stems=None, band=None, overwrite=False, progress=None):
    inputs = inputs if isinstance(inputs, list) else [inputs]
    plan = planning.plan(inputs, out, "rock", overwrite=overwrite)
    stems = planning.Stems(stems, overwrite) if stems else None
    still = Translator.bypass("pretrained/folk_rock", "rock")
    return jobs.convert(plan.jobs, still, out, 1.0, "gain", progress, band=band, stems=stems)


@pytest.fixture
def song_file(tmp_path, song, monkeypatch):
    monkeypatch.setattr(accompaniment, "hear", lambda *_: sheet_of())
    sound.write_wave(tmp_path / "song.wav", song, RATE, subtype="PCM_16")
    return tmp_path / "song.wav"


def test_song_and_band_apart_are_together_what_was_written(tmp_path, song_file):
    assert not convert(song_file, tmp_path / "out", tmp_path / "stems", Band("rock"))
    both = sound.read_wave(tmp_path / "out/song.rock.wav").samples
    parts = [sound.read_wave(tmp_path / f"stems/song.rock.{name}.wav").samples for name in ("song", "band")]
    assert all(part.shape == both.shape and np.abs(part).max() > 0.01 for part in parts)
    quiet = np.abs(sum(parts)).max(axis=1) < 0.5  # nothing near to be limited
    np.testing.assert_allclose(sum(parts)[quiet], both[quiet], atol=2e-3)
    assert (tmp_path / "stems/song.rock.band.mid").stat().st_size > 1000


def test_stems_that_exist_are_left_and_said(tmp_path, song_file):
    (tmp_path / "stems").mkdir()
    (tmp_path / "stems/song.rock.band.mid").write_text("mine")
    with pytest.warns(sound.AudioWarning, match="exists and is left"):
        assert not convert(song_file, tmp_path / "out", tmp_path / "stems", Band("rock"))
    assert (tmp_path / "stems/song.rock.band.mid").read_text() == "mine"
    convert(song_file, tmp_path / "out", tmp_path / "stems", Band("rock"), overwrite=True)
    assert (tmp_path / "stems/song.rock.band.mid").read_bytes() != b"mine"


@pytest.mark.parametrize("sure", [1.0, 0.0])
def test_progress_is_whole_with_and_without_the_band(tmp_path, song_file, monkeypatch, sure):
    sheet = dataclasses.replace(sheet_of(), confidence=Confidence(sure, sure, sure, sure))
    monkeypatch.setattr(accompaniment, "hear", lambda source, rate: [*source] and sheet)
    bars = []

    class Counting:
        def __init__(self, total, **_):
            self.total, self.done = total, 0.0
            bars.append(self)

        def update(self, done):
            self.done += done

        def close(self):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sound.AudioWarning)
        assert not convert(song_file, tmp_path / "out", band=Band("rock"), progress=Counting)
    assert bars[0].done == pytest.approx(bars[0].total, rel=1e-3)


def test_a_stem_never_replaces_an_input_or_another_stem(tmp_path, song_file, song):
    """Refused before the work, whatever --overwrite says."""
    stem = tmp_path / "song.rock.band.wav"
    sound.write_wave(stem, song, RATE)
    before = stem.read_bytes()
    with pytest.raises(ConfigError, match="song.rock.band.wav is an input"):
        convert([song_file, stem], tmp_path / "out", tmp_path, Band("rock"), overwrite=True)
    sound.write_wave(tmp_path / "song.flac", song, RATE)
    with pytest.raises(ConfigError, match="would both become"):
        convert([song_file, tmp_path / "song.flac"], tmp_path / "out", tmp_path / "stems", Band("rock"))
    assert stem.read_bytes() == before and not (tmp_path / "stems").exists()


def test_a_song_without_a_beat_is_converted_without_a_band_and_it_is_said(tmp_path, song_file, monkeypatch):
    unsure = dataclasses.replace(sheet_of(), confidence=Confidence(0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(accompaniment, "hear", lambda *_: unsure)
    with pytest.warns(sound.AudioWarning, match=r"song.wav: No steady beat was heard, so the band stays silent"):
        assert not convert(song_file, tmp_path / "out", tmp_path / "stems", Band("rock"))
    convert(song_file, tmp_path / "plain")
    names = [tmp_path / name / "song.rock.wav" for name in ("out", "plain")]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert not list((tmp_path / "stems").iterdir())


@pytest.mark.parametrize("channels", [0, 2])
def test_a_notebook_has_a_band_too(song, channels, monkeypatch):
    monkeypatch.setattr(accompaniment, "hear", lambda *_: sheet_of())
    source = song if channels else np.ascontiguousarray(song[:, 0])
    run = RunDirectory.open("pretrained/folk_rock")
    to_rock = notebook.Converter("rock", Translator.bypass(run, "rock"), run)
    alone, both = (to_rock(source, RATE, band=level).samples for level in (0.0, 1.0))
    assert alone.shape == both.shape == source.shape
    assert np.sqrt(np.mean(np.square(both - alone))) > 0.1 * np.sqrt(np.mean(np.square(alone)))
    unsure = dataclasses.replace(sheet_of(), confidence=Confidence(0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(accompaniment, "hear", lambda *_: unsure)
    with pytest.warns(sound.AudioWarning, match="No steady beat"):
        np.testing.assert_array_equal(to_rock(source, RATE, band=1.0).samples, alone)


def copied(program, notes, seconds):
    """Return what the band's copies of an instrument's notes are together: [N] at the rate of rendering."""
    out = np.zeros(round(seconds * rendering.RATE), np.float32)
    for note in notes:
        rendering._copy(out, rendering._note(program, note.pitch, 1.0), note, note.duration)
    return out


PROGRAMS = sorted(
    {player.program for genre in playing.GENRES for player in playing.seat(genre).instruments.values()} - {-1}
)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("length", "pitch", "velocity"), [(0.12, 45, 60), (0.5, 52, 90), (1.0, 57, 120)])
def test_a_copied_note_is_the_one_that_the_bank_plays(program, length, pitch, velocity):
    """At a time that its blocks hit; elsewhere the bank is up to 1.3 ms late, and the copy is not."""
    note = Note(0.1, length, pitch, velocity)
    theirs = rendering._at_rate(bank.play_pair([(program, [note])], 2.0)[:, 0])
    assert np.std(copied(program, [note], 2.0) - theirs) < 0.1 * np.std(theirs)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_note_that_is_let_go_dies_without_a_click(program):
    dying = rendering._note(program, 50, 1.0).dying
    steps = np.diff(dying)
    assert dying[0] == 1 and dying[-1] < 2e-3 and steps.max() <= 0 and -steps.min() < 1 / (0.005 * rendering.RATE)


def test_a_copied_note_begins_when_it_should_whatever_the_moment():
    for onset in (0.2, 0.2005, 0.2013, 0.2027):
        sound = copied(32, [Note(onset, 0.5, 40, 100)], 1.0)
        assert np.flatnonzero(np.abs(sound) > 1e-4)[0] / rendering.RATE == pytest.approx(onset, abs=5e-4)


@pytest.mark.parametrize("genre", ["rock", "jazz"])
def test_a_copied_stroke_is_the_one_that_the_bank_plays(genre):
    kit = playing.seat(genre).kit
    for index, (stroke, key) in enumerate(kit.keys):
        hit = Hit(0.1, stroke, 50 + 7 * index)
        theirs = rendering._at_rate(bank.play_drums(kit.program, dict(kit.keys), [hit], 3.0))
        ours = np.zeros_like(theirs)
        rendering._copy(ours, rendering._stroke(kit.program, key, None), hit, 3.0)
        assert np.std(ours - theirs) < 0.03 * np.std(theirs), stroke


def test_a_closed_hat_ends_an_open_one():
    kit = playing.seat("rock").kit
    hits = (Hit(0.2, "open", 100), Hit(0.6, "tick", 100))
    players = rendering.Players(Arrangement(3.0, 0, {}, hits), playing.seat("rock"), 0)
    sound, alone = players._drums(hits, 3.0).T, players._drums(hits[:1], 3.0).T
    theirs = rendering._at_rate(bank.play_drums(kit.program, dict(kit.keys), hits, 3.0))
    late = slice(round(0.8 * rendering.RATE), None)
    assert np.std(theirs[late]) < 1e-4 and np.std(sound[late]) < 1e-3 < np.std(alone[late])


@pytest.mark.parametrize("genre", sorted(playing.GENRES))
@pytest.mark.parametrize("meter", [3, 4])
def test_the_band_sounds_as_if_every_note_were_rendered(genre, meter, monkeypatch):
    """By the corpus' own players, of the same plucks and strokes: each third octave is as loud within 1.5 dB.

    Two instruments of the bank that share a rendering are a little in each other's stem; here each has its own.
    """
    monkeypatch.setattr(render, "_spread", lambda _: 0.0)
    pair = bank.play_pair
    alone = lambda parts, seconds: np.stack([pair([part], seconds)[:, 0] for part in parts], axis=1)  # noqa: E731
    monkeypatch.setattr(bank, "play_pair", alone)
    for module in (strings, percussion):
        play = module.play
        monkeypatch.setattr(module, "play", lambda *given, play=play: play(*given[:-1], np.random.default_rng(0)))
    sheet = sheet_of(meter=meter)
    rng = np.random.default_rng(playing.SEED)
    theirs = render._mix(playing.arrange(sheet, genre), playing.seat(genre), rng)
    ours = played(sheet, genre, render.SAMPLE_RATE).T

    def levels(sound):
        frequencies, power = signal.welch(sound, render.SAMPLE_RATE, nperseg=8192)
        edges = 50 * 2 ** (np.arange(25) / 3)
        return 10 * np.log10([power[(frequencies >= a) & (frequencies < 1.26 * a)].sum() for a in edges])

    for side in (0, 1):
        wanted = levels(theirs[side])
        loud = wanted > wanted.max() - 40
        assert np.abs(levels(ours[side]) - wanted)[loud].max() < 1.5


def test_parts_of_a_song_are_together_the_whole():
    """Of a band without amplifiers, whose noise each part has anew."""
    whole = playing.arrange(sheet_of(), "jazz")
    players = rendering.Players(whole, playing.seat("jazz"), 0)
    at_once = players.play(0.0, 24.0)
    total = np.zeros((len(at_once) + 2 * rendering.RATE, 2))
    for start, end in ((0.0, 7.0), (7.0, 13.0), (13.0, 24.0)):
        part = players.play(start, end)
        total[round(start * rendering.RATE) :][: len(part)] += part
    np.testing.assert_allclose(total[: len(at_once)], at_once, atol=2e-4)


def test_the_band_plays_while_the_song_is_made(song, monkeypatch):
    begun, play = threading.Event(), playing.Players.play
    monkeypatch.setattr(playing.Players, "play", lambda *given: begun.set() or play(*given))

    def making():
        assert begun.wait(60)
        yield song

    assert np.concatenate(list(Band("jazz").along(making(), sheet_of(), RATE))).shape == song.shape


def test_a_song_that_cannot_be_made_ends_its_band(song):
    def failing():
        yield song[:RATE]
        raise sound.AudioError("no more of it")

    before = threading.active_count()
    with pytest.raises(sound.AudioError, match="no more of it"):
        list(Band("jazz").along(failing(), sheet_of(), RATE))
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() == before
