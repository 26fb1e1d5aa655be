import numpy as np
import pytest

from gst_jax import sound
from gst_jax.config import AudioConfig, Config, ConfigError
from gst_jax.conversion import synthesis
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import fine_structure

AUDIO = AudioConfig()
RATE = AUDIO.sample_rate
HARMONIC = 500 * np.arange(1, 13)  # Hz


def bells(seconds, seed=0):
    """Strike partials of one pitch, each as loud as chance will have it -> float32 [N]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    level = 10 ** rng.uniform(-2, 0, (len(HARMONIC), int(seconds * 4) + 1))[:, (time * 4).astype(int)]
    tones = np.sin(2 * np.pi * HARMONIC[:, None] * time + rng.uniform(0, 6, (len(HARMONIC), 1)))
    return (0.02 * (level * tones).sum(axis=0) + 1e-5 * rng.standard_normal(len(time))).astype(np.float32)


def hiss(seconds, seed=0):
    return (0.05 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def fitted(*waveforms, audio=AUDIO):
    return fine_structure.fit(waveforms, audio)


def levels(waveform):
    return 10 * np.log10(np.maximum(np.abs(sound.stft(waveform, AUDIO)) ** 2, 1e-5))


def test_it_predicts_the_bins_of_unheard_sound_of_the_genre():
    unheard = bells(5, seed=1)
    error = {}
    for name, genre in (("own", bells(20)), ("other", hiss(20))):
        powers = 10 ** (sound.log_mel(unheard, AUDIO) / 10)
        bins = np.arange(AUDIO.n_fft // 2 + 1) * RATE / AUDIO.n_fft
        filled = fine_structure.fill(fitted(genre), powers, bins.astype(np.float32), AUDIO)
        error[name] = np.abs(10 * np.log10(np.maximum(filled, 1e-5)) - levels(unheard)).mean()
    assert error["own"] < 2.5 and error["other"] > 2 * error["own"]


def test_it_is_the_least_squares_solution():
    tiny = AudioConfig(n_mels=8)
    wave = bells(10) + hiss(10) * np.linspace(0, 1, 10 * RATE, dtype=np.float32)
    columns = np.pad(sound.log_mel(wave, tiny).astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    exact = np.linalg.lstsq(columns, levels(wave).astype(np.float64), rcond=None)[0]
    error = {name: np.square(columns @ found - levels(wave)).mean() for name, found in
             (("exact", exact), ("found", fitted(wave, audio=tiny)))}  # fmt: skip
    assert error["found"] == pytest.approx(error["exact"], rel=0.01)


def test_a_genre_may_come_in_pieces():
    whole, pieces = fitted(bells(70)), fitted(bells(70)[: 60 * RATE], bells(70)[60 * RATE :])
    np.testing.assert_array_equal(whole, pieces)  # a minute is a block


def test_frequencies_between_bins_are_interpolated():
    found = fitted(bells(10))
    powers = np.full((1, AUDIO.n_mels), 0.1, np.float32)
    step = RATE / AUDIO.n_fft
    at = [fine_structure.fill(found, powers, np.float32([f]), AUDIO)[0, 0] for f in (3 * step, 3.5 * step, 4 * step)]
    assert at[1] == pytest.approx(np.sqrt(at[0] * at[2]), rel=1e-4)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_new_sound_lies_where_the_target_genre_has_its_partials(rate):
    source, target = (sound.resample(wave, RATE, rate) for wave in (hiss(3), bells(3, seed=2)))
    before, after = (
        sound.log_mel(np.pad(sound.resample(wave, rate, RATE), (0, AUDIO.hop_length)), AUDIO)
        for wave in (source, target)
    )
    share = {}
    for name, found in (("learned", fitted(bells(20))), ("flat", fine_structure.flat(AUDIO))):
        out = synthesis.synthesize(source[:, None], rate, before, after, AUDIO, found)[:, 0]
        power = np.abs(np.fft.rfft(out[: 2 * rate] * np.hanning(2 * rate))) ** 2  # bins of half a Hz
        off = np.abs(np.fft.rfftfreq(2 * rate, 1 / rate)[:, None] - HARMONIC).min(axis=1)
        share[name] = power[off < 20].sum() / power.sum()
    assert share["learned"] > 0.8 and share["learned"] > share["flat"] + 0.15


def test_it_is_kept_in_the_run_directory(tmp_path):
    two = fitted(bells(3)), fitted(hiss(3))
    run = RunDirectory(path=tmp_path, pair=("bells", "hiss"), config=Config(), statistics={})
    with pytest.raises(ConfigError, match="older version"):
        run.read_fine_structures()
    run.write_fine_structures(two)
    for kept, written in zip(run.read_fine_structures(), two, strict=True):
        np.testing.assert_array_equal(kept, written)
    assert [path.name for path in tmp_path.iterdir()] == ["fine_structure.npz"]


def test_of_nothing_it_is_nothing():
    assert not fitted().any()
