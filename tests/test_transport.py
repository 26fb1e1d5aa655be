import numpy as np
import pytest

from gst_jax import config
from gst_jax.data import Genre, Track
from gst_jax.learning import cyclegan, transport
from gst_jax.runs.directory import Statistics

BINS, TAPS = 6, 15


def genre(name, frames):
    """Make a genre of two tracks, with statistics that standardise it."""
    frames = frames.astype(np.float32)
    half = len(frames) // 2
    mean, deviation, highest = frames.mean(axis=0), frames.std(axis=0), frames.max(axis=0)
    statistics = Statistics(mean=tuple(mean), deviation=tuple(deviation), highest=tuple(highest))
    tracks = (Track(None, 0, half), Track(None, half, len(frames) - half))
    return Genre(name, frames, tracks, (), (), 1.0, statistics, None, None)


def noise(seed, frames=20_000):
    return np.random.default_rng(seed).normal(size=(frames, BINS))


def coloured(seed):
    """Make neighbouring bins move together, each following itself."""
    frames = noise(seed) @ np.random.default_rng(9).normal(size=(BINS, BINS))
    return frames + 0.7 * np.roll(frames, 1, axis=0) - 20


def standardised(frames):
    return (frames - frames.mean(axis=0)) / frames.std(axis=0)


def covariance(frames, lag=0):
    return frames[: len(frames) - lag].T @ frames[lag:] / (len(frames) - lag)


def mapped(kernel, frames):
    padded = np.pad(frames, [(TAPS // 2, TAPS // 2), (0, 0)])
    return sum(padded[i : i + len(frames)] @ kernel[i] for i in range(TAPS))


def test_the_source_takes_on_the_covariances_of_the_target():
    white, target = noise(0), coloured(1)
    kernel = transport.gaussian_transport(genre("a", white), genre("b", target), TAPS)
    assert kernel.shape == (TAPS, BINS, BINS) and kernel.dtype == np.float32
    out, wanted = mapped(kernel, standardised(white)), standardised(target)
    for lag in (0, 1):
        full = covariance(wanted, lag)
        shrunken = 0.9 * full + 0.1 * np.trace(full) / BINS * np.eye(BINS)  # the same motion, less of it shared
        np.testing.assert_allclose(covariance(out, lag), shrunken, atol=0.05)
    assert np.abs(covariance(wanted, 1) - covariance(standardised(white), 1)).max() > 0.4  # there was much to match


def test_the_way_there_and_back_is_short():
    a, b = genre("a", coloured(2)), genre("b", noise(3))
    there, back = transport.gaussian_transport(a, b, TAPS), transport.gaussian_transport(b, a, TAPS)
    frames = standardised(coloured(2))
    again = mapped(back, mapped(there, frames))
    assert np.abs(again - frames).mean() < 0.1 < np.abs(mapped(there, frames) - frames).mean()


def test_a_genre_needs_no_change_to_be_itself():
    one = genre("a", coloured(4))
    kernel = transport.gaussian_transport(one, one, TAPS)
    middle = np.arange(TAPS) == TAPS // 2
    np.testing.assert_allclose(kernel, middle[:, None, None] * np.eye(BINS), atol=1e-6)


def test_generators_begin_with_it_unless_they_have_no_such_layer():
    a, b = genre("a", noise(5)), genre("b", coloured(6))
    generators = {way: {"transport": {"kernel": np.zeros((TAPS, BINS, BINS))}, "output": way} for way in ("ab", "ba")}
    begun = transport.begin(generators, a, b)
    np.testing.assert_array_equal(begun["ab"]["transport"]["kernel"], transport.gaussian_transport(a, b, TAPS))
    np.testing.assert_array_equal(begun["ba"]["transport"]["kernel"], transport.gaussian_transport(b, a, TAPS))
    assert (begun["ab"]["output"], begun["ba"]["output"]) == ("ab", "ba")
    plain = {"ab": {"output": 1}, "ba": {"output": 2}}
    assert transport.begin(plain, a, b) is plain


def test_a_long_genre_is_sampled(monkeypatch):
    monkeypatch.setattr(transport, "_WINDOWS", 300)
    a, b = genre("a", noise(7)), genre("b", coloured(8))
    few = transport.gaussian_transport(a, b, TAPS)
    monkeypatch.undo()
    np.testing.assert_allclose(few, transport.gaussian_transport(a, b, TAPS), atol=0.15)


@pytest.mark.parametrize("taps", [0, 9])
def test_an_untrained_generator_is_nearly_its_transport(taps):
    settings = config.load(
        "configs/frames.toml", ["model.channels=8", "model.discriminator_channels=4", f"model.transport_taps={taps}"]
    )
    generator = cyclegan.init_parameters(settings)["generator"]["ab"]
    x = np.random.default_rng(0).normal(size=(1, 40, settings.audio.n_mels)).astype(np.float32)
    expected = x
    if taps:
        kernel = np.random.default_rng(1).normal(size=generator["transport"]["kernel"].shape).astype(np.float32) / 30
        generator |= {"transport": {"kernel": kernel}}
        padded = np.pad(x[0], [(taps // 2, taps // 2), (0, 0)])
        expected = sum(padded[i : i + 40] @ kernel[i] for i in range(taps))[None]
    np.testing.assert_allclose(cyclegan.translate(generator, settings.model, x), expected, atol=0.05)
