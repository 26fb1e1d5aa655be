"""What would be learned in place of a style is said before training."""

import numpy as np
import pytest

from gst_jax import config, data, prepare, sound
from gst_jax.config import AudioConfig, DataConfig
from gst_jax.corpus import library
from gst_jax.learning import loop
from gst_jax.sound import resample
from gst_jax.speed import estimate

AUDIO = AudioConfig(n_mels=64)
RATE = 16_000


def tune(rng, seconds=16.0, decay=6.0, partials=12):
    """Play random notes over random noise, each of its own length -> float32 [N]."""
    time = np.arange(int(seconds * RATE)) / RATE
    starts = np.cumsum(rng.uniform(0.1, 0.5, int(8 * seconds)))
    note = np.searchsorted(starts, time)
    since = time - np.concatenate([[0], starts])[note]
    pitch = 150.0 * 2.0 ** (rng.integers(0, 30, len(starts) + 1)[note] / 12)
    wave = sum(np.sin(2 * np.pi * pitch * k * since) / k**0.5 for k in range(1, partials) if k * 900 < RATE / 2)
    loud = rng.uniform(0, 0.3, len(starts) + 1)[note]
    return (np.exp(-decay * since) * (0.2 * wave + loud * rng.standard_normal(len(time)))).astype(np.float32)


def write(folder, name, wave, rate=RATE):
    folder.mkdir(parents=True, exist_ok=True)
    sound.write_wave(folder / name, 0.9 * wave / np.abs(wave).max(), rate, "PCM_16")


def said_of(root, a="a", b="b", audio=AUDIO):
    genres = data.load_genres([root], [a, b], audio, DataConfig(held_out_fraction=0.0), root / "cache")
    return data.cautions(*genres, audio)


def test_too_little_music_is_said(tmp_path, rng):
    for genre, decay, lengths in (("a", 3.0, [20] * 7), ("b", 30.0, [20] * 5 + [15])):
        for number, seconds in enumerate(lengths):
            write(tmp_path / genre, f"{number}.wav", tune(rng, seconds, decay))
    assert said_of(tmp_path) == ["only 115 s of b: too little to learn from; half an hour is good"]


@pytest.mark.parametrize("kind", ["the same file", "MP3 of half the level, cut at the start", "at another rate"])
def test_a_recording_in_both_genres_is_found_however_it_was_stored(tmp_path, rng, kind):
    tunes = [tune(rng) for _ in range(6)]
    for number, wave in enumerate(tunes):
        write(tmp_path / "ab"[number % 2], f"{number}.wav", wave)
    if kind == "the same file":
        write(tmp_path / "b", "again.wav", tunes[4])
    elif kind == "at another rate":
        write(tmp_path / "b", "again.wav", resample(tunes[4], RATE, 22_050), 22_050)
    else:
        path = tmp_path / "b" / "again.mp3"
        cut = 0.5 * resample(tunes[4][int(1.234 * RATE) :, None], RATE, 44_100)
        sound.write_blocks(path, [cut], 44_100, 1, sound.choose_kind(path, 44_100, 1))
    said = [line for line in said_of(tmp_path) if "recording" in line]
    name = "again.mp3" if kind.startswith("MP3") else "again.wav"
    assert said[0] == f"a/4.wav and b/{name} are one recording: keep each in one folder"


def test_one_tune_that_two_genres_play_is_no_copy(tmp_path):
    """Of the built-in corpus, whose every tune is arranged for all genres, on one bank of sounds."""
    said = said_of(library.build(library.default_directory()) / "paired/validation/rearranged", "folk", "rock")
    assert said == ["only 80 s of folk: too little to learn from; half an hour is good"] + [
        "only 80 s of rock: too little to learn from; half an hour is good"
    ]


def test_a_drone_is_not_a_copy_of_another(tmp_path):
    time = np.arange(20 * RATE) / RATE
    for genre, pitch in (("a", 220), ("b", 222)):
        write(tmp_path / genre, "drone.wav", sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 9)))
    assert not [line for line in said_of(tmp_path) if "one recording" in line]


def test_two_folders_of_one_kind_of_music_are_alike_and_two_kinds_are_not(tmp_path, rng):
    for number in range(6):
        write(tmp_path / "a", f"{number}.wav", tune(rng, decay=rng.uniform(3, 6)))
        write(tmp_path / "b", f"{number}.wav", tune(rng, decay=rng.uniform(3, 6)))
        write(tmp_path / "c", f"{number}.wav", tune(rng, decay=rng.uniform(15, 30)))
    alike = "a and b differ no more than their recordings dealt out at random: little to learn"
    assert alike in said_of(tmp_path) and not [line for line in said_of(tmp_path, "a", "c") if "at random" in line]


def test_four_recordings_are_too_few_to_say_that_they_are_alike(tmp_path, rng):
    for number in range(8):
        write(tmp_path / "ab"[number % 2], f"{number}.wav", tune(rng))
    assert not [line for line in said_of(tmp_path) if "at random" in line]


@pytest.mark.parametrize(("rate", "is_said"), [(8_000, True), (11_025, True), (16_000, False), (44_100, False)])
def test_a_folder_of_narrower_recordings_is_said_with_both_limits(tmp_path, rng, rate, is_said):
    for number in range(3):
        write(tmp_path / "a", f"{number}.wav", resample(tune(rng), RATE, rate), rate)
        write(tmp_path / "b", f"{number}.wav", tune(rng, decay=20.0))
    said = [line for line in said_of(tmp_path) if "Hz" in line]
    assert bool(said) == is_said
    if is_said:
        narrow, wide = (int(part.split(" Hz")[0]) for part in said[0].split("ends at ")[1].split(", b at "))
        assert abs(narrow - rate / 2) < 0.08 * rate / 2 and wide > 7_500


def test_one_narrow_recording_of_many_does_not_matter(tmp_path, rng):
    for number in range(3):
        write(tmp_path / "a", f"{number}.wav", tune(rng))
        rate = 8_000 if number == 0 else RATE
        write(tmp_path / "b", f"{number}.wav", resample(tune(rng), RATE, rate), rate)
    assert not [line for line in said_of(tmp_path) if "Hz" in line]


def test_loudness_is_no_style_and_is_not_said(tmp_path, rng):
    for number in range(3):
        write(tmp_path / "a", f"{number}.wav", tune(rng))
        (tmp_path / "b").mkdir(exist_ok=True)
        sound.write_wave(tmp_path / "b" / f"{number}.wav", 0.01 * tune(rng), RATE)
    assert all(line.startswith("only ") for line in said_of(tmp_path))


def test_prepare_and_train_say_it_and_the_table_fits_a_terminal(tmp_path, rng, capsys, monkeypatch):
    for number in range(3):
        write(tmp_path / "in" / "a genre with a name", f"{number}.wav", wave := tune(rng, 4))
        write(tmp_path / "in" / "b", f"{number + 5}.wav", wave)
    pair, places = ("a genre with a name", "b"), (str(tmp_path / "in"),)
    settings = config.load("smoke", ["data.held_out_fraction=0.0"])
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(estimate, "measure_pace", lambda *_: estimate.Pace(1.0, 0.1))
    prepare._prepare({"both": pair}, places, settings)
    shown = capsys.readouterr()
    said = "a genre with a name/0.wav and b/5.wav are one recording (and 2 more): keep each in one folder"
    assert shown.err.count(said) == 1 and all(len(line) <= 80 for line in shown.out.splitlines())
    assert said in loop._counted(data.load_pair(pair, places, settings), settings.audio)
