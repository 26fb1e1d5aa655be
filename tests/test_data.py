import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from librosa import mel_frequencies

from gst_jax import config, data, sound
from gst_jax.config import AudioConfig, Config, ConfigError, DataConfig, TrainingConfig
from gst_jax.corpus import library
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import AudioError, AudioWarning, fine_structure, loudness
from gst_jax.sound.levels import Levels

CONFIG = Config(audio=AudioConfig(n_mels=64), data=DataConfig(disturbance=0.0))
AUDIO, ALL = CONFIG.audio, DataConfig(held_out_fraction=0.0)
T = AUDIO.segment_frames


def names(paths):
    return [path.name for path in paths]


def at_reference(path):
    samples = sound.read_wave(path).samples[:, 0]
    return samples * loudness.gain_to_reference(loudness.gating_blocks(samples, 16_000), 16_000)


def noise(rng, seconds, rate=16_000):
    return (0.1 * rng.standard_normal(int(seconds * rate))).astype(np.float32)


def load(folder, cache, data_config=ALL, **audio_settings):
    return data.load_genre(folder, replace(AUDIO, **audio_settings), data_config, cache)


def made_genre(name, lengths, rng=None):
    """A genre whose frames hold their own number in every bin, or noise."""
    total = sum(lengths)
    log_mel = np.repeat(np.arange(total, dtype=np.float32)[:, None], 64, axis=1)
    if rng is not None:
        log_mel = rng.normal(-20, 7, (total, 64)).astype(np.float32)
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    tracks = tuple(
        data.Track(Path(f"{i}.wav"), start, n) for i, (start, n) in enumerate(zip(starts, lengths, strict=True))
    )
    statistics = Statistics(mean=(0.0,) * 64, deviation=(1.0,) * 64, highest=(99.0,) * 64)
    return data.Genre(
        name, log_mel, tracks, (), (), 1.0, statistics, fine_structure.flat(AUDIO), levels_of(log_mel, tracks)
    )


def levels_of(log_mel, tracks):
    songs = [Levels(log_mel.shape[1]) for _ in tracks]
    for song, track in zip(songs, tracks, strict=True):
        song.add(log_mel[track.start : track.start + track.frames], pauses=False)
    return np.stack([song.packed() for song in songs])


def batches(genre_a, genre_b, batch_size=2, seed=0):
    return data.Batches(genre_a, genre_b, replace(CONFIG, training=TrainingConfig(batch_size=batch_size, seed=seed)))


# Splitting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 101])
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.1, 0.5, 0.9])
def test_a_split_is_complete_disjoint_and_leaves_both_parts_something(count, fraction):
    files = [Path(f"/music/tune {i}.wav") for i in range(count)]
    train, held_out = data.split_tracks(files, fraction)
    assert sorted(train + held_out) == sorted(files)
    assert not set(train) & set(held_out)
    if fraction == 0 or count < 2:
        assert held_out == []
    else:
        assert 1 <= len(held_out) <= count - 1
        assert abs(len(held_out) - fraction * count) <= 1


def test_a_split_depends_on_names_alone():
    files = [Path(f"/music/tune {i}.wav") for i in range(20)]
    moved = [Path("/elsewhere") / path.name for path in reversed(files)]
    assert set(names(data.split_tracks(files, 0.2)[1])) == set(names(data.split_tracks(moved, 0.2)[1]))
    assert names(data.split_tracks(files, 0.2)[1]) != [path.name for path in files[:4]]


# Loading ------------------------------------------------------------------------------------------------------------


def test_a_genre_holds_the_log_mels_of_its_training_tracks(audio_dir, tmp_path):
    genre = data.load_genre(audio_dir / "harp", AUDIO, DataConfig(held_out_fraction=0.3), tmp_path)
    assert genre.name == "harp"
    assert len(genre.held_out) == 1
    assert sorted(names(genre.held_out) + [track.path.name for track in genre.tracks]) == [
        f"tune {i}.wav" for i in range(3)
    ]
    for track in genre.tracks:
        expected = sound.log_mel(at_reference(track.path), AUDIO)
        np.testing.assert_array_equal(genre.log_mel[track.start : track.start + track.frames], expected)
    assert sum(track.frames for track in genre.tracks) == len(genre.log_mel)
    assert genre.minutes == pytest.approx(2 * 4.3 / 60, rel=0.01)
    assert not genre.log_mel[:10].flags.writeable and not genre.log_mel[:10].flags.owndata  # mapped to memory
    np.testing.assert_array_equal(genre.log_mel[100:500], np.array(genre.log_mel)[100:500])  # of both tracks


def test_stereo_of_another_rate_is_mixed_and_resampled_also_where_it_would_cancel(rng, tmp_path):
    (tmp_path / "a").mkdir()
    left = noise(rng, 3, 44_100)
    sound.write_wave(tmp_path / "a" / "x.wav", np.stack([left, -left], axis=1), 44_100)
    sound.write_wave(tmp_path / "a" / "y.wav", np.stack([left, left], axis=1), 44_100)
    genre = load(tmp_path / "a", tmp_path / "cache")
    opposite, same = genre.tracks
    assert opposite.frames == same.frames == 3 * 16_000 // 252
    # What cancels in the plain mean is heard all the same.
    opposite, same = (genre.log_mel[track.start : track.start + track.frames] for track in (opposite, same))
    np.testing.assert_allclose(opposite, same, atol=0.02)


def test_copies_are_as_much_faster_as_they_are_higher(rng, tmp_path):
    (tmp_path / "a").mkdir()
    time = np.arange(6 * 44_100) / 44_100
    wave = 0.3 * np.sin(2 * np.pi * 1000 * time) + 0.01 * noise(rng, 6, 44_100)
    sound.write_wave(tmp_path / "a" / "tone.wav", wave.astype(np.float32), 44_100)
    plain, genre = (
        load(tmp_path / "a", tmp_path / "cache", replace(ALL, speed_semitones=steps), n_mels=128) for steps in (0, 2)
    )
    assert [track.semitones for track in genre.tracks] == [0, -1, 1, -2, 2]
    assert genre.recordings == list(genre.tracks[:1]) == plain.recordings
    assert genre.minutes == plain.minutes == pytest.approx(0.1, rel=0.01)
    assert [track.start for track in genre.tracks] == np.cumsum([0, *(t.frames for t in genre.tracks[:-1])]).tolist()
    centres = mel_frequencies(n_mels=130, fmin=0, fmax=8000)[1:-1]
    for track in genre.tracks:
        ratio = 2 ** (track.semitones / 12)
        assert track.frames == pytest.approx(plain.tracks[0].frames / ratio, abs=1)
        spectrum = genre.log_mel[track.start + 5 : track.start + track.frames - 5].mean(axis=0)
        assert centres[spectrum.argmax()] == pytest.approx(1000 * ratio, rel=0.03)
        assert spectrum[-1] == pytest.approx(spectrum[-20], abs=5)  # a slower copy has its highest bands, too


def test_a_copy_shorter_than_a_segment_is_left_out(rng, tmp_path):
    (tmp_path / "a").mkdir()
    sound.write_wave(tmp_path / "a" / "x.wav", noise(rng, 2.1), 16_000)
    genre = load(tmp_path / "a", tmp_path / "cache", replace(ALL, speed_semitones=2))
    assert sorted(track.semitones for track in genre.tracks) == [-2, -1, 0]
    assert genre.skipped == ()


def test_statistics_are_those_of_the_training_frames(audio_dir, tmp_path):
    genre = data.load_genre(audio_dir / "harp", AUDIO, DataConfig(held_out_fraction=0.3), tmp_path)
    frames = np.array(genre.log_mel, np.float64)
    np.testing.assert_allclose(genre.statistics.mean, frames.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(genre.statistics.deviation, np.maximum(frames.std(axis=0), 1.0), atol=1e-9)
    np.testing.assert_array_equal(np.float32(genre.statistics.highest), frames.max(axis=0).astype(np.float32))


def test_the_level_of_a_recording_does_not_matter(rng, tmp_path):
    wave = noise(rng, 3)
    for folder, level in (("loud", 1.0), ("quiet", 0.05)):
        (tmp_path / folder).mkdir()
        sound.write_wave(tmp_path / folder / "a.wav", level * wave, 16_000, subtype="FLOAT")
    loud, quiet = (np.array(load(tmp_path / folder, tmp_path / "cache").log_mel) for folder in ("loud", "quiet"))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


def test_fine_structure_is_that_of_the_training_tracks(audio_dir, tmp_path):
    genre = data.load_genre(audio_dir / "harp", AUDIO, DataConfig(held_out_fraction=0.3), tmp_path)
    waveforms = (at_reference(track.path) for track in genre.tracks)
    np.testing.assert_allclose(genre.fine_structure, fine_structure.fit(waveforms, AUDIO), rtol=1e-5, atol=1e-4)
    assert genre.fine_structure.any()


def test_a_band_that_never_moves_has_a_deviation_of_one_decibel(tmp_path):
    (tmp_path / "a").mkdir()
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000 * 3) / 16_000)
    sound.write_wave(tmp_path / "a" / "tone.wav", 0.1 * tone, 16_000)
    statistics = load(tmp_path / "a", tmp_path / "cache").statistics
    assert statistics.mean[-1] == sound.LOG_MEL_FLOOR
    assert statistics.deviation[-1] == 1.0


@pytest.fixture
def noise_corpus(rng, tmp_path, monkeypatch):
    """A built-in corpus that takes no time to render, in a cache of its own."""
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))

    def render(root, missing, progress):
        for track in missing:
            (root / track.path).parent.mkdir(parents=True, exist_ok=True)
            sound.write_wave(root / track.path, noise(rng, 2), 16_000)

    monkeypatch.setattr(library, "_render_all", render)


def test_the_built_in_corpus_lends_as_many_tracks_as_it_is_told(noise_corpus):
    for number in (10, 12):
        settings = data.settings_for((), config.load(overrides=[f"data.corpus_tracks={number}"]))
        genres = data.load_pair(("folk", "rock"), (), settings)
        assert [len(genre.tracks) for genre in genres] == [number, number]


def test_the_size_of_the_built_in_corpus_is_no_setting_of_a_folder(audio_dir):
    settings = config.load(overrides=["data.corpus_tracks=60"])
    with pytest.raises(ConfigError, match=r"data\.corpus_tracks is 60, but --audio_dir"):
        data.settings_for([audio_dir], settings)
    assert data.settings_for([audio_dir, data.CORPUS], settings) == settings


@pytest.mark.parametrize("name", ["with space", "লোক সঙ্গীত", "🎸"])
def test_any_folder_name_works(rng, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    sound.write_wave(folder / f"{name}.flac", noise(rng, 3), 16_000)
    for _ in range(2):  # computed, then from the cache
        genre = load(folder, tmp_path / f"cache {name}")
        assert (genre.name, genre.tracks[0].path) == (name, folder / f"{name}.flac")


def test_short_silent_and_foreign_files_are_skipped_with_the_reason(rng, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    sound.write_wave(folder / "fine.wav", noise(rng, 31_752 / 16_000), 16_000)
    sound.write_wave(folder / "short.wav", noise(rng, 31_751 / 16_000), 16_000)
    sound.write_wave(folder / "silent.wav", np.zeros(48_000, np.float32), 16_000)
    (folder / "phone.mid").touch()
    for _ in range(2):
        genre = load(folder, tmp_path / "cache")
        assert [track.path.name for track in genre.tracks] == ["fine.wav"]
        reasons = {path.name: reason for path, reason in genre.skipped}
        assert reasons.keys() == {"short.wav", "silent.wav", "phone.mid"}
        assert reasons["short.wav"] == "it is 1.98 s long, a training segment takes 1.98 s"
        assert reasons["silent.wav"] == "it is silent"
        assert "export it as WAV" in reasons["phone.mid"]


@pytest.mark.parametrize(
    "waveform", [np.ones(1_000, np.float32), np.zeros(48_000, np.float32)], ids=["short", "silent"]
)
def test_a_genre_without_a_usable_track_is_refused(tmp_path, waveform):
    (tmp_path / "a").mkdir()
    sound.write_wave(tmp_path / "a" / "x.wav", waveform, 16_000)
    with pytest.raises(AudioError, match="a has no track to train on: all 1 are skipped, first x.wav: it is"):
        load(tmp_path / "a", tmp_path / "cache")


def test_a_missing_or_empty_folder_is_refused_with_the_remedy(audio_dir, tmp_path):
    with pytest.raises(AudioError, match="no folder .*nowhere; the audio folder must hold one folder per genre"):
        load(tmp_path / "nowhere" / "folk", tmp_path)
    with pytest.raises(AudioError, match="has no folder 'blues'; it holds harp, organ"):
        load(audio_dir / "blues", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match="empty holds no sound file; put WAV, FLAC, OGG or MP3 files there"):
        load(tmp_path / "empty", tmp_path)
    (tmp_path / "empty" / "song.mid").touch()
    with pytest.raises(AudioError, match="empty holds only sound that cannot be read, such as song.mid"):
        load(tmp_path / "empty", tmp_path)


def test_all_bad_files_are_named_at_once_before_one_is_decoded(audio_dir, tmp_path, monkeypatch):
    shutil.copytree(audio_dir, tmp_path / "audio")
    (tmp_path / "audio" / "harp" / "tune 0.wav").write_bytes(b"not sound")
    (tmp_path / "audio" / "organ" / "tune 1.wav").write_bytes(b"")
    monkeypatch.setattr(sound, "read_blocks", lambda path: pytest.fail(f"decoded {path}"))
    with pytest.raises(AudioError, match="(?s)2 files cannot be used:.*harp.tune 0.wav .*organ.tune 1.wav is empty"):
        data.load_genres([tmp_path / "audio"], ["harp", "organ"], AUDIO, ALL, tmp_path / "cache")


def test_a_truncated_file_trains_as_far_as_it_goes(audio_dir, tmp_path):
    shutil.copytree(audio_dir / "harp", tmp_path / "harp")
    victim = tmp_path / "harp" / "tune 1.wav"
    victim.write_bytes(victim.read_bytes()[:100_000])
    with pytest.warns(AudioWarning, match="tune 1.wav is cut off or damaged: 1.2 s are missing"):
        genre = load(tmp_path / "harp", tmp_path / "cache")
    assert [track.frames for track in genre.tracks] == [273, 198, 273]


def test_damage_that_only_decoding_shows_is_refused(rng, tmp_path):
    (tmp_path / "a").mkdir()
    samples = noise(rng, 3)
    samples[40_000] = np.nan
    for name in "xyz":
        soundfile.write(tmp_path / "a" / f"{name}.wav", samples, 16_000, "FLOAT")
    with pytest.raises(AudioError, match="(?s)3 files cannot be used:.*x.wav holds samples that are NaN.*z.wav"):
        load(tmp_path / "a", tmp_path / "cache")


def test_damaged_sound_of_all_genres_is_named_in_one_message(rng, tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    samples = noise(rng, 3)
    for genre in "abc":
        (tmp_path / genre).mkdir()
        soundfile.write(tmp_path / genre / "fine.wav", samples, 16_000, "FLOAT")
    samples[40_000] = np.nan
    for genre in "ac":
        soundfile.write(tmp_path / genre / "bad.wav", samples, 16_000, "FLOAT")
    with pytest.raises(AudioError) as raised:
        data.load_each(["a", "b", "c"], [tmp_path], replace(CONFIG, data=ALL))
    first, *lines, last = str(raised.value).splitlines()
    assert first == "2 files cannot be used:" and last == "to train without them: --set=data.skip_damaged=true"
    assert [str(tmp_path / genre / "bad.wav") in line for genre, line in zip("ac", lines, strict=True)] == [True] * 2


def test_damaged_files_are_left_out_where_that_is_asked_for(rng, tmp_path):
    """Those with a bad header, and those whose damage only decoding shows; the others train as if alone."""
    waves = {name: noise(rng, 3) for name in "abcd"}
    for folder in ("all", "good"):
        (tmp_path / folder / "x").mkdir(parents=True)
        for name, wave in waves.items():
            soundfile.write(tmp_path / folder / "x" / f"{name}.wav", wave, 16_000, "FLOAT")
    waves["a"][40_000] = np.nan
    soundfile.write(tmp_path / "all" / "x" / "e.wav", waves["a"], 16_000, "FLOAT")
    (tmp_path / "all" / "x" / "f.wav").write_bytes(b"not sound")
    settings = replace(ALL, skip_damaged=True)
    genre = data.load_genre(tmp_path / "all" / "x", AUDIO, settings, tmp_path / "cache")
    assert {path.name: reason.split("wav ")[1][:12] for path, reason in genre.skipped} == {
        "e.wav": "holds sample",
        "f.wav": "is not sound",
    }
    good = data.load_genre(tmp_path / "good" / "x", AUDIO, ALL, tmp_path / "cache")
    np.testing.assert_array_equal(genre.log_mel, good.log_mel)
    assert genre.statistics == good.statistics
    again = data.load_genre(tmp_path / "all" / "x", AUDIO, settings, tmp_path / "cache")
    assert again.skipped == genre.skipped  # from the cache


def test_a_home_folder_is_not_listed_by_the_page(tmp_path):
    for number in range(40):
        (tmp_path / f"folder {number:02}").mkdir()
    with pytest.raises(ConfigError, match=r"holds 40 folders \(folder 00, .*, folder 11 and 28 more\); name two"):
        data.find_pairs(None, [tmp_path], "all")
    with pytest.raises(ConfigError, match=r"of folder 00, .*, folder 11 \.\.\.$"):
        data.find_pairs("folk", [tmp_path], "all")


@pytest.mark.parametrize(("wave", "what"), [(np.nan, "NaN"), (0.0, "silent")])
def test_a_held_out_file_is_looked_at_as_a_training_file_is(rng, tmp_path, wave, what):
    files = [tmp_path / "a" / f"{name}.wav" for name in "uvwxyz"]
    _, held_out = data.split_tracks(files, 0.2)
    (tmp_path / "a").mkdir()
    for path in files:
        sound.write_wave(path, noise(rng, 3), 16_000)
    soundfile.write(held_out[0], np.full(48_000, wave, np.float32), 16_000, "FLOAT")
    halves = replace(ALL, held_out_fraction=0.2)
    if what == "NaN":
        with pytest.raises(AudioError, match=f"{held_out[0].name} holds samples that are NaN"):
            load(tmp_path / "a", tmp_path / "cache", halves)
    else:
        genre = load(tmp_path / "a", tmp_path / "cache", halves)
        assert genre.skipped == ((held_out[0], "it is silent"),) and genre.held_out == ()


def test_a_long_recording_is_what_it_would_be_in_memory(rng, tmp_path, monkeypatch):
    """On the disk in between, read piece by piece, at two speeds: the log-mels of the whole to the bit."""
    monkeypatch.setattr("gst_jax.sound.streams._SPOOL_BYTES", 1000)
    (tmp_path / "a").mkdir()
    wave = np.stack([noise(rng, 70, 22_050), noise(rng, 70, 22_050)], axis=1)
    sound.write_wave(tmp_path / "a" / "x.wav", wave, 22_050)
    genre = load(tmp_path / "a", tmp_path / "cache", replace(ALL, speed_semitones=1))
    samples = sound.mono(sound.read_wave(tmp_path / "a" / "x.wav").samples)
    for track in genre.tracks:
        copy = sound.resample(samples, round(22_050 * 2 ** (track.semitones / 12)), 16_000)
        copy = copy * np.float32(loudness.gain_to_reference(loudness.gating_blocks(copy, 16_000), 16_000))
        expected = sound.log_mel(copy, AUDIO)
        frames = genre.log_mel[track.start : track.start + track.frames]
        assert frames.shape == expected.shape and np.abs(frames - expected).max() < 1e-3


@pytest.mark.slow
def test_an_hour_is_measured_in_little_memory(tmp_path):
    (tmp_path / "a").mkdir()
    block = 0.1 * np.random.default_rng(0).standard_normal((441_000, 2)).astype(np.float32)
    kind = sound.choose_kind("x.flac", 44_100, 2)
    sound.write_blocks(tmp_path / "a" / "hour.flac", (block for _ in range(360)), 44_100, 2, kind)
    code = (
        "from gst_jax import config, data; from gst_jax.runs import provenance;"
        f"data.load_genre({str(tmp_path / 'a')!r}, config.AudioConfig(), config.DataConfig(), {str(tmp_path)!r});"
        "print(provenance.peak_memory_mb())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 600


def test_progress_is_told_of_every_track(audio_dir, tmp_path):
    seen = []

    def progress(paths, total, desc, unit):
        seen.append((total, desc, unit))
        return paths

    data.load_genres([audio_dir], ["harp", "organ"], AUDIO, ALL, tmp_path, progress)
    looked = [(3, "looking at harp", "file"), (3, "looking at organ", "file")]
    assert seen == [*looked, (3, "harp", "track"), (3, "organ", "track")]
    data.load_genres([audio_dir], ["harp", "organ"], AUDIO, ALL, tmp_path, progress)
    assert len(seen) == 4  # nothing is measured twice


# Several folders ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_dirs(rng, tmp_path):
    """Two audio folders: `one` holds folk and metal, `two` folk and jazz; both have a file `folk/a.wav`."""
    for place in ("one/folk/a", "one/folk/b", "one/metal/x", "two/folk/a", "two/folk/c", "two/jazz/y"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        sound.write_wave(tmp_path / f"{place}.wav", noise(rng, 2 + len(place) % 3), 16_000)
    return [tmp_path / "one", tmp_path / "two"]


def test_a_genre_is_what_all_its_folders_hold(two_dirs, tmp_path, monkeypatch, decoded):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    for _ in range(2):  # computed, then from the cache
        folk, metal, jazz = data.load_each(["folk", "metal", "jazz"], two_dirs, replace(CONFIG, data=ALL))
        files = [path for place in two_dirs for path in sorted((place / "folk").iterdir())]
        assert [track.path for track in folk.tracks] == files and len(files) == 4
        assert [names(track.path for track in genre.tracks) for genre in (metal, jazz)] == [["x.wav"], ["y.wav"]]
        for track in folk.tracks:
            expected = sound.log_mel(at_reference(track.path), AUDIO)
            np.testing.assert_array_equal(folk.log_mel[track.start : track.start + track.frames], expected)
        assert len(decoded) == 6
    (two_dirs[1] / "folk" / "c.wav").unlink()  # a change in any of the folders is seen
    assert len(data.load_each(["folk"], two_dirs, replace(CONFIG, data=ALL))[0].tracks) == 3


def test_tracks_are_held_out_of_all_folders_together(two_dirs, tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    half = replace(CONFIG, data=DataConfig(held_out_fraction=0.5))
    files = [path for place in two_dirs for path in sorted((place / "folk").iterdir())]
    for _ in range(2):
        (folk,) = data.load_each(["folk"], two_dirs, half)
        assert ([track.path for track in folk.tracks], list(folk.held_out)) == data.split_tracks(files, 0.5)


def test_the_built_in_corpus_beside_a_folder_trains_whole(two_dirs, noise_corpus):
    dirs = data.find_audio_dirs([data.CORPUS, *two_dirs])
    settings = data.settings_for(dirs, config.load(overrides=["data.corpus_tracks=12", "data.held_out_fraction=0.5"]))
    for _ in range(2):
        folk, rock, metal = data.load_each(["folk", "rock", "metal"], dirs, settings)
        lent = [path for path in (track.path for track in folk.tracks) if "train_12" in path.parts]
        assert (len(lent), len(folk.tracks), len(folk.held_out)) == (12, 14, 2)
        assert all(path.parents[1] in two_dirs for path in folk.held_out)
        assert (len(rock.tracks), rock.held_out, len(metal.tracks)) == (12, (), 1)
    # Given by its path, the corpus is a folder as any other.
    (as_own,) = data.load_each(["folk"], [lent[0].parents[1]], replace(settings, data=DataConfig()))
    assert len(as_own.held_out) == 1


def test_what_a_run_did_not_train_on_is_of_the_user_or_else_of_the_corpus(two_dirs, noise_corpus):
    dirs = data.find_audio_dirs([*two_dirs, data.CORPUS])
    settings = data.settings_for(dirs, CONFIG)
    pair = data.load_pair(("folk", "rock"), dirs, settings)
    levels = {genre.name: genre.statistics for genre in pair}
    run = RunDirectory(path=Path("x"), pair=("folk", "rock"), config=settings, statistics=levels, audio_dirs=dirs)
    assert data.unseen_tracks(pair[0], run) == pair[0].held_out != ()
    tunes = data.unseen_tracks(pair[1], run)
    assert len(tunes) > 1 and all(path.parts[-4:-1] == ("validation", "rearranged", "rock") for path in tunes)
    assert data.sample_tracks(run, 2) == {"folk": list(pair[0].held_out[:2]), "rock": list(tunes[:2])}
    assert data.unseen_tracks(replace(pair[1], name="metal"), run) == ()


def test_a_genre_that_no_folder_holds_is_refused_before_the_corpus_is_rendered(two_dirs, tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "_render_all", lambda *_: pytest.fail("rendered"))
    one, two = two_dirs
    with pytest.raises(AudioError, match=f"{one} and {two} have no folder 'lute'; they hold folk, jazz, metal: make"):
        data.load_pair(("folk", "lute"), two_dirs, CONFIG)
    with pytest.raises(AudioError, match=f"{one} and the built-in corpus have no folder 'lute'; .*jazz, metal, rock"):
        data.load_pair(("folk", "lute"), [one, data.CORPUS], CONFIG)
    data.load_each(["metal"], [one, data.CORPUS], CONFIG)  # needs nothing of the corpus


def test_a_pair_is_found_in_all_folders(two_dirs):
    one, two = two_dirs
    assert data.find_pairs("metal_jazz", two_dirs, "folk_rock") == [("metal", "jazz")]
    assert data.find_pairs(None, [one], "folk_rock") == [("folk", "metal")]
    with pytest.raises(ConfigError, match=r"two hold 3 folders \(folk, jazz, metal\); name two of them"):
        data.find_pairs(None, two_dirs, "folk_rock")
    with pytest.raises(ConfigError, match=r"corpus hold 4 folders \(folk, jazz, metal, rock\)"):
        data.find_pairs(None, [one, data.CORPUS], "folk_rock")


def test_one_genre_may_be_written_in_two_encodings(rng, tmp_path):
    for place, name in (("one", "be\u0301"), ("two", "b\u00e9")):
        (tmp_path / place / name).mkdir(parents=True)
        sound.write_wave(tmp_path / place / name / "x.wav", noise(rng, 3), 16_000)
    dirs = [tmp_path / "one", tmp_path / "two"]
    ((name, _),) = data.find_pairs("b\u00e9_y", dirs, "folk_rock")
    assert len(data.load_genres(dirs, [name], AUDIO, ALL, tmp_path / "cache")[0].tracks) == 2


def test_the_order_in_which_folders_are_given_does_not_matter(two_dirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = map(str, two_dirs)
    (tmp_path / "corpus").mkdir()
    assert data.find_audio_dirs(["two", "corpus", one]) == (one, two, "corpus")
    assert data.find_audio_dirs(["one/../two", "./corpus"]) == (str(tmp_path / "corpus"), two)
    assert data.find_audio_dirs([]) == data.find_audio_dirs(["corpus"]) == ()
    assert data.find_audio_dirs(data.find_audio_dirs(["corpus", "two"])) == (two, "corpus")


def test_a_folder_given_twice_is_refused(two_dirs, tmp_path, monkeypatch):
    one, two = two_dirs
    (tmp_path / "link").symlink_to(one, target_is_directory=True)
    for again in (one, tmp_path / "link", f"{two}/../one"):
        with pytest.raises(AudioError, match=f"--audio_dir={one} is given twice; leave one of them out"):
            data.find_audio_dirs([one, two, again])
    with pytest.raises(AudioError, match="--audio_dir=corpus is given twice"):
        data.find_audio_dirs(["corpus", "corpus"])
    with pytest.raises(AudioError, match="there is no folder .*three"):
        data.find_audio_dirs([one, tmp_path / "three"])
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "folk").symlink_to(one / "folk", target_is_directory=True)
    with pytest.raises(AudioError, match="one and the same folder"):
        data.load_genres([one, tmp_path / "linked"], ["folk"], AUDIO, ALL, tmp_path / "cache")
    shutil.copytree(two / "folk", one / "folk" / "folk")
    with pytest.raises(AudioError, match="folk lies in .*folk, so that its files would train twice"):
        data.load_genres([one, one / "folk"], ["folk"], AUDIO, ALL, tmp_path / "cache")


def test_a_linked_folder_is_a_genre_under_the_name_of_the_link(audio_dir, tmp_path):
    (tmp_path / "lyre").symlink_to(audio_dir / "harp", target_is_directory=True)
    linked, plain = load(tmp_path / "lyre", tmp_path / "cache"), load(audio_dir / "harp", tmp_path / "cache")
    assert (linked.name, plain.name) == ("lyre", "harp")
    np.testing.assert_array_equal(linked.log_mel, plain.log_mel)
    assert all(track.path.parent == tmp_path / "lyre" for track in linked.tracks)


def test_one_folder_under_two_names_is_no_pair(audio_dir, tmp_path):
    """As a link, or as Folk and folk where capitals do not count."""
    (tmp_path / "harp").symlink_to(audio_dir / "harp", target_is_directory=True)
    (tmp_path / "Harp").symlink_to(audio_dir / "harp", target_is_directory=True)
    with pytest.raises(AudioError, match="Harp and .*harp are one and the same folder"):
        data.load_genres([tmp_path], ["Harp", "harp"], AUDIO, ALL, tmp_path / "cache")


@pytest.mark.parametrize("text", [None, "b\u00e9_\u09b2\u09af\u09bc", "be\u0301_\u09b2\u09df"])
def test_a_pair_may_be_typed_in_another_encoding_than_its_folders_have(tmp_path, text):
    """Accented letters and the Bangla letter yya are one sign or two; a keyboard and a disk may differ."""
    folders = ["be\u0301", "\u09b2\u09df"]
    for name in folders:
        (tmp_path / name).mkdir()
    assert data.find_pairs(text, [tmp_path], default="folk_rock") == [tuple(folders)]


def test_the_report_of_a_larger_corpus_renders_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path))
    rendered = []
    monkeypatch.setattr(library, "_render_all", lambda root, missing, progress: rendered.extend(missing))
    settings = data.settings_for((), config.load(overrides=["data.corpus_tracks=12"]))
    run = RunDirectory(path=tmp_path, pair=("folk", "rock"), config=settings, statistics={})
    tracks = data.sample_tracks(run, 2)
    assert {file.path.split("/")[0] for file in rendered} == {"train_12", "paired"}
    assert {path.relative_to(tmp_path / "corpus").as_posix() for paths in tracks.values() for path in paths} <= {
        file.path for file in rendered if file.split == "validation"
    }


# Batches ------------------------------------------------------------------------------------------------------------


def test_batches_have_one_static_shape(audio_dir, tmp_path):
    served = data.Batches(*data.load_genres([audio_dir], ["harp", "organ"], AUDIO, ALL, tmp_path), CONFIG)
    assert served.steps_per_epoch == 3  # 3 tracks of 4.3 s are 6 segments of 2 s
    for step in range(7):
        batch = served.batch_at(step)
        assert batch.keys() == {"a", "b", "real_a", "real_b"}
        for part in batch.values():
            assert type(part) is np.ndarray
            assert (part.shape, part.dtype) == ((2, 126, 64), np.float32)
            assert np.isfinite(part).all()


def test_a_batch_is_a_function_of_seed_and_step(rng):
    genres = made_genre("a", [900, 400], rng), made_genre("b", [300], rng)
    forth, back = batches(*genres), batches(*genres)
    steps = list(range(30))
    first = {step: forth.batch_at(step) for step in steps}
    for step in reversed(steps):
        again = back.batch_at(step)
        for key in data.PARTS:
            np.testing.assert_array_equal(again[key], first[step][key])
    other = batches(*genres, seed=1)
    assert any((other.batch_at(step)["a"] != first[step]["a"]).any() for step in steps)


def test_a_batch_is_never_written_to_again(rng):
    served = batches(made_genre("a", [900], rng), made_genre("b", [300], rng))
    batch = served.batch_at(3)
    copies = {key: part.copy() for key, part in batch.items()}
    same = served.batch_at(3)
    for key in data.PARTS:
        assert not np.shares_memory(batch[key], same[key])
        assert batch[key].flags.owndata and batch[key].flags.writeable
    for step in range(10):
        served.batch_at(step)
    for key in data.PARTS:
        np.testing.assert_array_equal(batch[key], copies[key])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 40])
def test_an_epoch_shows_every_segment(batch_size):
    lengths = [5 * T, 3 * T, T]  # exact multiples: the track's edges leave the outer segments half their jitter
    served = batches(made_genre("a", lengths), made_genre("b", [2 * T]), batch_size)
    assert served.steps_per_epoch == -(-9 // batch_size)
    for epoch in range(3):
        first = epoch * served.steps_per_epoch
        starts = [
            batch["real_a"][:, 0, 0] for batch in map(served.batch_at, range(first, first + served.steps_per_epoch))
        ]
        starts = np.concatenate(starts)[:9]  # what fills the last batch begins the next cycle
        # 5 + 3 + 1 segments, each at most half a segment from its place
        assert [
            np.sum((starts >= low) & (starts < high)) for low, high in ((0, 5 * T), (5 * T, 8 * T), (8 * T, 9 * T))
        ] == [5, 3, 1]
        places = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8]) * T
        assert np.all(np.abs(np.sort(starts) - places) <= T // 2)


def test_the_smaller_genre_is_shuffled_anew_each_time_around():
    served = batches(made_genre("a", [40 * T]), made_genre("b", [4 * T]), batch_size=4)
    orders = [tuple(np.round(served.batch_at(step)["real_b"][:, 0, 0] / T).astype(int)) for step in range(10)]
    assert all(len(set(order)) >= 3 for order in orders)  # one cycle a batch; jitter may round two to the same
    assert len(set(orders)) > 5


def test_segments_stay_within_their_track_and_their_time_is_unbroken():
    lengths = [T, 2 * T + 50, 3 * T - 1]
    served = batches(made_genre("a", lengths), made_genre("b", [T]), batch_size=4)
    ends = np.cumsum(lengths)
    starts = set()
    for step in range(400):
        for segment in served.batch_at(step)["real_a"]:
            np.testing.assert_array_equal(segment[:, 7], segment[0, 0] + np.arange(T))
            first = int(segment[0, 0])
            assert np.searchsorted(ends, first, side="right") == np.searchsorted(ends, first + T - 1, side="right")
            starts.add(first)
    assert {0, T, T + T + 50, 3 * T + 50}.issubset(starts)  # each track's first moment, the second's last start too
    assert len(starts) > 200  # the time of a segment varies


def test_standardised_frames_have_mean_zero_and_deviation_one(rng, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    shape = np.linspace(1, 0.05, 16_000 * 8) * (1 + np.sin(np.arange(16_000 * 8) / 3_000))
    sound.write_wave(folder / "x.wav", shape * noise(rng, 8), 16_000, "FLOAT")
    genre = load(folder, tmp_path / "cache")
    whole = replace(CONFIG, audio=AudioConfig(n_mels=64, segment_seconds=8.0), training=TrainingConfig(batch_size=1))
    segment = data.Batches(genre, genre, whole).batch_at(0)["real_a"][0]
    assert len(segment) == len(genre.log_mel)  # one segment that is all there is
    np.testing.assert_allclose(segment.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(segment.std(axis=0), 1, atol=1e-4)


def test_each_genre_is_standardised_by_its_own_statistics(rng):
    loud = made_genre("a", [T], rng)
    loud = replace(
        loud, statistics=Statistics(mean=(-20.0,) * 64, deviation=(2.0,) * 63 + (4.0,), highest=(99.0,) * 64)
    )
    batch = batches(loud, made_genre("b", [T], rng), batch_size=1).batch_at(0)
    np.testing.assert_allclose(batch["real_a"][0, :, 0], (loud.log_mel[:, 0] + 20) / 2, atol=1e-5)
    np.testing.assert_allclose(batch["real_a"][0, :, 63], (loud.log_mel[:, 63] + 20) / 4, atol=1e-5)


def test_what_is_converted_is_standardised_by_its_track_as_far_as_the_share_says(rng):
    """A track 6 dB louder than its genre, and moving half as much, is met between."""
    genre = made_genre("a", [400 * T], rng)
    genre = replace(genre, log_mel=(genre.log_mel * 0.5 + 6).astype(np.float32))
    genre = replace(genre, statistics=Statistics(mean=(-10.0,) * 64, deviation=(7.0,) * 64, highest=(99.0,) * 64))
    genre = replace(genre, levels=levels_of(genre.log_mel, genre.tracks))
    own_mean, own_deviation = genre.log_mel.mean(axis=0), genre.log_mel.std(axis=0)
    for share in (0.0, 0.6, 1.0):
        settings = replace(CONFIG, model=replace(CONFIG.model, song_share=share))
        batch = data.Batches(genre, genre, settings).batch_at(0)
        mean, deviation = -10 + share * (own_mean + 10), 7 + share * (own_deviation - 7)
        segment = 7 * batch["real_a"] - 10
        np.testing.assert_allclose(batch["a"], (segment - mean) / deviation, atol=0.05)
        if share == 0:
            np.testing.assert_array_equal(batch["a"], batch["real_a"])


def test_disturbance_changes_what_is_converted_and_never_what_is_real(rng):
    genre = made_genre("a", [40 * T], rng)
    genre = replace(genre, statistics=Statistics(mean=(-20.0,) * 64, deviation=(7.0,) * 64, highest=(99.0,) * 64))
    calm, wild = (
        data.Batches(genre, genre, replace(CONFIG, data=replace(CONFIG.data, disturbance=strength)))
        for strength in (0.0, 1.0)
    )
    changed = []
    for step in range(20):
        one, other = calm.batch_at(step), wild.batch_at(step)
        np.testing.assert_array_equal(one["real_a"], other["real_a"])
        np.testing.assert_array_equal(other["a"], wild.batch_at(step)["a"])
        changed.append(float(np.abs(one["a"] - other["a"]).mean()))
        assert np.isfinite(other["a"]).all()
    assert min(changed) > 0 and 0.3 < max(changed) < 3
