"""The rivals that learn nothing, and how they are lined up beside a trained generator."""

from dataclasses import replace

import numpy as np
import pytest

from gst_jax import config, data
from gst_jax.config import AudioConfig
from gst_jax.conversion.translator import Translator
from gst_jax.evaluation import methods, rivals
from gst_jax.evaluation.criteria import RIVALS
from gst_jax.evaluation.songs import Material
from gst_jax.learning import checkpoint, cyclegan, transport
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure, log_mel

AUDIO = AudioConfig(n_mels=64)
RATE = AUDIO.sample_rate


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def flat(mean, deviation, highest=99.0):
    bins = AUDIO.n_mels
    return Statistics(mean=(mean,) * bins, deviation=(deviation,) * bins, highest=(highest,) * bins)


def test_the_equaliser_gives_each_bin_the_targets_mean_and_deviation():
    source = np.random.default_rng(0).normal(-10, 5, (400, AUDIO.n_mels)).astype(np.float32)
    out = rivals.equalise(source, flat(-10.0, 5.0), flat(3.0, 2.0))
    assert out.mean() == pytest.approx(3, abs=0.1) and out.std() == pytest.approx(2, abs=0.05)
    assert rivals.equalise(source, flat(0.0, 1.0), flat(-90.0, 1.0)).min() == -50  # never below the floor


def test_equalised_sound_has_the_level_asked_for():
    wave = noise(2)
    own = log_mel(wave, AUDIO)
    before = Statistics(
        mean=tuple(own.mean(axis=0)), deviation=tuple(own.std(axis=0)), highest=tuple(own.max(axis=0))
    )
    after = replace(before, mean=tuple(own.mean(axis=0) - np.linspace(0, 20, 64)))
    out = rivals.equaliser(wave, before, after, AUDIO, fine_structure.flat(AUDIO))
    change = log_mel(out, AUDIO).mean(axis=0) - own.mean(axis=0)
    np.testing.assert_allclose(change[4:-4], -np.linspace(0, 20, 64)[4:-4], atol=1.0)


def test_distortion_makes_new_harmonics():
    time = np.arange(2 * RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    level = [10 * np.log10(np.abs(np.fft.rfft(x)[3000]) ** 2 + 1e-9) for x in (tone, distorted(tone))]  # at 1500 Hz
    assert level[1] > level[0] + 40


def distorted(wave):
    return rivals.distortion(wave, flat(0.0, 6.0), AUDIO, fine_structure.flat(AUDIO))


def test_a_mosaic_of_the_song_itself_is_the_song():
    wave = noise(2)
    same = flat(0.0, 1.0)
    mosaic = rivals.musaicing(wave, same, same, rivals.make_palette([wave], AUDIO), AUDIO)
    inside = slice(2000, -2000)
    assert np.abs(mosaic - wave)[inside].max() < 1e-3


def test_nothing_equalised_is_louder_than_the_target_ever_was():
    loud = rivals.equalise(np.full((5, AUDIO.n_mels), 30.0, np.float32), flat(0.0, 1.0), flat(0.0, 1.0))
    assert loud.max() == 30.0
    softer = rivals.equalise(
        np.full((5, AUDIO.n_mels), 30.0, np.float32), flat(0.0, 1.0), flat(0.0, 1.0, highest=7.5)
    )
    assert softer.max() == 7.5


def test_a_mosaic_is_made_of_the_palette_alone():
    time = np.arange(2 * RATE) / RATE
    palette = rivals.make_palette([np.sin(2 * np.pi * 1000 * time).astype(np.float32)], AUDIO)
    spectrum = np.abs(np.fft.rfft(rivals.musaicing(noise(1), flat(0.0, 1.0), flat(0.0, 1.0), palette, AUDIO)))
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)
    assert (spectrum**2)[np.abs(frequency - 1000) < 60].sum() > 0.99 * (spectrum**2).sum()


def test_a_palette_takes_an_equal_share_of_every_track(monkeypatch):
    monkeypatch.setattr(rivals, "_PALETTE_SECONDS", 3.0)
    first, second, short = noise(2, seed=1), noise(2, seed=2), noise(0.5, seed=3)
    palette = rivals.make_palette([first, second, short], AUDIO)
    whole = [log_mel(part, AUDIO) for part in (first[:RATE], second[:RATE], short)]
    np.testing.assert_array_equal(palette.log_mel, np.concatenate(whole))
    assert palette.spectrum.shape == (len(palette.log_mel), AUDIO.n_fft // 2 + 1)


def test_a_frame_of_a_mosaic_has_the_level_of_the_frame_it_replaces():
    same, wave = flat(0.0, 1.0), noise(2)
    softer = rivals.make_palette([0.1 * wave], AUDIO)
    mosaic = rivals.musaicing(wave, same, same, softer, AUDIO)
    assert np.abs(mosaic - wave)[2000:-2000].max() < 0.02


def test_a_silent_bin_is_not_blown_up():
    silent = np.full((5, AUDIO.n_mels), -50.0, np.float32)
    out = rivals.equalise(silent + 0.5, flat(-50.0, 0.0), flat(-20.0, 8.0))
    np.testing.assert_allclose(out, -20 + 0.5 * 8)  # as if it varied by 1 dB


def test_distortion_does_not_depend_on_the_level_of_the_song(monkeypatch):
    monkeypatch.setattr(rivals, "equaliser", lambda driven, *_: driven)
    quiet, loud = distorted(0.02 * noise(1)), distorted(noise(1))
    np.testing.assert_allclose(quiet, 0.02 * loud, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, audio_dir):
    """Return a run that has just begun on two toy genres, and what it would be evaluated on."""
    path = tmp_path_factory.mktemp("run")
    settings = config.load(
        overrides=["audio.n_mels=32", "model.channels=4", "model.residual_blocks=1"]
        + ["model.transport_taps=5", "model.discriminator_channels=4", "data.held_out_fraction=0.3"]
    )
    genres = data.load_genres([audio_dir], ("harp", "organ"), settings.audio, settings.data, path / "cache")
    run = RunDirectory(
        path=path,
        pair=("harp", "organ"),
        config=settings,
        statistics={genre.name: genre.statistics for genre in genres},
        audio_dirs=(str(audio_dir),),
    )
    run.write_fine_structures([genre.fine_structure for genre in genres])
    run.write()
    parameters = cyclegan.init_parameters(settings)
    parameters |= {"generator": transport.begin(parameters["generator"], *genres)}
    with checkpoint.open_checkpoints(run) as checkpoints:
        checkpoint.save(checkpoints, cyclegan.start_from(parameters, settings))
    tracks = {
        genre.name: [data.read_mono(recording.path, settings.audio) for recording in genre.recordings]
        for genre in genres
    }
    return run, Material({}, tracks, {})


def lined_up(trained, *strengths, source="harp", target="organ"):
    run, material = trained
    return methods.make_methods(run, source, target, material, strengths)


def test_the_methods_are_the_conversion_its_rivals_and_the_strengths(trained):
    assert set(lined_up(trained)) == {"conversion", *RIVALS}
    assert set(lined_up(trained, 0.25, 1 / 3)) - {*RIVALS} == {
        "conversion",
        "conversion at 0.25",
        "conversion at 0.333333",
    }


def test_the_conversion_is_what_a_user_gets_from_the_run(trained):
    wave, found = noise(2), lined_up(trained, 0.5)
    translator = Translator.from_run(trained[0].path, to="organ")
    np.testing.assert_array_equal(found["conversion"](wave), translator(wave, RATE))
    np.testing.assert_array_equal(found["conversion at 0.5"](wave), translator(wave, RATE, strength=0.5))
    np.testing.assert_array_equal(found["untouched input"](wave), wave)


def test_the_untrained_generator_is_the_one_that_training_begins_with(trained):
    wave = noise(2)
    for found in (lined_up(trained), lined_up(trained, source="organ", target="harp")):
        np.testing.assert_array_equal(found["untrained generator"](wave), found["conversion"](wave))


def test_the_equaliser_takes_the_road_of_the_conversion_and_alone_it_is_a_filter(trained):
    run, wave = trained[0], noise(2)
    found = lined_up(trained)
    before, after = run.statistics["harp"], run.statistics["organ"]
    translator = replace(
        Translator.from_run(run, to="organ"), generator=lambda frames: rivals.equalise(frames, before, after)
    )
    np.testing.assert_array_equal(found["equaliser"](wave), translator(wave, RATE))
    np.testing.assert_array_equal(found["equaliser, a filter alone"](wave), translator(wave, RATE, route="gain"))
    assert np.abs(found["equaliser"](wave) - found["equaliser, a filter alone"](wave)).max() > 1e-3


def test_a_mosaic_is_made_of_the_targets_training_tracks(trained):
    run, material = trained
    before, after = run.statistics["harp"], run.statistics["organ"]
    palette = rivals.make_palette(material.training["organ"], run.config.audio)
    expected = rivals.musaicing(noise(2), before, after, palette, run.config.audio)
    np.testing.assert_array_equal(lined_up(trained)["musaicing"](noise(2)), expected)


def test_what_takes_long_is_prepared_once_and_not_before_it_is_used(trained, monkeypatch):
    """A progress bar then shows it; reading 600 s of music for mosaics takes seconds."""
    made = []
    for module, name in ((rivals, "make_palette"), (cyclegan, "init_parameters")):
        original = getattr(module, name)

        def counted(*arguments, name=name, original=original):
            made.append(name)
            return original(*arguments)

        monkeypatch.setattr(module, name, counted)
    found = lined_up(trained)
    assert made == []
    for _ in range(2):
        found["musaicing"](noise(1))
        found["untrained generator"](noise(1))
    assert made == ["make_palette", "init_parameters"]


def test_every_method_gives_a_waveform_of_the_same_length(trained):
    wave, found = noise(1.7), lined_up(trained)
    for name in ("conversion", "equaliser, a filter alone", "musaicing", "distortion"):
        out = found[name](wave)
        assert out.shape == wave.shape and out.dtype == np.float32 and np.isfinite(out).all(), name
