"""A song's beats, bars, key, chords and sections are heard, however it is played; where none are, that is said."""

import dataclasses
from types import SimpleNamespace

import hear as script
import numpy as np
import pytest
import unsteady

from gst_jax import sound
from gst_jax.band.hearing import hear, why_silent
from gst_jax.corpus import library
from gst_jax.corpus.composition import MODES
from gst_jax.corpus.render import SAMPLE_RATE

RATE = unsteady.RATE
BILAWAL, KHAMAJ, KAFI, ASAVARI = MODES
START = 0.4  # seconds before the first beat


def steady(tempo, beats):
    """Return the times of beats and of the end of the last, seconds."""
    return START + 60 / tempo * np.arange(beats + 1)


def played(chords, tonic=0, mode=BILAWAL, meter=4, times=None, tempo=112, drums=True, gains=None, accents=None):
    """Strum a chord on every beat above a bass, with drums: the sound at RATE, and what is true of it."""
    rng = np.random.default_rng(len(chords))
    times = steady(tempo, len(chords) * meter) if times is None else times
    wave = np.zeros(round((times[-1] + 1.0) * RATE))
    hiss = rng.standard_normal(1500) * np.exp(-np.arange(1500) / 250)
    thump = np.sin(2 * np.pi * 55 * np.arange(3000) / RATE) * np.exp(-np.arange(3000) / 700)
    for beat, onset in enumerate(times[:-1]):
        bar, place = divmod(beat, meter)
        length = times[beat + 1] - onset
        gain = 1.0 if gains is None else gains[bar]
        steps = [mode.steps[(chords[bar] + third) % 7] for third in (0, 2, 4)]
        bass = 36 + (tonic + steps[0 if place == 0 else 2]) % 12
        unsteady.add(wave, onset, unsteady.pluck(bass, 1.2 * length), gain * (1.0 if place == 0 else 0.5))
        for step in steps:
            unsteady.add(wave, onset, unsteady.pluck(60 + (tonic + step) % 12, 1.1 * length), 0.35 * gain)
        melody = mode.steps[(chords[bar] + (0, 1, 2, 4, 6)[rng.integers(5)]) % 7]
        unsteady.add(wave, onset + length / 2, unsteady.pluck(72 + (tonic + melody) % 12, length), 0.3 * gain)
        if drums:
            unsteady.add(wave, onset, thump if place in (accents or (0,)) else hiss, 0.8 * gain)
            unsteady.add(wave, onset + length / 2, hiss, 0.15 * gain)
    return unsteady.scaled(wave), SimpleNamespace(times=times, meter=meter, chords=chords, tonic=tonic, mode=mode)


def roots(sheet, truth):
    """Return the share of the true bars whose chord has the true root."""
    lines = truth.times[:: truth.meter]
    true = [(truth.tonic + truth.mode.steps[degree]) % 12 for degree in truth.chords]
    return np.mean(
        [
            script.root_at(sheet, middle) == root
            for middle, root in zip((lines[1:] + lines[:-1]) / 2, true, strict=True)
        ]
    )


def timing(sheet, truth):
    """Return the F measures of beats and of first beats, and the median error of the beats in seconds."""
    beats = truth.times[:-1]
    error = np.median([np.abs(sheet.beats - beat).min() for beat in beats])
    first = script.agreement(sheet.beats[:-1][:: sheet.meter], beats[:: truth.meter])
    return script.agreement(sheet.beats[:-1], beats), first, error


def assert_heard(sheet, truth, least=0.95):
    beats, first, error = timing(sheet, truth)
    assert beats >= least and first >= 0.9 and error < 0.02, (beats, first, error)
    assert (sheet.meter, sheet.tonic, sheet.mode) == (truth.meter, truth.tonic, truth.mode)
    assert roots(sheet, truth) >= 0.8
    assert why_silent(sheet) is None


POP, MODAL, MINOR, DORIAN = (
    (0, 5, 3, 4) * 3 + (0,),
    (0, 6, 3, 0) * 3 + (0,),
    (0, 5, 6, 0) * 3 + (0,),
    (0, 3, 6, 0) * 3 + (0,),
)


@pytest.mark.parametrize(
    "song",
    [
        {"chords": POP, "tonic": 0, "mode": BILAWAL, "tempo": 92},
        {"chords": POP, "tonic": 6, "mode": BILAWAL, "tempo": 141, "meter": 3},
        {"chords": MODAL, "tonic": 2, "mode": KHAMAJ, "tempo": 126},
        {"chords": DORIAN, "tonic": 9, "mode": KAFI, "tempo": 104},
        {"chords": DORIAN, "tonic": 4, "mode": KAFI, "tempo": 168, "meter": 3},
        {"chords": MINOR, "tonic": 11, "mode": ASAVARI, "tempo": 118},
    ],
    ids=lambda song: f"{song['mode'].name} on {song['tonic']} in {song.get('meter', 4)} at {song['tempo']}",
)
def test_beats_bars_key_and_chords_of_a_song_are_heard(song):
    wave, truth = played(**song)
    assert_heard(hear(wave, RATE), truth)


@pytest.mark.parametrize("meter", [3, 4])
@pytest.mark.parametrize("period", [12.0, 24.0])
def test_a_tempo_that_drifts_by_eight_percent_is_followed(meter, period):
    bend = script.drift(period, 1.0)
    wave, truth = played(POP, meter=meter, times=bend(steady(124, len(POP) * meter)))
    assert np.ptp(np.diff(truth.times)) > 0.12 * np.diff(truth.times).mean()  # so much do they differ
    assert_heard(hear(wave, RATE), truth, least=0.9)


@pytest.mark.parametrize("pitch", [432, 437, 446])
def test_the_tuning_of_the_song_is_heard_and_its_key_stays(pitch):
    wave, truth = played(MINOR, tonic=7, mode=ASAVARI)
    rate = round(RATE * pitch / 440)
    truth.times = truth.times * RATE / rate
    sheet = hear(wave, rate)
    assert sheet.tuning == pytest.approx(1200 * np.log2(rate / RATE), abs=4)
    assert_heard(sheet, truth)


def test_a_song_without_drums_is_heard():
    wave, truth = played(POP, tonic=3, drums=False)
    assert_heard(hear(wave, RATE), truth)


@pytest.mark.parametrize("beats", [1, 2, 3])
def test_a_pickup_is_left_before_the_first_bar(beats):
    wave, truth = played(POP, tonic=5)
    cut = truth.times[beats] - 0.15
    sheet = hear(wave[round(cut * RATE) :], RATE)
    lines = truth.times[4::4] - cut
    assert np.abs(sheet.beats[0] - lines[0]) < 0.05
    assert script.agreement(sheet.beats[:: sheet.meter], lines) >= 0.9


def test_six_eighths_are_two_threes():
    wave, truth = played([degree for degree in POP for _ in range(2)], meter=3, tempo=186, accents=(0,))
    sheet = hear(wave, RATE)
    assert sheet.meter == 3 and timing(sheet, truth)[1] >= 0.9


def test_silence_around_a_song_is_not_counted_as_bars():
    wave, truth = played(POP)
    sheet = hear(np.concatenate([np.zeros(5 * RATE), wave, np.zeros(7 * RATE)]).astype(np.float32), RATE)
    assert sheet.bars == len(POP)
    assert sheet.beats[0] == pytest.approx(5 + truth.times[0], abs=0.02)
    assert sheet.beats[-1] == pytest.approx(5 + truth.times[-1], abs=0.05)


def test_phrases_that_are_alike_have_one_letter():
    other = (3, 4, 1, 5)
    wave, _ = played(POP[:4] * 2 + other + POP[:4] + other)
    assert hear(wave, RATE).phrases == "AABAB"


def test_levels_follow_the_song():
    gains = 10 ** (np.repeat([0, -12, 0], 4) / 20)
    wave, _ = played(POP[:12], gains=gains)
    levels = hear(wave, RATE).levels
    assert levels.max() <= 0 and np.abs(levels[:4]).max() < 2
    np.testing.assert_allclose(levels[5:8], -12, atol=2)  # the fifth holds what rings on


def test_a_lead_sheet_is_whole_and_within_the_song():
    wave, _ = played(MODAL, mode=KHAMAJ)
    sheet = hear(wave, RATE)
    assert len(sheet.beats) == sheet.bars * sheet.meter + 1 and sheet.beats.dtype == np.float64
    assert (np.diff(sheet.beats) > 0).all() and 0 <= sheet.beats[0] and sheet.beats[-1] <= sheet.seconds
    assert sheet.seconds == len(wave) / RATE
    assert len(sheet.levels) == sheet.bars and len(sheet.phrases) == -(-sheet.bars // 4)
    assert all(0 <= degree < 7 for degree in sheet.chords)
    assert all(0 <= value <= 1 for value in dataclasses.astuple(sheet.confidence))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 96_000])
def test_the_rate_and_the_level_of_a_recording_do_not_matter(rate):
    wave, truth = played(POP)
    assert_heard(hear(np.float32(0.01) * sound.resample(wave, RATE, rate), rate), truth)


def test_hearing_is_deterministic():
    wave, _ = played(POP)
    one, other = hear(wave, RATE), hear(wave.copy(), RATE)
    np.testing.assert_array_equal(one.beats, other.beats)
    np.testing.assert_array_equal(one.levels, other.levels)
    assert (one.chords, one.phrases, one.confidence) == (other.chords, other.phrases, other.confidence)


def test_confidence_is_lower_where_it_is_harder_to_hear():
    wave, _ = played(POP)
    rng = np.random.default_rng(0)
    clean = hear(wave, RATE).confidence
    buried = hear(wave + rng.standard_normal(len(wave)).astype(np.float32), RATE).confidence
    assert buried.beats < clean.beats - 0.1 and buried.key < clean.key and buried.chords < clean.chords


@pytest.mark.parametrize("kind", unsteady.sounds())
@pytest.mark.parametrize("seed", [100, 101])
def test_the_band_stays_silent_where_there_is_no_beat_or_no_key(kind, seed):
    reason = why_silent(hear(unsteady.sounds()[kind](np.random.default_rng(seed)), RATE))
    expected = {"clicks alone": "key", "drums alone": "key", "three seconds": "3.0 s"}.get(kind, "beat")
    assert reason is not None and expected in reason and reason.endswith("silent.")


@pytest.mark.parametrize("samples", [0, 1, 100, RATE // 10, RATE])
def test_hardly_any_sound_is_no_song(samples):
    sheet = hear(0.1 * np.ones(samples, np.float32), RATE)
    assert sheet.bars == 0 and sheet.phrases == "" and len(sheet.levels) == 0 and len(sheet.beats) == 1
    assert "lasts" in why_silent(sheet)


def test_three_bars_are_too_few():
    wave, _ = played((0, 3, 4), tempo=66)
    assert len(wave) > 8 * RATE
    assert "fewer than 4" in why_silent(hear(wave, RATE))


def test_what_is_no_mono_sound_is_refused():
    wave, _ = played((0, 3, 4, 0))
    with pytest.raises(ValueError, match="average the channels"):
        hear(np.stack([wave, wave], axis=1), RATE)
    wave[1000] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        hear(wave, RATE)


@pytest.mark.parametrize(("genre", "number"), [("folk", 2), ("rock", 3), ("jazz", 0)])
def test_tunes_of_the_corpus_are_heard(genre, number):
    file = next(
        file for file in library.files() if file.path.endswith(f"validation/rearranged/{genre}/tune_{number:02}.flac")
    )
    figures = script.judge(
        hear(sound.mono(library.samples_of(file)), SAMPLE_RATE), next(script.performances(file))[3]
    )
    assert figures["beats"] >= 0.95 and figures["downbeats"] >= 0.9 and figures["onset error"] < 0.02
    assert figures["tonic and mode"] and figures["chords"] >= 0.8 and figures["plays"]


@pytest.mark.slow
def test_every_validation_tune_is_heard_however_it_is_played():
    found = {}
    for file in library.files():
        if file.split == "validation" and "rearranged" in file.path:
            for condition, samples, rate, truth in script.performances(file):
                found.setdefault(condition, []).append(script.judge(hear(samples, rate), truth))
    for condition, part in found.items():
        figures = script.mean(part)
        first, chords = (0.75, 0.7) if condition == "begun within a bar" else (0.9, 0.8)  # a pickup is left out
        assert figures["beats"] >= (0.95 if condition == "as it is" else 0.9), condition
        assert figures["downbeats"] >= first and figures["onset error"] < 0.02, condition
        assert figures["tonic"] >= 0.9 and figures["chords"] >= chords and figures["plays"] >= 0.9, condition


def test_the_judge_counts_what_it_says():
    true = np.arange(0.0, 4.0, 0.5)
    assert script.agreement(true + 0.04, true) == 1 and script.agreement(true + 0.06, true) == 0
    assert script.agreement(true[::2], true) == pytest.approx(2 / 3)
    assert script.agreement(np.array([0.0, 0.01]), true[:1]) == pytest.approx(2 / 3)  # each counts once
    assert script.agreement(np.zeros(0), true) == 0
    tempo = 1 / np.diff(script.drift(16.0, 0.3)(np.arange(0, 32, 0.01))) * 0.01
    assert tempo.max() == pytest.approx(1 / 0.92, rel=0.01) and tempo.min() == pytest.approx(1 / 1.08, rel=0.01)
