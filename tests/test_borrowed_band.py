"""A band borrows the bars that fit a song, on its beats, in its key; no lead is taken, and no long passage."""

import dataclasses
import json
import shutil
import subprocess
import sys
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import unsteady
from scipy import signal

from gst_jax import sound
from gst_jax.band import borrowing, choosing, hearing, recordings
from gst_jax.band.recordings import Recording
from gst_jax.config import Config, ConfigError, DataConfig
from gst_jax.conversion import accompaniment, jobs, planning
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.data.sources import recordings_of
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError, AudioWarning

RATE = unsteady.RATE
ROOTS = (0, 5, 7, 0, 9, 2, 7, 0)  # of the chords, one a bar, above the tonic
LEAD = 84  # MIDI, of a lead that is held all along: no chord and no drum sounds so high


def made(tempo=112.0, tonic=0, roots=ROOTS, bars=16, meter=4, lead=False, strokes=(0.0, 0.5), start=0.4):
    """Play bass, chords and drums: mono float32 [N] at RATE; `strokes` are the places in a beat of the hi-hat."""
    rng = np.random.default_rng(0)
    beat = 60 / tempo
    wave = np.zeros(round((start + bars * meter * beat + 1.0) * RATE))
    hiss = rng.standard_normal(1500) * np.exp(-np.arange(1500) / 250)
    thump = np.sin(2 * np.pi * 55 * np.arange(3000) / RATE) * np.exp(-np.arange(3000) / 700)
    for number in range(bars * meter):
        bar, place = divmod(number, meter)
        onset, root = start + number * beat, (tonic + roots[bar % len(roots)]) % 12
        unsteady.add(wave, onset, unsteady.pluck(36 + root, 1.1 * beat), 1.0 if place == 0 else 0.6)
        for step in (0, 4 if root in ((tonic + major) % 12 for major in (0, 5, 7)) else 3, 7):
            unsteady.add(wave, onset, unsteady.pluck(60 + (root + step) % 12, 1.1 * beat), 0.3)
        unsteady.add(wave, onset, thump if place == 0 else hiss, 0.8)
        for stroke in strokes:
            unsteady.add(wave, onset + stroke * beat, hiss, 0.2)
    if lead:
        time = np.arange(len(wave)) / RATE
        wave += 0.25 * sum(np.sin(2 * np.pi * k * hertz(LEAD) * time) / k for k in (1, 2, 3))
    return unsteady.scaled(wave)


def hertz(midi):
    return 440 * 2 ** ((midi - 69) / 12)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def song():
    wave = made()
    return SimpleNamespace(wave=wave, sheet=hearing.hear(wave, RATE))


def kept(folder, **waves):
    """Write recordings and hear them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wave in waves.items():
        sound.write_wave(folder / f"{name}.wav", wave, RATE)
    return recordings.hear(sound.find_audio(folder), "metal")


def borrowed(sheet, heard, rate=RATE, length=None, take=None):
    length = round(sheet.seconds * rate) if length is None else length
    choices = choosing.choose(sheet, heard)
    return np.concatenate(list(borrowing.perform(sheet, choices, rate, length, take)))


def names(sheet, heard):
    return [choice.recording.path.stem for choice in choosing.choose(sheet, heard)]


@pytest.mark.parametrize(
    "other",
    [
        {"roots": (1, 1, 6, 1, 3, 8, 1, 6)},
        {"strokes": (0.25, 0.75)},
        {"meter": 3},
    ],
    ids=["harmony", "rhythm", "meter"],
)
def test_bars_come_from_the_recording_that_fits(tmp_path, song, other):
    """Both go at the song's pace, in another key, which does not matter; one of them differs in one thing more."""
    heard = kept(tmp_path / "a", fits=made(tonic=2), other=made(tonic=2, **other))
    assert names(song.sheet, heard).count("fits") >= 0.75 * len(names(song.sheet, heard))


def test_a_bass_is_put_in_tune(tmp_path, song):
    """From a recording two semitones higher and six per cent faster: each bar's bass is the song's root."""
    heard = kept(tmp_path / "a", only=made(tempo=119, tonic=2))
    band = borrowed(song.sheet, heard).mean(axis=1)
    lines = np.round(song.sheet.beats[::4] * RATE).astype(int)
    right = 0
    for bar, (start, end) in enumerate(zip(lines[:-1], lines[1:], strict=True)):
        frequencies, power = signal.periodogram(band[start:end], RATE, "hann", nfft=2**18)
        low = (frequencies > 58) & (frequencies < 190)
        heard_at = 69 + 12 * np.log2(frequencies[low][np.argmax(power[low])] / 440)
        off = (heard_at - ROOTS[bar % 8] + 6) % 12 - 6
        right += abs(off) < 0.35 or abs(abs(off) - 5) < 0.35  # the fifth is its third partial, an octave lower
    assert right >= 0.8 * (len(lines) - 1)


@pytest.mark.parametrize("tempo", [98, 112, 128])
def test_what_is_struck_falls_on_the_songs_beats(tmp_path, song, tempo):
    band = borrowed(song.sheet, kept(tmp_path / "a", only=made(tempo=tempo))).mean(axis=1)
    high = np.square(signal.sosfilt(signal.butter(4, 3000, "high", fs=RATE, output="sos"), band))
    for beat in song.sheet.beats[1:-5]:
        first, last = round((beat - 0.08) * RATE), round((beat + 0.08) * RATE)
        begun = np.searchsorted(np.cumsum(high[first:last]) / high[first:last].sum(), 0.1) / RATE - 0.08
        assert abs(begun) < 0.015


@pytest.mark.parametrize("tempo", [80, 92, 100, 112, 126, 140, 160, 224])
def test_pace_and_transposition_stay_within_their_limits(tmp_path, song, tempo):
    """A recording may count half or twice as fast; what is farther is not taken, and it is said."""
    heard = kept(tmp_path / "a", only=made(tempo=tempo, tonic=6))
    paces = [multiple * 112 / tempo for multiple in (0.5, 1, 2)]
    passages = list(borrowing.passages(song.sheet, choosing.choose(song.sheet, heard)))
    lines = song.sheet.beats[::4]
    for passage in passages:
        bars = len(passage.lines) - 1
        pace = (passage.lines[-1] - passage.lines[0]) / (lines[passage.first + bars] - lines[passage.first])
        assert choosing.SLOWEST - 0.02 < pace < choosing.FASTEST + 0.02
        assert abs(passage.semitones) <= choosing.FARTHEST + 0.5
    near = any(choosing.SLOWEST + 0.02 < 1 / pace < choosing.FASTEST - 0.02 for pace in paces)
    far = all(not choosing.SLOWEST - 0.02 < 1 / pace < choosing.FASTEST + 0.02 for pace in paces)
    reason = choosing.why_silent(song.sheet, heard)
    assert not near or (passages and reason is None)
    assert not far or (not passages and "near the song's pace" in reason)


def test_joins_are_few_and_no_passage_is_long(tmp_path, song):
    """From the song itself, what fits best would be all of it in a row."""
    passages = list(borrowing.passages(song.sheet, choosing.choose(song.sheet, kept(tmp_path / "a", same=song.wave))))
    bars = [len(passage.lines) - 1 for passage in passages]
    assert sum(bars) == song.sheet.bars and max(bars) <= choosing.UNIT * choosing.PASSAGE
    assert len(bars) <= -(-song.sheet.bars // max(bars)) + 1
    for one, other in zip(passages[:-1], passages[1:], strict=True):
        assert one.lines[-1] != other.lines[0], "a passage goes on in the next one"


def test_no_lead_is_copied(tmp_path, song):
    """Of a lead that is held, and of chords that are plucked, far less is taken than of what is struck."""
    heard = kept(tmp_path / "a", only=made(lead=True))
    whole = borrowed(song.sheet, heard, take=lambda stereo, rate, semitones: stereo).mean(axis=1)
    taken = borrowed(song.sheet, heard).mean(axis=1)

    def level(wave, low, high):
        frequencies, power = signal.welch(wave, RATE, nperseg=8192)
        return 10 * np.log10(power[(frequencies > low) & (frequencies < high)].sum())

    def lost(low, high):
        return level(whole, low, high) - level(taken, low, high)

    struck = lost(6000, 10_000)
    assert struck < 4
    assert lost(60, 150) < 2
    assert lost(hertz(LEAD - 0.5), hertz(LEAD + 0.5)) > struck + 25
    assert lost(260, 520) > struck + 6  # the chords, each with an attack


@pytest.mark.parametrize("rate", [8_000, 22_051, 44_100])
@pytest.mark.parametrize("more", [-1, 0, 13])
def test_a_band_is_exactly_as_long_as_its_song(tmp_path, song, rate, more):
    heard = kept(tmp_path / "a", only=made(tempo=118))
    length = round(song.sheet.seconds * rate) + more
    band = borrowed(song.sheet, heard, rate, length)
    assert band.shape == (length, 2) and band.dtype == np.float32
    assert np.isfinite(band).all() and np.abs(band).max() > 0.05


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_songs_and_recordings_may_have_any_channels(tmp_path, song, channels):
    (tmp_path / "a").mkdir()
    stereo = np.stack([made(), 0 * made()], axis=1)
    sound.write_wave(tmp_path / "a/left.wav", stereo, RATE)
    band = Band("metal", 1.0, kept(tmp_path / "a"))
    alone = np.repeat(song.wave[:, None], channels, axis=1)
    both = np.concatenate(list(band.along([alone], song.sheet, RATE)))
    assert both.shape == alone.shape and not np.array_equal(both, alone)
    borrowed = np.concatenate(list(band.play(song.sheet, RATE, len(alone))))
    assert np.abs(borrowed[:, 0]).max() > 0.05 and not borrowed[:, 1].any()


def test_the_same_song_gets_the_same_bars(tmp_path, song):
    heard = kept(tmp_path / "a", one=made(tempo=118), other=made(tempo=105, tonic=4))
    again = kept(tmp_path / "a")
    np.testing.assert_array_equal(borrowed(song.sheet, heard), borrowed(song.sheet, again))


def test_the_band_stays_out_of_an_intro_and_a_break(tmp_path, song):
    levels = np.zeros(song.sheet.bars)
    levels[[0, 1, 7]] = -40
    sheet = dataclasses.replace(song.sheet, levels=levels)
    band = borrowed(sheet, kept(tmp_path / "a", only=made()))
    for bar, level in enumerate(levels):
        inside = (sheet.beats[4 * bar : 4 * bar + 5 : 4] + [0.05, -0.05]) * RATE
        assert np.abs(band[slice(*inside.astype(int))]).max() > 0.01 if level == 0 else True
        assert level == 0 or not band[slice(*inside.astype(int))].any()


def test_joins_have_no_click(tmp_path):
    """A held tone below 200 Hz, cut and joined, is nowhere steeper than it is."""
    time = np.arange(40 * RATE) / RATE
    tone = np.stack([np.sin(2 * np.pi * 100 * time)] * 2, axis=1).astype(np.float32)
    sound.write_wave(tmp_path / "tone.wav", 0.3 * tone, RATE)
    song = hearing.hear(made(bars=8), RATE)
    steps = dataclasses.replace(song.steps, **{"bass": song.steps.bass * 0})
    recording = Recording(tmp_path / "tone.wav", 0.4 + 0.53 * np.arange(40), 4, 0.0, 0.2, steps)
    choices = [choosing.Choice(recording, start, 8, 0) for start in (0, 20, 8, 4)]
    band = borrowed_from(song, choices)
    steepest = 2 * np.pi * 100 / RATE * np.abs(band).max()
    assert np.abs(np.diff(band[:, 0])).max() < 1.5 * steepest


def borrowed_from(sheet, choices):
    return np.concatenate(list(borrowing.perform(sheet, choices, RATE, round(sheet.seconds * RATE))))


def test_each_recording_is_heard_once(tmp_path, monkeypatch):
    first = kept(tmp_path / "a", one=made(bars=8))
    monkeypatch.setattr(hearing, "hear", lambda *_: pytest.fail("heard again"))
    (again,) = kept(tmp_path / "a")
    np.testing.assert_array_equal(again.beats, first[0].beats)
    monkeypatch.undo()
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    (changed,) = kept(tmp_path / "a", one=made(bars=8, tempo=90))
    assert len(changed.beats) > 1 and np.diff(changed.beats).mean() > 1.1 * np.diff(again.beats).mean()


def test_of_many_recordings_a_bounded_number_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "MOST", 3)
    wave = made(bars=6)
    assert [part.path.stem for part in kept(tmp_path / "a", **{f"n{number}": wave for number in range(5)})] == [
        "n0",
        "n2",
        "n4",
    ]


def test_recordings_without_a_beat_are_refused(tmp_path, rng):
    with pytest.raises(AudioError, match="no steady beat was heard in the 1 recordings of metal"):
        kept(tmp_path / "a", surf=unsteady.surf(rng))


def run_of(folder, *audio_dirs):
    return RunDirectory(
        path=folder, pair=("folk", "metal"), config=Config(), statistics={}, audio_dirs=tuple(map(str, audio_dirs))
    )


def test_a_band_of_the_users_genre_borrows_from_what_the_run_learned_from(tmp_path):
    kept(tmp_path / "metal", one=made(bars=8))
    band = Band("metal").from_run(run_of(tmp_path / "run", tmp_path))
    assert [part.path for part in band.recordings] == [tmp_path / "metal/one.wav"] and not band.is_arranged


def test_the_builtin_genres_keep_their_arrangers(tmp_path):
    kept(tmp_path / "folk", one=made(bars=8))
    assert Band("folk").from_run(run_of(tmp_path / "run", tmp_path)).is_arranged


@pytest.mark.parametrize(
    ("places", "words"),
    [((), "does not say where its recordings of metal"), (("gone",), "put them back, or leave --band out")],
)
def test_recordings_that_are_gone_are_refused(tmp_path, places, words):
    run = run_of(tmp_path / "run", *(tmp_path / place for place in places))
    with pytest.raises(ConfigError, match=words):
        Band("metal").from_run(run)


def test_recordings_are_found_in_the_folders_that_are_left(tmp_path):
    kept(tmp_path / "metal", one=made(bars=8))
    run = run_of(tmp_path / "run", tmp_path / "gone", tmp_path)
    assert recordings_of(run, "metal") == [tmp_path / "metal/one.wav"]


@pytest.mark.parametrize("skip_damaged", [False, True])
def test_a_file_that_the_run_skipped_as_damaged_is_left_out(tmp_path, skip_damaged):
    kept(tmp_path / "metal", one=made(bars=8))
    (tmp_path / "metal/torn.flac").write_bytes(b"fLaC" + bytes(100))
    run = run_of(tmp_path / "run", tmp_path)
    run = dataclasses.replace(run, config=Config(data=DataConfig(skip_damaged=skip_damaged)))
    if skip_damaged:
        assert [part.path.name for part in Band("metal").from_run(run).recordings] == ["one.wav"]
    else:
        with pytest.raises(AudioError, match="torn"):
            Band("metal").from_run(run)


def test_the_command_finds_the_recordings_of_a_run(tmp_path, song):
    """A run of folk and metal, made of the bundled one, as `gst_jax train` would have left it."""
    kept(tmp_path / "music/metal", only=made(bars=8))
    shutil.copytree("pretrained/folk_rock", tmp_path / "run")
    settings = tmp_path / "run/config.json"
    tree = json.loads(settings.read_text())
    tree |= {"pair": ["folk", "metal"], "audio_dirs": [str(tmp_path / "music")]}
    tree["statistics"] = {"folk": tree["statistics"]["folk"], "metal": tree["statistics"]["rock"]}
    settings.write_text(json.dumps(tree))
    sound.write_wave(tmp_path / "song.wav", song.wave[: 12 * RATE], RATE, subtype="PCM_16")
    command = [sys.executable, "-m", "gst_jax.convert", str(tmp_path / "song.wav"), f"--run={tmp_path / 'run'}"]
    command += ["--to=metal", "--band=1", f"--stems={tmp_path / 'stems'}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sound.read_wave(tmp_path / "out/song.metal-band.wav").samples.shape == (12 * RATE, 1)
    assert np.abs(sound.read_wave(tmp_path / "stems/song.metal-band.band.wav").samples).max() > 0.01
    shutil.rmtree(tmp_path / "music")
    gone = subprocess.run([*command, "--overwrite"], capture_output=True, text=True)
    assert gone.returncode == 1 and "put them back, or leave --band out" in gone.stderr
    assert "Traceback" not in gone.stderr


def converted(tmp_path, song, band):
    sound.write_wave(tmp_path / "song.wav", song.wave, RATE, subtype="PCM_16")
    plan = planning.plan([tmp_path / "song.wav"], tmp_path / "out", "metal")
    stems = planning.Stems(tmp_path / "stems")
    still = Translator.bypass("pretrained/folk_rock", "rock")
    return jobs.convert(plan.jobs, still, tmp_path / "out", 1.0, "gain", band=band, stems=stems)


def test_a_file_is_converted_with_borrowed_bars_of_which_there_is_no_midi(tmp_path, song):
    band = Band("metal", 1.0, kept(tmp_path / "a", only=made()))
    assert not converted(tmp_path, song, band)
    assert {path.name for path in (tmp_path / "stems").iterdir()} == {"song.metal.song.wav", "song.metal.band.wav"}
    assert np.abs(sound.read_wave(tmp_path / "stems/song.metal.band.wav").samples).max() > 0.01


def test_a_song_at_a_pace_that_no_recording_has_is_left_without_a_band_and_it_is_said(tmp_path, song):
    band = Band("metal", 1.0, kept(tmp_path / "a", only=made(tempo=80)))
    with pytest.warns(AudioWarning, match="No recording to borrow bars from comes near the song's pace"):
        assert not converted(tmp_path, song, band)
    assert sound.read_wave(tmp_path / "out/song.metal.wav").samples.shape == (len(song.wave), 1)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(tmp_path, song):
    heard = kept(tmp_path / "a", one=made(tempo=118), other=made(tempo=105, tonic=4))

    def peak(times):
        beats = np.arange(16 * 4 * times + 1) * 60 / 112 + 0.4
        steps = [np.tile(part, (times, *[1] * (part.ndim - 1))) for part in dataclasses.astuple(song.sheet.steps)]
        sheet = dataclasses.replace(
            song.sheet,
            seconds=beats[-1] + 1,
            beats=beats,
            chords=song.sheet.chords * times,
            levels=np.tile(song.sheet.levels, times),
            steps=type(song.sheet.steps)(*steps),
        )
        tracemalloc.start()
        with warnings.catch_warnings():
            for _ in borrowing.play(sheet, heard, 44_100, round(sheet.seconds * 44_100)):
                pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # which imports what is needed
    assert peak(40) < 1.5 * peak(5)


def test_what_a_song_hears_in_its_steps_is_what_was_played(song):
    """The bass of each bar is strongest at its root, and strokes stand out where they fall."""
    steps, sheet = song.sheet.steps, song.sheet
    assert (
        len(steps.onsets) == 4 * (len(sheet.beats) - 1) == len(steps.bass) == len(steps.notes) == len(steps.balance)
    )
    first = round((sheet.beats[0] - 0.4) / (4 * 60 / 112))
    heard = steps.bass.reshape(sheet.bars, -1, 12).sum(axis=1).argmax(axis=1)
    assert np.mean(heard == np.array([ROOTS[(first + bar) % 8] for bar in range(sheet.bars)])) > 0.8
    places = steps.onsets.reshape(-1, 4).mean(axis=0)
    assert min(places[[0, 2]]) > max(places[[1, 3]]) + 1


def test_accompaniment_hears_the_same_of_blocks_as_of_the_whole(song):
    sheet = accompaniment.hear([song.wave[:100_000, None], song.wave[100_000:, None]], RATE)
    np.testing.assert_allclose(sheet.beats, song.sheet.beats, atol=1e-3)
