"""The measures, against references of other origin."""

import librosa
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

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


def test_cepstra_are_librosas_without_the_level():
    log_mel = 10 * noise(20, 64)
    expected = librosa.feature.mfcc(S=log_mel.T, n_mfcc=13).T[:, 1:]
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


def test_the_interval_of_a_mean_is_scipys():
    values = noise(15).astype(float)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap.mean(values)
    assert ours.value == values.mean()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06)  # 1000 draws against 20,000


def test_draws_without_a_figure_are_left_out():
    def figure(draw):
        return float(draw[0]) if draw[0] else np.nan

    assert bootstrap.bootstrap(figure, 3).low == 1
    assert all(np.isnan(bootstrap.bootstrap(lambda draw: np.nan, 3)))
    assert bootstrap.bootstrap(lambda draw: 5.0 if len(set(draw)) == 3 else np.nan, 3) == (5, 5, 5)


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


def test_frechet_distance_is_that_of_the_matrix_square_root():
    one, other = noise(40, 5), noise(60, 5, seed=1) @ noise(5, 5, seed=2) + 1
    covariances = [np.cov(part.T) for part in (one, other)]
    root = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real)
    means = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2)
    expected = means + sum(map(np.trace, covariances)) - 2 * root
    assert style.frechet_distance(one, other) == pytest.approx(expected, rel=1e-5)
    assert style.frechet_distance(one, other) == pytest.approx(style.frechet_distance(other, one), rel=1e-5)


def test_the_kernel_mean_of_two_tracks_is_the_double_loop():
    one, other = [noise(3, 2), noise(5, 2, seed=1)], [noise(4, 2, seed=2), noise(2, 2, seed=3), noise(1, 2, seed=4)]
    expected = [
        [np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * 1.5**2)) for x in track for y in part]) for part in other]
        for track in one
    ]
    np.testing.assert_allclose(style.kernel_means(one, other, 1.5), expected, rtol=1e-5)


def test_the_width_of_the_kernel_is_the_median_distance():
    assert style.bandwidth(np.array([[0.0], [1.0], [3.0]])) == 2  # of 1, 2 and 3


def test_diversity_is_the_distance_between_centres():
    assert style.diversity([np.zeros((3, 2)), np.tile([3.0, 4.0], (2, 1))]) == pytest.approx(5)


def test_the_embedding_tells_apart_what_differs_between_tracks_not_within():
    rng = np.random.default_rng(0)

    def track(genre):
        windows = rng.normal(0, 1, (20, 6))
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


def random_tracks(rng, genres="ab", dimensions=6):
    """Draw four tracks per genre, each of two versions of 15 windows, [15, D]."""
    centres = {genre: rng.normal(0, 3, (4, dimensions)) for genre in genres}
    return {
        genre: [[rng.normal(c, 1, (15, dimensions)) for _ in range(2)] for c in centres[genre]] for genre in genres
    }


def test_one_unit_of_the_embedding_is_the_deviation_within_a_track():
    tracks = random_tracks(np.random.default_rng(0))
    embedding = style.fit_embedding(tracks)
    windows = [np.concatenate(versions) for group in tracks.values() for versions in group]
    scale = np.concatenate(windows).std(axis=0)
    inner = np.concatenate([track - track.mean(axis=0) for track in windows]) / scale
    within = inner.T @ inner / len(inner)
    shrunken = 0.7 * within + 0.3 * np.eye(6) * np.trace(within) / 6
    directions = embedding.projection * scale[:, None]
    np.testing.assert_allclose(directions.T @ shrunken @ directions, np.eye(6), atol=1e-9)
    between = np.cov(np.stack([embedding.embed(track).mean(axis=0) for track in windows]).T)
    np.testing.assert_allclose(between, np.diag(np.diag(between)), atol=1e-9)
    assert (np.diff(np.diag(between)) <= 0).all()  # the direction that tells most comes first


def test_log_odds_are_those_of_unit_gaussians_about_the_centroids():
    embedding = style.fit_embedding(random_tracks(np.random.default_rng(1), genres="abc"))
    windows = noise(9, embedding.projection.shape[1]).astype(float)
    densities = {
        genre: scipy.stats.multivariate_normal(centroid, np.eye(len(centroid))).logpdf(windows)
        for genre, centroid in zip("abc", embedding.centroids, strict=True)
    }
    expected = densities["b"] - np.maximum(densities["a"], densities["c"])
    np.testing.assert_allclose(embedding.log_odds(windows, "b"), expected, atol=1e-8)


AUDIO = AudioConfig(n_mels=64)


def music(seconds=8, seed=0, rate=2.0):
    """Decaying harmonic tones over soft noise."""
    rng = np.random.default_rng(seed)
    wave = 1e-3 * rng.standard_normal(seconds * 16000)
    for start in np.arange(0, seconds - 1, 1 / rate):
        wave[int(start * 16000) :][:8000] += tone(rng.integers(48, 72), 0.5)
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


def features(wave):
    """Return the mean texture of a sound, by part: rates [7, 8], change [32], partials [9], persistence [3, 9]."""
    mean = texture.describe(power_of(wave.astype(np.float32)), AUDIO).mean(axis=0)
    assert len(mean) == 56 + 32 + 9 + 27
    return mean[:56].reshape(7, 8), mean[56:88], mean[88:97], mean[97:].reshape(3, 9)


def test_partials_stand_out_and_persist_in_a_held_tone_but_not_in_noise():
    time = np.arange(6 * 16000) / 16000
    held = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 20)) + 1e-3 * noise(len(time))
    (_, _, out_of_tone, kept_of_tone), (_, _, out_of_noise, kept_of_noise) = (
        features(0.1 * held),
        features(0.1 * noise(len(time))),
    )
    assert (out_of_tone[3:7] > out_of_noise[3:7] + 0.2).all()
    assert (kept_of_tone[:, 3:7] > 0.9).all() and (kept_of_noise[1:, 3:7] < 0.3).all()


def test_texture_tells_attack_from_the_same_sound_backwards():
    """Time turned round leaves the modulation spectrum as it is, but not the skewness of the change."""
    wave = music(rate=2.0)
    (there, change, *_), (back, turned, *_) = features(wave), features(wave[::-1])
    np.testing.assert_allclose(there, back, atol=0.3)
    skewness = slice(8, 16)
    assert change[skewness].mean() > 0.5 and turned[skewness].mean() < -0.5


def test_a_recolouring_is_drawn_anew_each_time_and_the_same_from_the_same_seed():
    power = power_of(music(seconds=2))
    rng = np.random.default_rng(3)
    first, second = texture.recolour(power, rng), texture.recolour(power, rng)
    assert first.shape == power.shape and np.abs(10 * np.log10(first / second)).max() > 3
    np.testing.assert_array_equal(first, texture.recolour(power, np.random.default_rng(3)))
