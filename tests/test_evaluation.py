import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gst_jax import config, corpus, data, evaluation
from gst_jax.config import AudioConfig, ConfigError
from gst_jax.evaluation import analysis, criteria, scores, songs
from gst_jax.evaluation.metrics import texture
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import fine_structure, resample

AUDIO = AudioConfig(n_mels=64)
RATE = AUDIO.sample_rate


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_everything_is_measured_at_one_level():
    embedding = embedding_of_noise()
    quiet, loud = (analysis.analyse(gain * noise(5), RATE, embedding) for gain in (0.01, 2.0))
    np.testing.assert_allclose(quiet.log_mel, loud.log_mel, atol=1e-3)
    np.testing.assert_allclose(quiet.windows, loud.windows, atol=1e-2)
    assert not analysis.common(np.zeros(9, np.float32), RATE).any()


def test_everything_is_measured_at_one_rate():
    """What a run at another sample rate gives sounds the same, up to the resampling."""
    embedding, wave = embedding_of_noise(), lowpassed(noise(5))
    same, other = (
        analysis.analyse(wave, RATE, embedding),
        analysis.analyse(resample(wave, RATE, 44_100), 44_100, embedding),
    )
    np.testing.assert_allclose(other.log_mel[2:-2], same.log_mel[2:-2], atol=0.5)
    np.testing.assert_allclose(other.windows, same.windows, rtol=0.02)


def lowpassed(wave):
    """Remove what resampling may change, next to half the sample rate."""
    spectrum = np.fft.rfft(wave)
    spectrum[int(0.8 * len(spectrum)) :] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


def embedding_of_noise():
    def tremolo(rate, seed):
        time = np.arange(5 * RATE) / RATE
        return (noise(5, seed) * (1 + 0.9 * np.sin(2 * np.pi * rate * time))).astype(np.float32)

    tracks = {"slow": [tremolo(2, 1), tremolo(2.2, 2)], "fast": [tremolo(10, 3), tremolo(11, 4)]}
    return analysis.fit_embedding(tracks, RATE)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, audio_dir):
    """Return an untrained run of a tiny model on two toy genres, two of three tracks held out."""
    path = tmp_path_factory.mktemp("run")
    settings = config.load(
        overrides=["model.channels=4", "model.residual_blocks=1", "data.held_out_fraction=0.6"]
        + ["model.discriminator_channels=4"]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(path / "cache"))
        genres = data.load_pair(("harp", "organ"), audio_dir, settings)
        levels = {genre.name: genre.statistics for genre in genres}
        run = RunDirectory(
            path=path, pair=("harp", "organ"), config=settings, statistics=levels, audio_dir=str(audio_dir)
        )
        run.write_fine_structures([fine_structure.flat(settings.audio)] * 2)
        run.write()
        with checkpoint.open_checkpoints(run) as checkpoints:
            checkpoint.save(checkpoints, cyclegan.init_state(settings))
        yield path


@pytest.mark.slow
def test_held_out_tracks_are_evaluated_with_every_rival(run_dir, tmp_path):
    report = evaluation.evaluate(run_dir, strengths=(0.5,))
    generators = {key: checkpoint.load_generator(RunDirectory.open(run_dir), key) for key in ("ab", "ba")}
    assert report["run"] == run_dir.name and report["weights"] == checkpoint.digest(generators)
    assert report["split"] == "held out" and set(report["directions"]) == {"harp_to_organ", "organ_to_harp"}
    part = report["directions"]["harp_to_organ"]
    assert {*criteria.RIVALS, "conversion", "conversion at 0.5", "true target, training tracks"} == set(
        part["methods"]
    )
    assert any("equaliser collapse" in finding for finding in part["findings"])  # it was never trained
    untouched = part["methods"]["untouched input"]
    assert untouched["content"]["pitch"].value > part["methods"]["musaicing"]["content"]["pitch"].value

    again = evaluation.evaluate(run_dir, strengths=(0.5,))
    assert str(again) == str(report)  # deterministic; as text, since nan is not equal to itself
    evaluation.write_json(report, {"commit": "abc"}, tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["provenance"] == {"commit": "abc"} and written["directions"].keys() == report["directions"].keys()
    evaluation.write_plot(report, tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")
    shown = evaluation.table(report)
    assert all(name in shown for name in (*criteria.RIVALS, "harp to organ", "kernel distance to target", "beat"))


def test_no_track_is_shared(run_dir):
    material = songs.gather(RunDirectory.open(run_dir), "test")
    sets = [*material.training.values(), *([song.source for song in part] for part in material.songs.values())]
    tracks = [track.tobytes() for part in sets for track in part]
    assert len(tracks) == len(set(tracks)) == 6
    for (source, target), converted in material.songs.items():
        sources = {song.source.tobytes() for song in converted}
        assert not sources & {track.tobytes() for track in material.reference[target]}, (source, target)


def test_a_run_without_held_out_tracks_cannot_be_evaluated(run_dir, tmp_path):
    run = RunDirectory.open(run_dir)
    settings = replace(run.config, data=replace(run.config.data, held_out_fraction=0.0))
    levels = {genre.name: genre.statistics for genre in data.load_pair(run.pair, run.audio_dir, settings)}
    with pytest.raises(ConfigError, match="no track of harp was held out"):
        songs.gather(replace(run, config=settings, statistics=levels), "test")
    with pytest.raises(ConfigError, match="unknown split 'train'"):
        songs.gather(run, "train")


def test_the_command_names_what_is_wrong_in_one_line(tmp_path):
    command = [sys.executable, "-m", "gst_jax.evaluate", f"--run={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("gst_jax: ") and "is not a run directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_figures_with_their_origin(run_dir, tmp_path):
    command = [
        sys.executable,
        "-m",
        "gst_jax.evaluate",
        f"--run={run_dir}",
        f"--out={tmp_path / 'f.json'}",
        "--quick",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "GST_JAX_CACHE": str(run_dir / "cache")}
    )
    assert done.returncode == 0, done.stderr
    assert "harp to organ, held out, 2 songs" in done.stdout and "criteria" in done.stdout
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["provenance"]["command"].startswith("python -m gst_jax.evaluate") and written["directions"]
    assert (tmp_path / "f.png").exists()


@pytest.mark.parametrize("setting", ["data.corpus_tracks=60", "data.speed_semitones=2"])
def test_one_ear_judges_every_run_of_the_built_in_corpus(monkeypatch, tmp_path, setting):
    """Whatever a run made of the corpus, its measures learn from the usual tracks, or figures were not comparable."""

    def load(pair, audio_dir, settings, progress):
        raise InterruptedError(settings)  # what follows takes minutes

    monkeypatch.setattr(data, "load_run", lambda run, progress: None)
    monkeypatch.setattr(data, "load_pair", load)
    asked = []
    for overrides in ([], [setting]):
        settings = data.settings_for(None, config.load(overrides=overrides))
        run = RunDirectory(path=tmp_path, pair=("folk", "rock"), config=settings, statistics={})
        with pytest.raises(InterruptedError) as interruption:
            songs.gather(run, "validation")
        asked.append(interruption.value.args[0])
    assert asked[0] == asked[1]


@pytest.mark.slow
def test_the_built_in_corpus_is_told_apart_and_an_equaliser_does_not_pass(tmp_path):
    """The claim on which the style figures stand: genres are far, true arrangements near, recoloured ones far."""
    settings = data.settings_for(None, config.Config())
    genres = data.load_pair(("folk", "jazz"), None, settings)
    levels = {genre.name: genre.statistics for genre in genres}
    run = RunDirectory(path=tmp_path, pair=("folk", "jazz"), config=settings, statistics=levels)
    material = songs.gather(run, "validation")
    assert corpus.default_directory().is_dir()
    embedding = analysis.fit_embedding(material.training, RATE)
    reference = {
        genre: [analysis.embed(track, RATE, embedding) for track in tracks]
        for genre, tracks in material.reference.items()
    }
    for genre, tracks in reference.items():
        assert np.mean([embedding.log_odds(windows, genre).mean() > 0 for windows in tracks]) >= 0.9
    for (source, target), tunes in material.songs.items():
        judged = scores.StyleJudge(embedding, source, target, reference)
        rng = np.random.default_rng(0)
        recoloured = [
            embedding.embed(texture.describe(texture.recolour(analysis.power_of(tune.source, RATE), rng), AUDIO))
            for tune in tunes
        ]
        distance = {
            name: judged.measure(tracks)["kernel distance to target"].value
            for name, tracks in {
                "source": [analysis.embed(tune.source, RATE, embedding) for tune in tunes],
                "recoloured": recoloured,
                "truth": [analysis.embed(tune.truths["rearranged"], RATE, embedding) for tune in tunes],
            }.items()
        }
        assert distance["truth"] < 0.2 * distance["source"]
        assert distance["recoloured"] > 0.6 * distance["source"]
