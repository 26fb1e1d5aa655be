"""The transform in which conversions are made, and the mel bands laid over it."""

import librosa
import numpy as np
import pytest

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import spectrum
from gst_jax.sound.analysis import LOG_MEL_FLOOR, decibels, hann, powers
from gst_jax.sound.bands import MAX_TREBLE_GAIN, make_bands

AUDIO = AudioConfig()


def noise(count, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, count)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 5_000])
@pytest.mark.parametrize("n_fft", [64, 1024, 1200])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transformed_comes_back(count, n_fft, channels):
    waveform = noise(count, channels)
    back = spectrum.istft(spectrum.stft(waveform, n_fft), n_fft, count)
    assert back.dtype == np.float32 and back == pytest.approx(waveform, abs=1e-5)


@pytest.mark.parametrize("n_fft", [64, 1024])
def test_a_frame_is_centred_where_it_says(n_fft):
    """A click lies in the middle of one frame, whose spectrum then has no phase."""
    for frame in (1, 4, 9):
        waveform = np.zeros((1, 4 * n_fft), np.float32)
        waveform[0, (frame - 1) * n_fft // 4] = 1
        frames = spectrum.stft(waveform, n_fft)[0]
        turned = frames[frame] * np.exp(1j * np.pi * np.arange(n_fft // 2 + 1))  # from the window's start
        assert turned == pytest.approx(np.ones(n_fft // 2 + 1), abs=1e-4)
        assert np.argmax(np.abs(frames[:, 1])) == frame


def test_the_energy_of_the_transform_is_that_of_the_sound():
    """Parseval: every sample lies in four windows whose squares sum to 3/2."""
    waveform = noise(20_000)
    frames = spectrum.stft(waveform, 512)
    power = spectrum.power_of(frames)
    both_halves = 2 * power.sum() - power[..., 0].sum() - power[..., -1].sum()
    assert both_halves / 512 == pytest.approx(1.5 * np.square(waveform).sum(), rel=1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 192_000])
def test_windows_last_as_long_at_any_rate(rate):
    window = spectrum.OVERLAP * spectrum.hop_length(rate, AUDIO) / rate
    assert window == pytest.approx(AUDIO.n_fft / AUDIO.sample_rate, rel=0.07)  # the next length that transforms fast


def test_a_unit_spectrum_is_phase_alone():
    values = np.array([3 + 4j, -2j, 1e-3, 0], np.complex64)
    assert np.abs(spectrum.unit(values))[:3] == pytest.approx([1, 1, 1], abs=1e-5)
    assert np.isfinite(spectrum.unit(values)).all() and spectrum.unit(values)[0] == pytest.approx(0.6 + 0.8j)


def test_the_window_is_the_periodic_hann_window_and_cannot_be_changed():
    assert hann(400) == pytest.approx(librosa.filters.get_window("hann", 400, fftbins=True), abs=1e-7)
    with pytest.raises(ValueError, match="read-only"):
        hann(400)[0] = 1


def test_levels_and_powers_are_inverse_above_the_floor():
    levels = np.array([-49.9, -20, 0, 33], np.float32)
    assert decibels(powers(levels)) == pytest.approx(levels, abs=1e-4)
    assert decibels(np.zeros(3, np.float32)) == pytest.approx([LOG_MEL_FLOOR] * 3, abs=1e-4)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_bands_measure_at_any_rate_what_the_analysis_measures(rate):
    """The same noise, seen at its own rate and resampled to the analysis's."""
    waveform = noise(4 * rate)[0]
    low = sound.resample(waveform, rate, AUDIO.sample_rate)
    expected = 10 * np.log10(np.mean(10 ** (sound.log_mel(low, AUDIO) / 10), axis=0))
    n_fft = spectrum.OVERLAP * spectrum.hop_length(rate, AUDIO)
    bands = make_bands(rate, n_fft, AUDIO)
    frames = spectrum.power_of(spectrum.stft(waveform[None], n_fft))[..., : bands.count]
    measured = 10 * np.log10(bands.measure(frames)[0, 4:-4].mean(axis=0))
    assert measured[4:-8] == pytest.approx(expected[4:-8], abs=1.0)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_shares_of_a_bin_sum_to_one(rate):
    bands = make_bands(rate, 1024, AUDIO)
    ones = np.ones((1, 1, AUDIO.n_mels), np.float32)
    assert bands.spread(ones) == pytest.approx(np.ones((1, 1, bands.count)), abs=1e-5)


def test_an_even_gain_is_even_and_the_treble_holds_the_highest_bands():
    bands = make_bands(44_100, 2816, AUDIO)
    gain = np.full((2, AUDIO.n_mels), 6.0, np.float32)
    assert bands.interpolate(gain) == pytest.approx(np.full((2, 1409), 6.0))
    gain[:] = np.linspace(0, 60, AUDIO.n_mels)
    drawn = bands.interpolate(gain)
    assert (np.diff(drawn[0, : bands.count]) >= -1e-4).all()
    assert drawn[0, bands.count :] == pytest.approx(np.full(1409 - bands.count, MAX_TREBLE_GAIN))
