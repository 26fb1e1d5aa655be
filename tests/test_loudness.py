import numpy as np
import pytest
import scipy.signal

from gst_jax.sound import loudness


def test_weighting_is_that_of_the_standard():
    # The two filters that ITU-R BS.1770-5 tabulates for 48 kHz.
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    for frequency in (30, 100, 1000, 3000, 8000):
        wave = np.sin(2 * np.pi * frequency * np.arange(96_000) / 48_000)
        _, response = scipy.signal.sosfreqz([shelf, high_pass], [frequency], fs=48_000)
        expected = 10 * np.log10(np.sum(wave**2) * abs(response[0]) ** 2)
        measured = 10 * np.log10(loudness.energy(wave[:, None].astype(np.float32), 48_000))
        assert measured == pytest.approx(expected, abs=0.25), frequency


def gain_of(wave, rate):
    return loudness.gain_to_reference(loudness.gating_blocks(wave, rate), rate)


def test_sound_is_brought_to_the_reference_without_its_pauses():
    time = np.arange(48_000 * 8) / 48_000
    tone = (0.02 * np.sin(2 * np.pi * 997 * time)).astype(np.float32)  # BS.1770: 0.691 dB is the weight at 997 Hz
    expected = 0.1 / (0.02 / np.sqrt(2) * 10 ** (0.691 / 20))
    tone[48_000 * 3 :] *= 0.01  # 40 dB below
    assert gain_of(tone, 48_000) == pytest.approx(expected, rel=0.01)
    tone[48_000 * 3 :] = 0
    assert gain_of(tone, 48_000) == pytest.approx(expected, rel=0.01)


def test_silence_has_no_gain_and_hiss_little():
    assert loudness.gain_to_reference([np.zeros(48_000, np.float32)], 48_000) == 1
    hiss = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    assert loudness.gain_to_reference([1e-3 * hiss], 48_000) == pytest.approx(10**1.5)


@pytest.mark.parametrize("count", [1, 5_000, 100_001])
def test_gating_blocks_are_the_whole_sound(count):
    wave = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    blocks = loudness.gating_blocks(wave, 16_000)
    assert np.concatenate(blocks).tobytes() == wave.tobytes()
    assert all(0.25 <= len(block) / 16_000 <= 0.75 for block in blocks) or len(blocks) == 1


def true_peak(waveform):
    return np.abs(scipy.signal.resample_poly(waveform, 16, 1, axis=0)).max()


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_peaks_between_samples_are_limited(rate):
    time = np.arange(rate)
    wave = np.sin(np.pi / 2 * time + np.pi / 4)[:, None] * [[1.3, 0.4]]  # at a quarter of the rate: samples at 0.92
    wave = (wave * np.hanning(rate)[:, None]).astype(np.float32)
    limited = wave * loudness.limiter_gain(wave, rate)[:, None]
    assert true_peak(wave) > 1.2
    assert true_peak(limited) < 10 ** (-1 / 20)
    assert true_peak(limited) > 0.8


def test_noise_and_clicks_stay_below_the_ceiling():
    random = np.random.default_rng(0)
    wave = (0.5 * random.standard_normal((44_100, 2))).astype(np.float32)
    wave[::5000] = 3.0
    limited = wave * loudness.limiter_gain(wave, 44_100)[:, None]
    assert true_peak(limited) < 10 ** (-1 / 20)


def test_quiet_sound_is_untouched():
    wave = (0.1 * np.sin(np.arange(4000)))[:, None].astype(np.float32)
    assert (loudness.limiter_gain(wave, 8_000) == 1).all()


def test_limiting_in_pieces_equals_limiting_the_whole():
    wave = np.random.default_rng(1).standard_normal((30_000, 1)).astype(np.float32)
    reach = loudness.reach(16_000)
    whole = loudness.limiter_gain(wave, 16_000)
    piece = loudness.limiter_gain(wave[10_000 - reach : 20_000 + reach], 16_000)[reach:-reach]
    assert np.allclose(piece, whole[10_000:20_000], atol=1e-5)
