import numpy as np
import pytest
import scipy.fft

from gst_jax.config import AudioConfig
from gst_jax.evaluation.metrics import bootstrap, closeness, style, texture
from gst_jax.sound import stft


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


def test_recentring_puts_a_figure_that_drawing_biases_inside_its_interval():
    values = noise(12)

    def biased(draw):  # 12 tracks, of which a draw holds 7.8 on average
        return len(set(draw)) + 0.1 * values[draw].mean()

    assert bootstrap.bootstrap(biased, 12).high < biased(np.arange(12))
    estimate = bootstrap.bootstrap(biased, 12, recentre=True)
    assert estimate.low < estimate.value < estimate.high


def direct_mmd(one, other, width):
    def kernel(x, y):
        return np.exp(-np.sum((x - y) ** 2) / (2 * width**2))

    def inside(points):
        pairs = [(i, j) for i in range(len(points)) for j in range(len(points)) if i != j]
        return np.mean([kernel(points[i], points[j]) for i, j in pairs])

    return inside(one) + inside(other) - 2 * np.mean([kernel(x, y) for x in one for y in other])


def mmd(one, other, width=2.0):
    """Kernel distance of tracks."""
    return style.kernel_distance(
        style.kernel_means(one, one, width),
        style.kernel_means(other, other, width),
        style.kernel_means(one, other, width),
    )


def test_kernel_distance_of_single_windows_is_the_unbiased_double_loop():
    one, other = noise(7, 3), noise(9, 3, seed=1) + 1
    assert mmd(list(one[:, None]), list(other[:, None])) == pytest.approx(direct_mmd(one, other, 2.0), abs=1e-6)


def test_kernel_distance_leaves_out_pairs_within_one_track():
    # Two tracks of two equal windows each: between the tracks |x - y| = 1, so inside the set the mean is exp(-1/2).
    set_ = [np.zeros((2, 1)), np.ones((2, 1))]
    across = style.kernel_means(set_, set_, 1.0)
    np.testing.assert_allclose(across, [[1, np.exp(-0.5)], [np.exp(-0.5), 1]])
    assert mmd(set_, set_, 1.0) == pytest.approx(2 * np.exp(-0.5) - (1 + np.exp(-0.5)))


def test_kernel_distance_is_about_zero_for_one_distribution_and_grows_with_a_shift():
    def draw(shift, seed):
        return list(noise(200, 1, 4, seed=seed) + shift)

    same, near, far = (mmd(draw(0, 0), draw(shift, 1)) for shift in (0, 0.5, 1.5))
    assert abs(same) < 0.01
    assert 0.02 < near < far


def test_kernel_distance_of_a_draw_without_two_tracks_is_not_a_number():
    means = np.ones((3, 3))
    assert np.isnan(style.kernel_distance(means, means, means, np.array([1, 1, 1])))


def test_frechet_distance_of_known_gaussians():
    # Exact samples: points at +-deviation give mean 0 and (with ddof=1) a variance scaled by n / (n - 1) = 4 / 3.
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    # Means (3, 4) apart: 25. Variances 4/3 against 4 * 4/3 in both axes: 2 (2 - 1)^2 * 4/3.
    assert style.frechet_distance(square, 2 * square + [3, 4]) == pytest.approx(25 + 2 * 4 / 3)
    assert style.frechet_distance(square, square) == pytest.approx(0, abs=1e-9)
    assert style.frechet_distance(square[:, :1], square[:, :1] + 2) == pytest.approx(4)
    assert np.isnan(style.frechet_distance(square[:1], square))


def test_diversity_is_the_distance_between_centres():
    assert style.diversity([np.zeros((3, 2)), np.tile([3.0, 4.0], (2, 1))]) == pytest.approx(5)


def test_the_embedding_tells_apart_what_differs_between_tracks_not_within():
    random = np.random.default_rng(0)

    def track(genre):
        windows = random.normal(0, 1, (20, 6))
        windows[:, 0] = 0.3 * windows[:, 0] + (genre == "b")  # small, but steady in a track
        windows[:, 1] *= 50  # large, but only within tracks
        return [windows]

    tracks = {genre: [track(genre) for _ in range(8)] for genre in "ab"}
    embedding = style.fit_embedding(tracks)
    for genre in "ab":
        right = [embedding.log_odds(embedding.embed(track(genre)[0]), genre).mean() > 0 for _ in range(20)]
        assert np.mean(right) >= 0.95
    step = embedding.embed(np.eye(6) * [1, 50, 1, 1, 1, 1]) - embedding.embed(np.zeros((1, 6)))
    lengths = np.linalg.norm(step, axis=1)
    assert lengths[0] > 2 * lengths[1]


AUDIO = AudioConfig(n_mels=64)


def music(seconds=8, seed=0, rate=2.0):
    """Decaying harmonic tones over soft noise."""
    random = np.random.default_rng(seed)
    wave = 1e-3 * random.standard_normal(seconds * 16000)
    for start in np.arange(0, seconds - 1, 1 / rate):
        wave[int(start * 16000) :][:8000] += tone(random.integers(48, 72), 0.5)
    return wave.astype(np.float32)


def tone(pitch, seconds, decay=4.0):
    time = np.arange(int(seconds * 16000)) / 16000
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    partials = sum(0.6**n * np.sin(2 * np.pi * frequency * n * time) for n in range(1, 6))
    return 0.1 * partials * np.exp(-decay * time) * np.minimum(1, np.minimum(200 * time, 50 * (seconds - time)))


def power_of(wave):
    return np.square(np.abs(stft(wave, AUDIO)))


def test_texture_hardly_hears_an_equaliser_but_hears_another_rhythm():
    power = power_of(music())
    curve = 10 ** (np.interp(np.arange(513), [0, 40, 150, 512], [-6, 6, -6, 9]) / 10)
    original, equalised, faster = (
        texture.describe(part, AUDIO).mean(axis=0) for part in (power, power * curve, power_of(music(rate=5.0)))
    )
    assert np.linalg.norm(equalised - original) < 0.05 * np.linalg.norm(faster - original)


def test_texture_windows_last_four_seconds_and_start_every_two():
    assert len(texture.describe(power_of(music(seconds=8)), AUDIO)) == 3  # at 0, 2 and 4 s
    assert len(texture.describe(power_of(music(seconds=2)), AUDIO)) == 1


def test_modulation_is_heard_at_its_rate():
    time = np.arange(8 * 16000) / 16000
    wobble = (1 + 0.9 * np.sin(2 * np.pi * 4 * time)) * noise(len(time))  # 4 Hz: the third band, 3 to 5 Hz
    modulation = texture.describe(power_of(wobble), AUDIO)[:, : 7 * 8].mean(axis=0).reshape(7, 8)
    assert np.argmax(modulation.mean(axis=1)) == 2


def test_texture_of_silence_is_finite():
    assert np.isfinite(texture.describe(power_of(np.zeros(5 * 16000, np.float32)), AUDIO)).all()


def test_recolouring_is_a_smooth_gain_with_a_shift_of_pitch():
    power = np.full((3, 513), 1e-2, np.float32)
    gain = 10 * np.log10(texture.recolour(power, np.random.default_rng(0)) / power)
    assert np.ptp(gain) > 3 and np.abs(np.diff(gain, axis=1)).max() < 3
    np.testing.assert_allclose(gain[0], gain[2])
    peak = np.zeros((1, 513), np.float32)
    peak[0, 200] = 1
    moved = {int(np.argmax(texture.recolour(peak, np.random.default_rng(seed)))) for seed in range(20)}
    assert len(moved) > 5 and min(moved) >= 200 * 2 ** (-4 / 12) - 1 and max(moved) <= 200 * 2 ** (4 / 12) + 1
