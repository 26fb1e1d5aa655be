"""The mel cache: decoded once, also by several processes; whole or not at all; never what a file no longer holds."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gst_jax import data, sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.corpus import library
from gst_jax.data import cache as data_cache
from gst_jax.data import genres as data_genres
from gst_jax.data import shards
from gst_jax.data.frames import Frames
from gst_jax.runs import workers
from gst_jax.sound import AudioError, AudioWarning, loudness

AUDIO, ALL = AudioConfig(n_mels=64), DataConfig(held_out_fraction=0.0)


def noise(rng, seconds):
    return (0.1 * rng.standard_normal(int(seconds * 16_000))).astype(np.float32)


def load(folder, cache, data_config=ALL, progress=None, **audio_settings):
    return data.load_genre(folder, replace(AUDIO, **audio_settings), data_config, cache, progress)


def assert_same(one, other):
    assert (one.tracks, one.held_out, one.skipped) == (other.tracks, other.held_out, other.skipped)
    assert one.statistics == other.statistics
    np.testing.assert_array_equal(one.log_mel, other.log_mel)
    np.testing.assert_array_equal(one.fine_structure, other.fine_structure)
    np.testing.assert_array_equal(one.levels, other.levels)


def expected(path):
    samples = sound.read_wave(path).samples[:, 0]
    return sound.log_mel(samples * loudness.gain_to_reference(loudness.gating_blocks(samples, 16_000), 16_000), AUDIO)


def music(folder, count, rng, seconds=2.5):
    folder.mkdir(parents=True)
    for number in range(count):
        sound.write_wave(folder / f"{number:02}.wav", noise(rng, seconds), 16_000)
    return folder


@pytest.mark.parametrize("change", ["content", "added", "removed", "renamed"])
def test_a_change_of_the_files_is_seen_and_only_what_is_new_is_decoded(rng, tmp_path, decoded, change):
    folder, cache = music(tmp_path / "a", 2, rng), tmp_path / "cache"
    before = load(folder, cache)
    copy = np.array(before.log_mel)
    np.testing.assert_array_equal(load(folder, cache).log_mel, copy)
    assert decoded == ["00.wav", "01.wav"]
    if change == "content":
        sound.write_wave(folder / "00.wav", 0.1 * noise(rng, 2.5), 16_000)  # the same size
    elif change == "added":
        sound.write_wave(folder / "02.wav", noise(rng, 3), 16_000)
    elif change == "removed":
        (folder / "00.wav").unlink()
    else:
        (folder / "00.wav").rename(folder / "w.wav")
    after = load(folder, cache)
    assert decoded[2:] == {"content": ["00.wav"], "added": ["02.wav"], "removed": [], "renamed": ["w.wav"]}[change]
    assert sorted(path.name for path in folder.iterdir()) == sorted(track.path.name for track in after.tracks)
    for track in after.tracks:
        frames = after.log_mel[track.start : track.start + track.frames]
        np.testing.assert_array_equal(frames, expected(track.path))
    assert_same(after, load(folder, tmp_path / "anew"))
    np.testing.assert_array_equal(before.log_mel, copy)  # still served to who has it


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_what_is_kept_is_seen_and_decoded_anew(rng, tmp_path, suffix, place):
    """A flipped bit of a frame is another frame: nothing but a checksum tells."""
    folder, cache = music(tmp_path / "a", 3, rng), tmp_path / "cache"
    whole = load(folder, cache)
    copy = np.array(whole.log_mel)
    path = next(cache.rglob(f"*{suffix}"))
    found = bytearray(path.read_bytes())
    found[int(place * len(found))] ^= 64
    path.write_bytes(found)
    again = load(folder, cache)
    np.testing.assert_array_equal(again.log_mel, copy)
    assert again.statistics == whole.statistics


def test_shards_that_nothing_used_for_a_week_are_removed(rng, tmp_path):
    folder, cache = music(tmp_path / "a", 3, rng), tmp_path / "cache"
    load(folder, cache)
    first = set(cache.rglob("*.np[yz]"))
    (folder / "00.wav").unlink()
    sound.write_wave(folder / "03.wav", noise(rng, 3), 16_000)
    load(folder, cache)
    assert first < set(cache.rglob("*.np[yz]"))  # a training that goes on may read them
    for path in cache.rglob("*.np[yz]"):
        os.utime(path, (time.time() - 8 * 86_400,) * 2)
    again = load(folder, cache)
    left = set(cache.rglob("*.np[yz]"))
    assert len(first - left) == 2 and len(again.log_mel) == sum(track.frames for track in again.tracks)


def test_another_audio_setting_is_measured_apart(audio_dir, tmp_path, decoded):
    folder = audio_dir / "harp"
    assert load(folder, tmp_path).log_mel.shape[1] == 64
    assert load(folder, tmp_path, n_mels=80).log_mel.shape[1] == 80
    assert len(decoded) == 6
    assert load(folder, tmp_path).log_mel.shape[1] == 64
    assert load(folder, tmp_path, n_mels=80).log_mel.shape[1] == 80
    assert len(decoded) == 6


def test_what_trains_may_change_and_only_what_is_missing_is_decoded(audio_dir, tmp_path, decoded):
    folder = audio_dir / "harp"
    held = load(folder, tmp_path, DataConfig(held_out_fraction=0.3))
    assert len(held.held_out) == 1 and len(decoded) == 3
    whole = load(folder, tmp_path)
    assert decoded[3:] == [held.held_out[0].name]  # so far it was only heard
    assert_same(whole, load(folder, tmp_path / "anew"))
    del decoded[:]
    assert_same(load(folder, tmp_path, DataConfig(held_out_fraction=0.3)), held)
    assert decoded == []


def test_fine_structure_is_of_a_bounded_sample_that_stays_when_music_is_added(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(data_genres, "_FITTED", 4)
    folder = music(tmp_path / "a", 12, rng)
    genre = load(folder, tmp_path / "cache")
    sample = data_genres.drawn(sorted(folder.iterdir()), 4)
    (tmp_path / "few").mkdir()
    for path in sample:
        (tmp_path / "few" / path.name).write_bytes(path.read_bytes())
    few = load(tmp_path / "few", tmp_path / "cache")
    np.testing.assert_array_equal(genre.fine_structure, few.fine_structure)
    assert len(genre.tracks) == 12 and genre.statistics != few.statistics
    added = [f"x{number}.wav" for number in range(6)]
    for name in added:
        sound.write_wave(folder / name, noise(rng, 2.5), 16_000)
    assert {path.name for path in data_genres.drawn(sorted(folder.iterdir()), 4)} <= {
        *added,
        *(p.name for p in sample),
    }


def test_a_shard_is_a_plain_npy_file_beside_what_was_found(audio_dir, tmp_path):
    genre = load(audio_dir / "harp", tmp_path)
    frames = {path: np.load(path, mmap_mode="r") for path in (tmp_path / "mels").rglob("*.npy")}
    assert sum(map(len, frames.values())) == len(genre.log_mel)
    for path, held in frames.items():
        with np.load(path.with_suffix(".npz")) as found:
            (told,) = json.loads(found["told"].tobytes())
        (track,) = [track for track in genre.tracks if track.path.name == told["key"][1]]
        np.testing.assert_array_equal(held, genre.log_mel[track.start : track.start + track.frames])


def test_processes_that_fill_the_cache_at_once_agree(audio_dir, tmp_path):
    inner = []

    def progress(tracks, **_):
        for track in tracks:
            yield track
            inner.append(load(audio_dir / "harp", tmp_path))  # another process overtakes after each track

    outer = load(audio_dir / "harp", tmp_path, progress=progress)
    assert inner
    for genre in inner:
        assert_same(genre, outer)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".npy", ".npz"}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("damage", [b"", b"half", bytes(300)], ids=["empty", "half", "zeros"])
def test_a_shard_that_a_power_cut_damaged_is_decoded_anew(audio_dir, tmp_path, decoded, suffix, damage):
    whole = load(audio_dir / "harp", tmp_path)
    victim = min(tmp_path.rglob(f"*{suffix}"))
    victim.write_bytes(victim.read_bytes()[:-40] if damage == b"half" else damage)
    for _ in range(2):
        assert_same(load(audio_dir / "harp", tmp_path), whole)
    assert len(decoded) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be asked there whether it runs")
def test_what_a_killed_process_left_half_written_is_removed(audio_dir, tmp_path, monkeypatch):
    load(audio_dir / "harp", tmp_path)
    (folder,) = (tmp_path / "mels").iterdir()
    train = tmp_path / "corpus" / "train" / "folk"
    train.mkdir(parents=True)
    kill = """
import os, sys
from gst_jax.runs.atomic import replacing
with replacing(sys.argv[1]) as one, replacing(sys.argv[2]) as other:
    one.touch()
    other.touch()
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", kill, folder / "x.npy", train / "00.flac"])
    assert len(list(tmp_path.rglob(".gst_jax-*"))) == 2
    next(folder.glob("*.npz")).unlink()
    load(audio_dir / "harp", tmp_path)
    monkeypatch.setattr(library, "_render_all", lambda *_: None)
    library.build(tmp_path / "corpus")
    assert not list(tmp_path.rglob(".gst_jax-*"))


@pytest.mark.parametrize("change", ["grown", "new", "gone"])
def test_a_folder_that_changes_while_it_is_read_is_refused_and_read_anew(rng, tmp_path, change):
    folder = music(tmp_path / "a", 2, rng)

    def progress(paths, **about):
        yield from paths
        if about["unit"] == "track":  # as when it is still being copied there
            if change == "gone":
                (folder / "00.wav").unlink()
            else:
                sound.write_wave(folder / ("00.wav" if change == "grown" else "zz.wav"), noise(rng, 4), 16_000)

    with pytest.raises(AudioError, match="a changed while it was read; run the command again"):
        load(folder, tmp_path / "cache", progress=progress)
    after = load(folder, tmp_path / "cache")
    assert len(after.tracks) == {"grown": 2, "new": 3, "gone": 1}[change]
    assert_same(after, load(folder, tmp_path / "anew"))


def test_a_file_that_changes_while_it_is_decoded_is_not_kept(rng, tmp_path, monkeypatch):
    folder = music(tmp_path / "a", 2, rng)
    read_blocks = sound.read_blocks

    def changing(path):
        yield from read_blocks(path)
        if path.name == "00.wav":
            os.utime(path, (0, 0))

    monkeypatch.setattr(sound, "read_blocks", changing)
    with pytest.raises(AudioError, match="changed while it was read"):
        load(folder, tmp_path / "cache")
    monkeypatch.undo()
    assert_same(load(folder, tmp_path / "cache"), load(folder, tmp_path / "anew"))


def test_what_was_decoded_is_kept_when_a_damaged_file_is_refused(rng, tmp_path, decoded):
    folder = music(tmp_path / "a", 3, rng)
    soundfile.write(folder / "bad.wav", np.full(48_000, np.nan, np.float32), 16_000, "FLOAT")
    with pytest.raises(AudioError, match=r"bad\.wav holds samples that are NaN"):
        load(folder, tmp_path / "cache")
    del decoded[:]
    for _ in range(2):
        genre = load(folder, tmp_path / "cache", replace(ALL, skip_damaged=True))
        assert len(genre.tracks) == 3 and genre.skipped[0][0].name == "bad.wav"
    assert decoded == []  # that it is damaged was found before
    with pytest.raises(AudioError, match=r"bad\.wav holds samples that are NaN"):
        load(folder, tmp_path / "cache")
    assert decoded == ["bad.wav"]  # who does not skip it has it tried again


# Several processes --------------------------------------------------------------------------------------------------


def test_several_processes_decode_to_the_same_bits(rng, tmp_path, monkeypatch):
    folder = music(tmp_path / "a", 7, rng, seconds=3)
    soundfile.write(folder / "bad.wav", np.full(48_000, np.nan, np.float32), 16_000, "FLOAT")
    cut = folder / "06.wav"
    cut.write_bytes(cut.read_bytes()[:-20_000])
    settings = replace(ALL, skip_damaged=True, speed_semitones=1)
    with pytest.warns(AudioWarning, match=r"06\.wav is cut off"):
        one = load(folder, tmp_path / "one", settings)
    monkeypatch.setattr(data_cache, "_WORTH", 1.0)
    monkeypatch.setattr(workers, "cores", lambda: 3)
    here = []
    monkeypatch.setattr(shards, "write_shard", lambda *given: here.append(given))
    counted = []

    def progress(tracks, total, desc, unit):
        for track in tracks:
            yield track
            counted.append((desc, total, unit))

    with pytest.warns(AudioWarning, match=r"06\.wav is cut off"):
        several = load(folder, tmp_path / "several", settings, progress)
    assert not here and counted.count(("a", 8, "track")) == 8
    assert_same(several, one)
    assert not list(tmp_path.rglob(".gst_jax-*"))


def test_little_to_decode_starts_no_process(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "working", lambda *_: pytest.fail("started processes"))
    monkeypatch.setattr(workers, "cores", lambda: 64)
    assert len(load(music(tmp_path / "a", 10, rng), tmp_path / "cache").tracks) == 10


@pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX")
@pytest.mark.parametrize("end", ["ctrl-c", "kill -9"])
def test_decoding_that_is_ended_goes_on_after_the_last_shard(rng, tmp_path, hearing, end):
    """Ctrl-C reaches the command and its workers alike, as in a terminal; kill -9 the command alone."""
    folder = music(tmp_path / "a", 24, rng, seconds=12)
    code = f"""
from gst_jax.data import cache
from gst_jax.runs import startup, workers
if __name__ == "__main__":
    cache._WORTH, cache._SHARDS_EACH, workers.cores = 1.0, 8, lambda: 2
    from gst_jax import data
    from gst_jax.config import AudioConfig, DataConfig
    with startup.plain_messages():
        data.load_genre({str(folder)!r}, AudioConfig(n_mels=64), DataConfig(held_out_fraction=0.0), {str(tmp_path)!r})
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([*hearing, sys.executable, script], **options) as process:
        while len(list(tmp_path.rglob("mels/*/*.npz"))) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        if end == "kill -9":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)  # until its workers, which could write there, have ended, too
    if end == "ctrl-c":
        assert process.returncode == 130 and errors.split() == ["gst_jax:", "interrupted"]
        assert not list(tmp_path.rglob(".gst_jax-*"))
    there = len(list(tmp_path.rglob("mels/*/*.npz")))
    assert 2 <= there < 12
    left = list(tmp_path.rglob(".gst_jax-*"))  # until the system has forgotten the workers, too
    while any(Path("/proc", path.name.split("-")[2]).exists() for path in left):
        time.sleep(0.01)
    count = []

    def progress(tracks, total, desc, unit):
        count.append((total, unit))
        return tracks

    went_on = load(folder, tmp_path, progress=progress)
    assert count[-1] == (24 - 2 * there, "track")
    assert not list(tmp_path.rglob(".gst_jax-*"))
    assert_same(went_on, load(folder, tmp_path / "whole"))


def test_a_listing_of_frames_reads_only_what_is_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((90, 4)).astype(np.float32)
    pieces = []
    for name, start, count in (("x", 0, 40), ("y", 40, 50)):
        np.save(tmp_path / f"{name}.npy", whole[start : start + count])
        pieces.append((tmp_path / name, 0, count))
    frames = Frames([pieces[0], (pieces[1][0], 10, 40)], 4)
    picked = np.concatenate([whole[:40], whole[50:]])
    assert frames.shape == picked.shape and len(frames) == 80
    for first in range(0, 81, 7):
        for last in range(0, 81, 9):
            np.testing.assert_array_equal(frames[first:last], picked[first:last])
    np.testing.assert_array_equal(np.asarray(frames), picked)
    assert Path(tmp_path / "x.npy").exists()
