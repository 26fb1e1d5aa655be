import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gst_jax import config, corpus, data, evaluation
from gst_jax.config import AudioConfig, ConfigError
from gst_jax.evaluation import analysis, criteria, rivals, scores, songs
from gst_jax.evaluation.metrics import style, texture
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure, log_mel, resample

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


def gaussian_tracks(shift, seed, count=6):
    random = np.random.default_rng(seed)
    return [random.normal(0, 1, (10, 3)) + shift for _ in range(count)]


def judge():
    embedding = style.StyleEmbedding(("a", "b"), np.zeros(3), np.eye(3), np.array([[0.0, 0, 0], [4, 4, 4]]))
    return scores.StyleJudge(embedding, "a", "b", {"a": gaussian_tracks(0, 1), "b": gaussian_tracks(4, 2)})


def test_style_figures_tell_source_from_target():
    source, target = judge().measure(gaussian_tracks(0, 3)), judge().measure(gaussian_tracks(4, 4))
    assert abs(target["kernel distance to target"].value) < 0.05 < source["kernel distance to target"].value
    assert abs(source["kernel distance to source"].value) < 0.05 < target["kernel distance to source"].value
    assert target["Frechet distance to target"].value < 1 < source["Frechet distance to target"].value
    assert (source["songs called target"].value, target["songs called target"].value) == (0, 1)
    for estimate in (*source.values(), *target.values()):
        assert estimate.low <= estimate.high


def test_a_single_track_is_judged_by_its_windows():
    assert np.isfinite(judge().measure(gaussian_tracks(4, 5, count=1))["kernel distance to target"]).all()


def heard(level, windows):
    return analysis.Analysis(np.full((5, 64), level, np.float32), np.ones((5, 513), complex), windows, None)


def test_collapses_are_named():
    apart = gaussian_tracks(0, 6, count=3)
    spread = [track + 10 * number for number, track in enumerate(apart)]
    methods = {
        "untouched input": [heard(0, track) for track in spread],
        "equaliser": [heard(9, track) for track in spread],
        "conversion": [heard(5, track) for track in spread],
    }
    assert scores.findings(methods) == []
    methods["conversion"] = [heard(0.5, track) for track in spread]
    assert "identity collapse" in scores.findings(methods)[0]
    methods["conversion"] = [heard(9, track) for track in spread]
    assert "equaliser collapse" in scores.findings(methods)[0]
    methods["conversion"] = [heard(5, track) for track in apart]
    assert "mode collapse" in scores.findings(methods)[0]


def method(kernel, log_mel_distance, pitch=0.5, called=0.0):
    distances = {name: (log_mel_distance,) * 3 for name in ("log-mel distance (dB)", "log-spectral distance (dB)")}
    return {
        "rearranged": distances,
        "reorchestrated": distances,
        "style": {
            "kernel distance to target": (kernel, kernel - 0.1, kernel + 0.1),
            "songs called target": (called,) * 3,
        },
        "content": {name: (pitch,) * 3 for name in ("pitch", "chord", "beat")},
    }


def test_criteria_are_met_by_what_beats_every_rival_alone():
    methods = {name: method(0.8, 10.0) for name in criteria.RIVALS} | {
        "true target, rearranged": method(0, 0, pitch=0.3)
    }
    won = criteria.criteria(methods | {"conversion": method(0.1, 7.0, called=1.0)})
    assert all(criterion.met for criterion in won) and len(won) == 11
    lost = criteria.criteria(methods | {"conversion": method(0.7, 11.0, pitch=0.2)})
    assert not any(criterion.met for criterion in lost)


def test_a_style_bar_asks_for_intervals_that_do_not_overlap():
    methods = {name: method(0.3, 10.0) for name in criteria.RIVALS}
    found = {
        criterion.name: criterion for criterion in criteria.criteria(methods | {"conversion": method(0.12, 7.0)})
    }
    style_criterion = found["style, kernel distance: below the equaliser (intervals overlap)"]
    assert style_criterion.value == pytest.approx(0.6) and not style_criterion.met


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
