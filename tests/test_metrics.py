import numpy as np
import pytest
import scipy.fft

from gst_jax.metrics import bootstrap, closeness


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_log_mel_distance_is_the_mean_absolute_difference():
    one = np.array([[0.0, 10.0], [-20.0, 4.0]], np.float32)
    other = np.array([[3.0, 10.0], [-20.0, -1.0]], np.float32)
    assert closeness.log_mel_distance(one, other) == pytest.approx((3 + 0 + 0 + 5) / 4)


def test_a_gain_of_two_is_a_log_spectral_distance_of_6_02_db():
    spectrum = noise(50, 33) + 1j * noise(50, 33, seed=1)
    assert closeness.log_spectral_distance(2 * spectrum, spectrum) == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_log_spectral_distance_is_rms_over_frequency_then_mean_over_frames():
    truth = np.ones((2, 4))
    spectrum = np.array([[10.0, 1, 1, 1], [1, 1, 1, 1]])  # 20 dB off in one bin of four of one frame of two
    assert closeness.log_spectral_distance(spectrum, truth) == pytest.approx((20 / np.sqrt(4) + 0) / 2)


def test_what_lies_below_the_floor_counts_as_silence():
    assert closeness.log_spectral_distance(np.zeros((3, 5)), np.full((3, 5), 1e-4)) == 0


def test_cepstra_are_the_orthonormal_dct_without_the_level():
    log_mel = 10 * noise(20, 64)
    expected = scipy.fft.dct(log_mel, type=2, norm="ortho", axis=-1)[:, 1:13]
    np.testing.assert_allclose(closeness.mfcc(log_mel), expected, atol=1e-4)
    np.testing.assert_allclose(closeness.mfcc(log_mel + 6), closeness.mfcc(log_mel), atol=1e-4)


def test_mfcc_distance_of_one_cosine_is_its_amplitude():
    cosine = np.sqrt(2 / 64) * np.cos(np.pi / 64 * (np.arange(64) + 0.5) * 3)
    truth = np.zeros((7, 64), np.float32)
    assert closeness.mfcc_distance(truth + 5 * cosine, truth) == pytest.approx(5)


@pytest.mark.parametrize(
    "distance", [closeness.log_mel_distance, closeness.log_spectral_distance, closeness.mfcc_distance]
)
def test_sounds_that_are_not_aligned_are_refused(distance):
    with pytest.raises(ValueError, match="frame by frame"):
        distance(np.zeros((3, 64), np.float32), np.zeros((4, 64), np.float32))


def test_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap.mean(rng.normal(3, 1, 20)) for _ in range(300)]
    coverage = np.mean([estimate.low <= 3 <= estimate.high for estimate in intervals])
    assert 0.88 <= coverage <= 0.97  # percentile intervals of 20 draws fall a little short of 95 %


def test_bootstrap_is_deterministic_and_of_no_width_for_equal_tracks():
    values = noise(9)
    assert bootstrap.mean(values) == bootstrap.mean(values)
    assert bootstrap.mean([2.0, 2.0, 2.0]) == (2, 2, 2)
