import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gst_jax import config, sound
from gst_jax.conversion.translator import FADE, FRESH, Translator
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs import seals
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure, loudness, streams

AUDIO = config.AudioConfig(n_mels=64)
FLAT = fine_structure.flat(AUDIO)
IDENTITY = Translator(AUDIO, lambda log_mel: log_mel, FLAT)
WINDOW, CONTEXT = IDENTITY.window, IDENTITY.context


def noise(count, channels=1, level=0.1):
    return (level * np.random.default_rng(count).standard_normal((count, channels))).astype(np.float32)


def tilt(log_mel):
    """Take the treble away."""
    return log_mel - np.linspace(0, 25, AUDIO.n_mels, dtype=np.float32)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Return an untrained run of a tiny model."""
    path = tmp_path_factory.mktemp("run")
    small = config.load(
        overrides=["audio.n_mels=64", "model.channels=4", "model.residual_blocks=1", "model.discriminator_channels=4"]
    )
    level = {
        genre: Statistics(mean=(mean,) * 64, deviation=(10.0,) * 64, highest=(99.0,) * 64)
        for genre, mean in (("folk", 0.0), ("jazz", -6.0))
    }
    run = RunDirectory(path=path, pair=("folk", "jazz"), config=small, statistics=level)
    run.write_fine_structures([FLAT, FLAT])
    run.write()
    with checkpoint.open_checkpoints(run) as checkpoints:
        checkpoint.save(checkpoints, cyclegan.init_state(small))
    return path


def test_nothing_converted_is_louder_than_the_target_ever_was(run_dir, tmp_path):
    log_mel = np.full((WINDOW, AUDIO.n_mels), 60.0, np.float32)
    assert Translator.from_run(run_dir, to="jazz").convert_log_mel(log_mel).max() > 20
    shutil.copytree(run_dir, tmp_path / "run")
    tree = seals.unsealed((run_dir / "config.json").read_text())
    tree["statistics"]["jazz"]["highest"] = [20.0] * 64
    (tmp_path / "run" / "config.json").write_text(json.dumps(tree))
    assert Translator.from_run(tmp_path / "run", to="jazz").convert_log_mel(log_mel).max() == 20


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    rate=st.one_of(st.sampled_from([8_000, 16_000, 44_100, 48_000, 192_000]), st.integers(8_000, 192_000)),
    seconds=st.floats(0, 2),
    channels=st.integers(1, 8),
)
def test_output_has_the_shape_of_any_input(rate, seconds, channels):
    wave = noise(1 + int(seconds * rate / channels), channels)
    out = Translator(AUDIO, tilt, FLAT)(wave, rate)
    assert out.shape == wave.shape and out.dtype == np.float32 and np.isfinite(out).all()


def test_one_dimension_in_is_one_dimension_out():
    assert IDENTITY(noise(5000)[:, 0], 16_000).shape == (5000,)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_an_unchanged_log_mel_gives_the_input_back(rate):
    wave = noise(20 * rate + 7, 2)
    assert np.abs(IDENTITY(wave, rate, route="gain") - wave).max() < 1e-6
    assert (IDENTITY(wave, rate) - wave).std() < 1e-3 * wave.std()


def test_strength_0_gives_the_samples_bit_for_bit():
    wave = noise(30_000, 2, level=2.0)  # beyond full scale, where any processing would limit it
    translator = Translator(AUDIO, tilt, FLAT)
    assert translator(wave, 44_100, strength=0).tobytes() == wave.tobytes()
    streamed = np.concatenate(list(translator.stream(lambda: [wave[:9], wave[9:]], 44_100, strength=0)))
    assert streamed.tobytes() == wave.tobytes()


def test_strength_moves_the_log_mel_steadily():
    wave = noise(64_000)[:, 0]
    before = sound.log_mel(wave, AUDIO)
    slopes = []
    for strength in (0, 0.25, 0.5, 0.75, 1):
        change = sound.log_mel(Translator(AUDIO, tilt, FLAT)(wave, 16_000, strength), AUDIO) - before
        slopes.append(np.polyfit(np.arange(AUDIO.n_mels), change.mean(axis=0), 1)[0] * (AUDIO.n_mels - 1))
    assert slopes == pytest.approx([0, -6.25, -12.5, -18.75, -25], abs=1.0)


def test_the_generator_sees_one_shape():
    shapes = set()

    def generator(log_mel):
        shapes.add(log_mel.shape)
        return log_mel

    for seconds in (0.01, 1, 9, 30):
        Translator(AUDIO, generator, FLAT)(noise(int(16_000 * seconds)), 16_000)
    assert shapes == {(WINDOW, AUDIO.n_mels)}


def test_frames_reach_the_generator_as_the_analysis_makes_them():
    seen = []
    wave = noise(16_000 * 12)[:, 0]
    Translator(AUDIO, lambda log_mel: seen.append(log_mel) or log_mel, FLAT)(wave, 16_000)
    gain = loudness.gain_to_reference(loudness.gating_blocks(wave, 16_000), 16_000)
    expected = sound.log_mel(gain * wave, AUDIO)
    assert np.allclose(seen[0][CONTEXT:], expected[: WINDOW - CONTEXT], atol=1e-3)
    middle = expected[FRESH - CONTEXT :][:WINDOW]
    assert np.allclose(seen[1][: len(middle)], middle, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 100, 2000])
def test_a_log_mel_of_any_length_converts(frames):
    log_mel = np.random.default_rng(0).standard_normal((frames, AUDIO.n_mels)).astype(np.float32)
    assert np.allclose(Translator(AUDIO, tilt, FLAT).convert_log_mel(log_mel), tilt(log_mel), atol=1e-5)


def level_jumps(wave):
    """Return the change of energy and the spectral flux between frames, [T - 1] each."""
    frames = sound.log_mel(wave, AUDIO)
    return np.abs(np.diff(frames.mean(axis=1))), np.abs(np.diff(frames, axis=0)).mean(axis=1)


def test_joins_of_windows_cannot_be_told_from_the_rest():
    wave = noise(16_000 * 120)[:, 0]

    def generator(log_mel):  # like an instance norm, it depends on the whole window
        return tilt(log_mel) * (1 + 0.1 * np.sin(1000 * log_mel.mean()))

    out = Translator(AUDIO, generator, FLAT)(wave, 16_000)
    for jumps in level_jumps(out):
        joins = np.zeros(len(jumps), bool)
        for start in range(FRESH, len(jumps), FRESH):
            joins[start - 4 : start + FADE + 4] = True
        assert jumps[joins].mean() < 1.1 * jumps[~joins].mean()
        assert np.quantile(jumps[joins], 0.99) < 1.2 * np.quantile(jumps[~joins], 0.99)


@pytest.mark.parametrize("level", [0.2, 4.0])
def test_the_level_of_a_recording_does_not_matter(level):
    translator = Translator(AUDIO, lambda log_mel: np.minimum(1.5 * tilt(log_mel), 5), FLAT)
    wave = noise(44_100 * 9, 2, level=0.02)
    wave[: 44_100 * 3] *= 0.01  # a pause
    expected = translator(wave, 44_100)
    assert translator(level * wave, 44_100) == pytest.approx(level * expected, abs=1e-4 * level)


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (11_027, 1)])
def test_a_stream_is_what_a_call_makes_of_the_whole(rate, channels):
    wave = noise(rate * 15, channels)
    wave[: 4 * rate] *= 0.01
    translator = Translator(AUDIO, lambda log_mel: np.minimum(1.5 * tilt(log_mel), 5), FLAT)
    blocks = np.split(wave, [0, 1, 5000, 5001, 100_000, 150_000])
    streamed = np.concatenate(list(translator.stream(lambda: blocks, rate)))
    assert streamed == pytest.approx(translator(wave, rate), abs=1e-5)


def test_a_long_stream_goes_to_the_disk_and_comes_out_the_same(monkeypatch):
    wave = noise(16_000 * 12)
    in_memory = Translator(AUDIO, tilt, FLAT)(wave, 16_000)
    monkeypatch.setattr(streams, "_SPOOL_BYTES", 1000)
    assert Translator(AUDIO, tilt, FLAT)(wave, 16_000).tobytes() == in_memory.tobytes()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    wave = noise(16_000 * 30)
    several = Translator(AUDIO, tilt, FLAT)(wave, 16_000)
    monkeypatch.setattr("gst_jax.conversion.translator._THREADS", 1)
    assert Translator(AUDIO, tilt, FLAT)(wave, 16_000).tobytes() == several.tobytes()


def test_what_a_generator_makes_quieter_stays_quieter():
    """One gain for the whole sound: an intro that a model takes away does not come back at its old level."""
    rate, seconds = 16_000, 28
    wave = noise(rate * seconds)
    intro = slice(0, 14 * rate)
    frames = sound.log_mel(wave[:, 0], AUDIO)
    passed = 0

    def quieter_at_first(log_mel):  # by frames from the start, which only whole windows tell
        nonlocal passed
        place = np.arange(passed - CONTEXT, passed - CONTEXT + len(log_mel))
        passed += FRESH
        return log_mel - np.where(place < len(frames) // 2, 20, 0).astype(np.float32)[:, None]

    blocks = np.split(wave, range(rate, len(wave), rate))
    out = np.concatenate(list(Translator(AUDIO, quieter_at_first, FLAT).stream(lambda: blocks, rate)))
    change = [20 * np.log10(out[part].std() / wave[part].std()) for part in (intro, slice(15 * rate, None))]
    assert change[0] - change[1] == pytest.approx(-20, abs=1)
    assert out.std() == pytest.approx(wave.std(), rel=0.1)


def test_loudness_is_the_input_s():
    wave = noise(16_000 * 6)
    out = Translator(AUDIO, lambda log_mel: log_mel - 12, FLAT)(wave, 16_000)
    assert out.std() == pytest.approx(wave.std(), rel=0.1)  # 0.9 dB


def test_nothing_clips():
    wave = np.clip(noise(44_100 * 3, 2, level=0.5), -1, 1)
    assert np.abs(Translator(AUDIO, tilt, FLAT)(wave, 44_100)).max() < 10 ** (-1 / 20)


def test_silence_stays_silence():
    loud = Translator(AUDIO, lambda log_mel: log_mel + 40, FLAT)
    assert not loud(np.zeros((48_000, 2), np.float32), 16_000).any()


@pytest.mark.parametrize(
    ("wave", "rate", "options", "message"),
    [
        (np.zeros((0, 2), np.float32), 16_000, {}, "with samples in it"),
        (np.zeros((9, 2, 2), np.float32), 16_000, {}, "the shape .N. or .N, C."),
        (np.full((9, 1), np.nan, np.float32), 16_000, {}, "NaN"),
        (np.full((9, 1), np.inf, np.float32), 16_000, {}, "infinite"),
        (noise(9), 0, {}, "sample rate must be a whole number, 8000 to 192000 Hz, not 0"),
        (noise(9), 1, {}, "sample rate"),
        (noise(9), 7_999, {}, "sample rate"),
        (noise(9), 192_001, {}, "sample rate"),
        (noise(9), 16_000.5, {}, "sample rate"),
        (noise(9), float("nan"), {}, "sample rate"),
        (noise(4000).reshape(2, 2000), 16_000, {}, r"2000 channels.*give waveform.T"),
        (np.ones((9, 1), np.int16), 16_000, {}, "the samples are int16; give floats .* waveform / 32768"),
        (np.ones(9, np.uint8), 16_000, {}, "the samples are uint8"),
        (np.ones(9, bool), 16_000, {}, "the samples are bool"),
        (np.ones(9, complex), 16_000, {}, "the samples are complex128"),
        (noise(9), 16_000, {"strength": 1.5}, "strength must lie in 0 to 1, not 1.5"),
        (noise(9), 16_000, {"route": "magic"}, "unknown route 'magic'; there are filled, gain"),
        (noise(9), 16_000, {"route": "mixture"}, "'mixture'; it is called filled now"),
    ],
)
@pytest.mark.parametrize("strength", [0, 1])
def test_what_cannot_be_used_is_refused(wave, rate, options, message, strength):
    with pytest.raises(ValueError, match=message):
        IDENTITY(wave, rate, **{"strength": strength} | options)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "the sound is empty"),
        ([noise(9)[:, 0]], "each block must have the shape .n, C., not .9."),
        ([noise(9, 2), noise(9, 1)], "each block must have the shape .n, 2., not .9, 1."),
        ([noise(9), np.full((9, 1), np.nan, np.float32)], "NaN"),
    ],
)
@pytest.mark.parametrize("strength", [0, 1])
def test_a_stream_that_cannot_be_used_is_refused(blocks, message, strength):
    with pytest.raises(ValueError, match=message):
        list(IDENTITY.stream(lambda: blocks, 16_000, strength))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_any_floats_convert(dtype):
    wave = noise(4000)[:, 0]
    assert IDENTITY(wave.astype(dtype), 16_000) == pytest.approx(IDENTITY(wave, 16_000), abs=1e-3)


def test_a_run_converts_both_ways(run_dir):
    # Untrained, the generator is nearly the identity of standardised levels: an equaliser by -6 dB, then by +6 dB.
    wave = noise(16_000)[:, 0]
    for to, change in (("jazz", -6.0), ("folk", 6.0)):
        translator = Translator.from_run(run_dir, to=to)
        frames = sound.log_mel(np.pad(wave, (0, WINDOW * 252 - len(wave))), AUDIO)
        converted = translator.generator(frames)
        assert np.abs(converted - frames - change).mean() < 2.0
        assert translator(wave, 16_000).shape == wave.shape


def test_a_genre_outside_the_pair_is_refused(run_dir):
    with pytest.raises(config.ConfigError, match="'rock' is not a genre of .*; choose jazz or folk"):
        Translator.from_run(run_dir, to="rock")


def test_a_missing_run_is_refused(tmp_path):
    with pytest.raises(config.ConfigError, match="is not a run directory"):
        Translator.from_run(tmp_path / "none", to="jazz")


def test_a_generator_that_gives_no_numbers_is_refused_before_anything_is_heard():
    for wild in (np.nan, np.inf, -np.inf):
        stream = Translator(AUDIO, lambda log_mel, wild=wild: log_mel + np.float32(wild), FLAT)
        with pytest.raises(ValueError, match="NaN or infinite levels; the model does not suit"):
            next(stream.stream(lambda: [noise(16_000)], 16_000))


def test_a_burst_far_above_the_source_is_refused(monkeypatch):
    """The last guard, whatever the cause: here a synthesis that goes wild in one place."""
    from gst_jax.conversion import synthesis

    calls = []

    def wild(source, *rest, **options):
        calls.append(len(source))
        return source * (1000.0 if len(calls) == 3 else 0.01)

    monkeypatch.setattr(synthesis, "synthesize", wild)
    monkeypatch.setattr("gst_jax.conversion.translator._THREADS", 1)
    with pytest.raises(ValueError, match="far louder than its source in places"):
        IDENTITY(noise(16_000 * 240), 16_000)


def test_opposite_channels_are_converted():
    wave = noise(16_000 * 4)
    same, opposite = (Translator(AUDIO, tilt, FLAT)(np.hstack([wave, sign * wave]), 16_000) for sign in (1, -1))
    assert opposite[:, 0] == pytest.approx(same[:, 0], abs=1e-4)
    assert opposite[:, 1] == pytest.approx(-same[:, 1], abs=1e-4)
    assert np.abs(opposite[:, 0] - wave[:, 0]).max() > 0.05


@pytest.mark.parametrize("decibels", [6, 12, 40, 90])
def test_what_is_beyond_full_scale_keeps_its_shape_and_level(decibels):
    wave = noise(48_000)
    hot = wave * np.float32(10 ** (decibels / 20))
    out = Translator(AUDIO, tilt, FLAT)(hot, 16_000)
    expected = Translator(AUDIO, tilt, FLAT)(wave, 16_000) * np.float32(10 ** (decibels / 20))
    crest = [np.abs(one).max() / one.std() for one in (out, expected)]
    assert crest[0] == pytest.approx(crest[1], rel=0.3)  # 3 dB, where a limiter at full scale would take up to 9
    assert out.std() == pytest.approx(hot.std(), rel=0.5) and np.abs(out).max() <= 1.05 * np.abs(hot).max()


def test_a_rate_may_be_a_whole_float():
    wave = noise(4000)
    assert IDENTITY(wave, 44_100.0).tobytes() == IDENTITY(wave, np.int64(44_100)).tobytes()


def test_absurd_samples_are_refused():
    with pytest.raises(ValueError, match="samples of 1e[+]30; -1 to 1 is full scale"):
        IDENTITY(np.full(100, 1e30, np.float32), 16_000)


def test_a_song_is_heard_whole_and_moved_towards_its_genre_before_it_is_converted():
    """Its genre is 10 dB quieter everywhere than this song, and moves half as much."""
    wave = noise(16_000 * 20)[:, 0]
    own = sound.log_mel(wave * loudness.gain_to_reference(loudness.gating_blocks(wave, 16_000), 16_000), AUDIO)
    mean, deviation = own.mean(axis=0) - 10, own.std(axis=0) / 2
    genre = Statistics(mean=tuple(mean), deviation=tuple(deviation), highest=(99.0,) * 64)
    heard = []

    def listening(log_mel):
        heard.append(log_mel[CONTEXT : CONTEXT + FRESH])
        return log_mel

    for share, expected in ((0.0, 10.0), (0.6, 4.0), (1.0, 0.0)):
        heard.clear()
        Translator(AUDIO, listening, FLAT, source=genre, song_share=share)(wave, 16_000)
        frames = np.concatenate(heard)[: len(own)]
        standard = (frames - mean) / deviation  # what the generator makes of it
        weight = share * len(own) / (len(own) + 126)
        spread = 2 / (1 + weight)
        np.testing.assert_allclose(standard.mean(axis=0) * deviation * (1 + weight), 10 * (1 - weight), atol=0.3)
        np.testing.assert_allclose(standard.std(axis=0), spread, atol=0.05)
        assert abs(np.mean(10 * (1 - weight)) - expected) < 1.1


def test_what_a_song_is_moved_by_does_not_depend_on_how_it_is_read():
    genre = Statistics(mean=(-20.0,) * 64, deviation=(5.0,) * 64, highest=(99.0,) * 64)
    translator = Translator(AUDIO, tilt, FLAT, source=genre, song_share=0.6)
    wave = noise(16_000 * 12) * np.linspace(0.1, 1, 16_000 * 12, dtype=np.float32)[:, None]
    whole = translator(wave, 16_000)
    parts = list(translator.stream(lambda: np.split(wave, [5_000, 60_000, 61_001]), 16_000))
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


def test_silence_and_a_moment_of_sound_are_taken_for_their_genre():
    genre = Statistics(mean=(-20.0,) * 64, deviation=(5.0,) * 64, highest=(99.0,) * 64)
    translator = Translator(AUDIO, tilt, FLAT, source=genre, song_share=0.6)
    assert not translator(np.zeros(16_000 * 3, np.float32), 16_000).any()
    moment = noise(1_600)[:, 0]
    assert np.isfinite(translator(moment, 16_000)).all()
