"""A song that is of the target genre already is said to be, by its name."""

import dataclasses
import warnings

import numpy as np
import pytest

from gst_jax import config, sound
from gst_jax.conversion import jobs, planning
from gst_jax.conversion.likeness import Likeness
from gst_jax.conversion.translator import Translator
from gst_jax.corpus import library
from gst_jax.presentation import notebook
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import AudioWarning, fine_structure, levels

SETTINGS = config.AudioConfig(n_mels=64)
DULL = Statistics(mean=tuple(np.linspace(10, -30, 64)), deviation=(8.0,) * 64, highest=(99.0,) * 64)
BRIGHT = Statistics(mean=tuple(np.linspace(-10, 10, 64)), deviation=(5.0,) * 64, highest=(99.0,) * 64)
LIKENESS = Likeness("dull", "bright", DULL, BRIGHT)
TRANSLATOR = Translator(SETTINGS, lambda log_mel: log_mel, fine_structure.flat(SETTINGS), likeness=LIKENESS)
SAID = "it sounds more like bright than dull: expect less of its conversion"


def song(statistics, frames=3000, louder=0.0):
    """Return levels of a song of a genre, some dB louder."""
    noise = np.random.default_rng(0).standard_normal((frames, 64))
    found = levels.Levels(64)
    found.add(np.array(statistics.mean) + louder + np.array(statistics.deviation) * noise, pauses=False)
    return found


def noise(seconds=20, rate=16_000):
    """White noise, as bright as nothing else."""
    return 0.1 * np.random.default_rng(1).standard_normal(seconds * rate).astype(np.float32)


@pytest.mark.parametrize("louder", [-10, 0, 10])
def test_the_nearer_genre_is_said_at_any_level_and_nothing_of_the_source(louder):
    assert LIKENESS.doubt(song(BRIGHT, louder=louder)) == SAID
    assert LIKENESS.doubt(song(DULL, louder=louder)) == ""
    back = Likeness("bright", "dull", BRIGHT, DULL)
    assert back.doubt(song(BRIGHT)) == "" and back.doubt(song(DULL)).startswith(
        "it sounds more like dull than bright"
    )


def test_nothing_is_said_of_a_short_song_or_one_between_the_genres():
    between = dataclasses.replace(DULL, mean=tuple((np.array(DULL.mean) + np.array(BRIGHT.mean)) / 2))
    assert LIKENESS.doubt(song(BRIGHT, frames=500)) == LIKENESS.doubt(song(between)) == ""
    assert LIKENESS.doubt(levels.Levels(64)) == ""


def test_the_divergence_is_that_of_gaussians(rng):
    """Against a mean over samples of the logarithm of the ratio of the densities."""
    mean, deviation = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[1.0, 2.0], [1.5, 0.7]])
    x = mean[0] + deviation[0] * rng.standard_normal((400_000, 2))
    shift = (mean[0] - mean[1]).mean()  # one may be louder as a whole

    def density(which, values):
        return -(((values - mean[which]) / deviation[which]) ** 2) / 2 - np.log(deviation[which])

    sampled = (density(0, x) - density(1, x - shift)).mean()
    found = levels.divergence(mean[0], deviation[0], mean[1], deviation[1])
    assert found == pytest.approx(sampled, abs=0.02)


def test_the_file_is_named_where_one_of_several_is_doubted(tmp_path):
    dark = np.cumsum(noise())
    for name, wave in (("hiss", noise()), ("rumble", 0.1 * dark / np.abs(dark).max())):
        sound.write_wave(tmp_path / f"{name}.wav", wave.astype(np.float32), 16_000)
    plan = planning.plan([tmp_path / "hiss.wav", tmp_path / "rumble.wav"], tmp_path / "out", "bright")
    with pytest.warns(AudioWarning) as caught:
        assert jobs.convert(plan.jobs, TRANSLATOR, tmp_path / "out") == []
    assert [str(warning.message) for warning in caught] == [f"{tmp_path / 'hiss.wav'}: {SAID}"]


def test_a_notebook_is_warned_and_a_translator_only_of_a_song_with_a_name():
    with pytest.warns(AudioWarning, match=f"^the song: {SAID}$"):
        notebook.Converter("bright", TRANSLATOR, run=None)(noise(), 16_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TRANSLATOR(noise(), 16_000)
        notebook.Converter("bright", TRANSLATOR, run=None)(noise(), 16_000, strength=0)  # nothing is heard


@pytest.mark.slow
@pytest.mark.parametrize("run", ["folk_rock", "folk_jazz"])
def test_the_bundled_models_know_tunes_that_they_never_heard(run):
    """No false alarm; three in four of the target are told."""
    opened, root = RunDirectory.open(run), library.build(library.default_directory())
    for source, target in (opened.pair, opened.pair[::-1]):
        likeness = Translator.from_run(opened, to=target).likeness
        said = {
            genre: [bool(likeness.doubt(heard(path))) for path in sorted(root.glob(f"paired/*/rearranged/{genre}/*"))]
            for genre in (source, target)
        }
        assert not any(said[source]) and len(said[source]) == 12 and np.mean(said[target]) >= 0.75


def heard(path):
    from gst_jax import data

    found = levels.Levels(96)
    found.add(sound.log_mel(data.read_mono(path, config.AudioConfig()), config.AudioConfig()), pauses=False)
    return found
