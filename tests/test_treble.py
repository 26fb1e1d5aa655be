"""What becomes of sound above the mel bands, where a genre's recordings have taught it and where they have not."""

import numpy as np
import pytest

from gst_jax import config, data, sound
from gst_jax.config import AudioConfig, Config, DataConfig
from gst_jax.conversion import synthesis
from gst_jax.conversion.translator import Translator
from gst_jax.data.recordings import open_recording
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure, treble

AUDIO = AudioConfig()
WIDE = treble.wide(AUDIO)
BINS = AUDIO.n_fft // 2 + 1
EMPTY = -300  # dB
TAUGHT = BINS + treble.BANDS


def coloured(seconds, rate, bright, seed=0, tilt=0):
    """Return noise whose treble, of as many dB more, moves further than its level does: float32 [N].

    The bands below rise by `tilt` dB up to 8 kHz.
    """
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / rate)
    below = (frequency < 8000) * 10 ** (tilt / 20 * (frequency / 4000 - 1))
    low, high = (np.fft.irfft(spectrum * part, count) for part in (below, frequency >= 8000))
    time = np.arange(count) / rate
    level = np.interp(time, np.arange(0, seconds + 1, 0.5), rng.uniform(-25, 0, 2 * int(seconds) + 2))
    wave = low * 10 ** (level / 20) + high * 10 ** ((1.3 * level - 6 + bright) / 20)
    return (0.1 * wave).astype(np.float32)


def log_mel(wave, rate):
    wave = sound.resample(wave, rate, AUDIO.sample_rate)
    return sound.log_mel(np.pad(wave, (0, AUDIO.hop_length)), AUDIO)


def treble_of(wave, rate):
    return sound.log_mel(sound.resample(wave, rate, WIDE.sample_rate), WIDE)


def taught(wave, rate=WIDE.sample_rate):
    """Return the fine structure of a genre with one recording."""
    fit, low = fine_structure.Fit(AUDIO), sound.resample(wave, rate, AUDIO.sample_rate)
    fit.add(low)
    fit.add_treble(low, sound.resample(wave, rate, WIDE.sample_rate))
    return fit.solve()


BRIGHT = taught(coloured(40, 32_000, bright=0))


def synthesize(wave, rate, before, after, structure=BRIGHT, route="filled", start=0.0):
    return synthesis.synthesize(wave, rate, before, after, AUDIO, structure, route, start)


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000])
@pytest.mark.parametrize("source", ["dull", "bright", "empty"])
def test_the_treble_becomes_that_of_the_genre(rate, source):
    played = coloured(4, rate, bright={"dull": -25, "bright": 20, "empty": EMPTY}[source], seed=1, tilt=-30)
    true = coloured(4, rate, bright=0, seed=2)
    before, after = log_mel(played, rate), log_mel(true, rate)
    error = {}
    for name, structure in (("taught", BRIGHT), ("held", BRIGHT[:, :BINS])):
        out = synthesize(played[:, None], rate, before, after, structure)[:, 0]
        error[name] = np.abs(treble_of(out, rate) - treble_of(true, rate))[8:-8].mean()
    assert error["taught"] < 7.5 and error["held"] > 2 * error["taught"], error  # 6 dB may stay the source's own


@pytest.mark.parametrize("rate", [22_050, 32_000, 44_100, 192_000])
@pytest.mark.parametrize("route", synthesis.ROUTES[:2])
def test_equal_log_mels_keep_the_treble(rate, route):
    played = coloured(1, rate, bright=-10)[:, None] * np.array([1, -0.3], np.float32)
    frames = log_mel(sound.mono(played), rate)
    error = synthesize(played, rate, frames, frames, route=route) - played
    spectrum, whole = (np.abs(np.fft.rfft(wave, axis=0))[9000 * len(wave) // rate :] for wave in (error, played))
    assert 20 * np.log10(np.linalg.norm(spectrum) / np.linalg.norm(whole)) < (-120 if route == "gain" else -50)


@pytest.mark.parametrize("route", synthesis.ROUTES)
def test_silence_and_an_empty_channel_stay_so(route):
    nothing = np.zeros((32_000, 2), np.float32)
    frames = log_mel(nothing[:, 0], 32_000)
    assert not synthesize(nothing, 32_000, frames, frames + 70, route=route).any()
    played = coloured(1, 32_000, bright=EMPTY)[:, None] * np.array([1, 0], np.float32)
    out = synthesize(played, 32_000, log_mel(sound.mono(played), 32_000), frames + 60, route=route)
    assert out[:, 0].any() and not out[:, 1].any()


def test_the_genre_comes_in_proportion_to_the_change():
    played = coloured(2, 44_100, bright=-20)
    frames, level = log_mel(played, 44_100), []
    for change in (0.0, 2.5, 5.0):
        out = synthesize(played[:, None], 44_100, frames, frames + np.float32(change))[:, 0]
        level.append(treble_of(out, 44_100).mean())
    assert level[0] == pytest.approx(treble_of(played, 44_100).mean(), abs=0.05)
    assert level[1] - level[0] == pytest.approx((level[2] - level[0]) / 2, rel=0.2) and level[2] > level[0] + 8


def test_above_the_treble_the_gain_of_the_highest_band_is_held():
    rng = np.random.default_rng(0)
    played = (0.05 * rng.standard_normal((2 * 48_000, 1))).astype(np.float32)
    frames = log_mel(played[:, 0], 48_000)
    brighter = BRIGHT.copy()
    brighter[-1, BINS:] += 10
    out = synthesize(played, 48_000, frames, frames - 6, brighter, route="gain")[:, 0]
    ratio = np.abs(np.fft.rfft(out)) / np.abs(np.fft.rfft(played[:, 0]))
    below, above = (
        20 * np.log10(np.median(ratio[2 * low : 2 * high])) for low, high in ((15_400, 15_900), (16_100, 24_000))
    )
    assert above == pytest.approx(below, abs=0.3) and abs(above) > 0.5


@pytest.mark.parametrize("rate", [32_000, 44_100])
def test_filled_treble_does_not_depend_on_where_a_piece_begins(rate):
    played = coloured(4, rate, bright=EMPTY)[:, None]
    before, after = log_mel(played[:, 0], rate), log_mel(coloured(4, rate, bright=0, seed=3), rate)
    whole = synthesize(played, rate, before, after)
    hop = 4 * round(rate / 16_000 * 256 / 4) if rate == 32_000 else 720
    first = 37 * hop
    part = synthesize(played[first:], rate, before, after, start=-first / rate)
    middle = slice(rate // 2, 5 * rate // 2)
    both = np.stack([whole[first:, 0][middle], part[:, 0][middle]])
    spectra = np.fft.rfft(both * np.hanning(2 * rate))[:, 2 * 8200 : 2 * 15_800]
    assert np.linalg.norm(spectra[0] - spectra[1]) < 0.05 * np.linalg.norm(spectra[0])


@pytest.mark.parametrize("rate", [8_000, 16_000, 17_000, 18_001, 22_050, 32_000, 48_000, 192_000])
def test_a_source_of_any_rate_is_converted(rate):
    wave = np.random.default_rng(rate).standard_normal((rate, 2)).astype(np.float32) * 0.1
    for weights in (BRIGHT, np.where(np.arange(TAUGHT) < BINS, BRIGHT, 3.0).astype(np.float32)):
        out = Translator(AUDIO, lambda frames: frames[:, ::-1] + 3, weights)(wave, rate)
        assert out.shape == wave.shape and np.isfinite(out).all() and np.abs(out).max() < 1


def write(path, wave, rate):
    path.parent.mkdir(exist_ok=True)
    sound.write_wave(path, wave, rate, subtype="FLOAT")


def load(folder, cache, **settings):
    return data.load_genre(folder, AUDIO, DataConfig(held_out_fraction=0.0, **settings), cache).fine_structure


def test_only_recordings_that_reach_high_enough_teach_it(tmp_path):
    for name, rates in (("low", [16_000, 31_999]), ("high", [48_000]), ("mixed", [48_000, 16_000])):
        for number, rate in enumerate(rates):
            write(tmp_path / name / f"{number}.wav", coloured(5, rate, bright=0, seed=number), rate)
    low, high, mixed = (load(tmp_path / name, tmp_path / "cache") for name in ("low", "high", "mixed"))
    assert low.shape[1] == BINS and high.shape[1] == mixed.shape[1] == TAUGHT
    np.testing.assert_array_equal(mixed[:, BINS:], high[:, BINS:])


def test_recordings_are_read_block_by_block_and_at_their_own_speed(tmp_path, monkeypatch):
    wave = coloured(7, 44_100, bright=0)
    write(tmp_path / "genre" / "a.wav", wave, 44_100)
    path = tmp_path / "genre" / "a.wav"
    monkeypatch.setattr(fine_structure, "BLOCK_SECONDS", 3)
    found = load(tmp_path / "genre", tmp_path / "cache", speed_semitones=1)[:, BINS:]
    fit = fine_structure.Fit(AUDIO)
    with open_recording(path, AUDIO) as recording, open_recording(path, WIDE) as wide:
        for start in (0, 3, 6):
            low, high = (part.read(start * rate, (start + 3) * rate) for part, rate in
                         ((recording, 16_000), (wide, 32_000)))  # fmt: skip
            fit.add_treble(low, high * np.float32(recording.gain / wide.gain))
    np.testing.assert_allclose(found, fit.solve()[:, BINS:], atol=1e-3)
    predicted = log_mel(wave * recording.gain, 44_100) @ found[:-1] + found[-1]
    true = treble_of(wave * recording.gain, 44_100)
    assert np.abs(predicted[: len(true)] - true).mean() < 1.5


def test_a_run_keeps_the_treble_and_exports_it(tmp_path):
    settings = config.load("configs/smoke.toml")
    level = Statistics(**dict.fromkeys(("mean", "deviation", "highest"), (0.0,) * settings.audio.n_mels))
    run = RunDirectory(
        path=tmp_path / "run", pair=("folk", "rock"), config=settings, statistics={"folk": level, "rock": level}
    )
    run.path.mkdir()
    bins, rows = settings.audio.n_fft // 2 + 1, settings.audio.n_mels + 1
    maps = [
        np.random.default_rng(0).normal(size=(rows, bins + extra)).astype(np.float32) for extra in (0, treble.BANDS)
    ]
    run.write_fine_structures(maps)
    run.write()
    with checkpoint.open_checkpoints(run) as checkpoints:
        checkpoint.save(checkpoints, cyclegan.init_state(settings))
    checkpoint.export_generators(run, tmp_path / "exported")
    for folder in ("run", "exported"):
        for kept, written in zip(RunDirectory.open(tmp_path / folder).read_fine_structures(), maps, strict=True):
            np.testing.assert_array_equal(kept, written)
    assert Translator.from_run(tmp_path / "exported", to="rock").fine_structure.shape[1] == bins + treble.BANDS


def test_a_run_of_an_older_version_holds_the_gain():
    for name in ("folk_rock", "folk_jazz"):
        for structure in RunDirectory.open(f"pretrained/{name}").read_fine_structures():
            held = structure[:, :BINS]
            assert treble.learned(held, 44_100, 2880, Config().audio) is None
