"""What a run is measured on, how it is analysed, and what the report says."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from gst_jax import config, corpus, data, evaluation
from gst_jax.config import AudioConfig, ConfigError
from gst_jax.corpus import library
from gst_jax.evaluation import analysis, criteria, measure, scores, songs
from gst_jax.evaluation.metrics import style, texture
from gst_jax.evaluation.progress import shown
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError, fine_structure, resample, write_wave

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
        genres = data.load_pair(("harp", "organ"), [audio_dir], settings)
        levels = {genre.name: genre.statistics for genre in genres}
        run = RunDirectory(
            path=path, pair=("harp", "organ"), config=settings, statistics=levels, audio_dirs=(str(audio_dir),)
        )
        run.write_fine_structures([fine_structure.flat(settings.audio)] * 2)
        run.write()
        with checkpoint.open_checkpoints(run) as checkpoints:
            checkpoint.save(checkpoints, cyclegan.init_state(settings))
        yield path


@pytest.mark.slow
def test_held_out_tracks_are_evaluated_with_every_rival(run_dir, tmp_path):
    bars = Bars()
    report = evaluation.evaluate(run_dir, strengths=(0.5,), progress=bars)
    assert bars.done["harp to organ"] == bars.done["organ to harp"] == 8 * 2 and bars.done["figures"] == 8
    assert bars.done["true organ"] == bars.done["true harp"] == 1  # the tracks it trained on
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


def test_other_recordings_are_converted_and_compared_to_where_they_are_named(run_dir, tmp_path):
    for genre, count in (("harp", 2), ("organ", 3)):
        (tmp_path / genre).mkdir()
        for number in range(count):
            write_wave(tmp_path / genre / f"{genre} {number}.wav", noise(3, seed=number), RATE)
    material = songs.gather(RunDirectory.open(run_dir), "test", audio_dir=tmp_path)
    names = {direction: [song.name for song in part] for direction, part in material.songs.items()}
    assert names == {
        ("harp", "organ"): ["harp 0", "harp 1"],
        ("organ", "harp"): ["organ 0", "organ 1", "organ 2"],
    }
    assert [len(material.reference[genre]) for genre in ("harp", "organ")] == [2, 3]
    shutil.rmtree(tmp_path / "organ")
    with pytest.raises(AudioError, match="there are no recordings in .*organ; put there"):
        songs.gather(RunDirectory.open(run_dir), "test", audio_dir=tmp_path)


def test_a_run_on_the_corpus_beside_a_folder_is_measured_on_the_corpus_where_nothing_was_held_out(tmp_path):
    def run(pair, audio_dirs, *overrides):
        settings = config.load(overrides=list(overrides))
        return RunDirectory(path=tmp_path, pair=pair, config=settings, statistics={}, audio_dirs=audio_dirs)

    none = "data.held_out_fraction=0"
    assert songs.on_corpus(run(("folk", "rock"), ()))
    assert songs.on_corpus(run(("folk", "rock"), ("/music", data.CORPUS), none))
    assert not songs.on_corpus(run(("folk", "rock"), ("/music", data.CORPUS)))
    assert not songs.on_corpus(run(("folk", "qawwali"), ("/music", data.CORPUS), none))
    assert not songs.on_corpus(run(("folk", "rock"), ("/music",), none))


def test_a_run_without_held_out_tracks_is_refused_before_anything_is_read(run_dir, monkeypatch):
    monkeypatch.setattr(data, "read_mono", lambda *_: pytest.fail("it was read"))
    run = RunDirectory.open(run_dir)
    settings = replace(run.config, data=replace(run.config.data, held_out_fraction=0.0))
    levels = {genre.name: genre.statistics for genre in data.load_pair(run.pair, run.audio_dirs, settings)}
    with pytest.raises(ConfigError, match="no track of harp was held out") as refusal:
        songs.gather(replace(run, config=settings, statistics=levels), "test")
    assert "more tracks or a data.held_out_fraction above 0" in str(refusal.value)
    with pytest.raises(ConfigError, match="unknown split 'train'; there are validation, test"):
        songs.gather(run, "train")


def test_the_genre_without_a_held_out_track_is_named(run_dir, monkeypatch):
    run = RunDirectory.open(run_dir)
    harp, organ = data.load_run(run)
    monkeypatch.setattr(data, "load_run", lambda run, progress: (harp, replace(organ, held_out=[])))
    with pytest.raises(ConfigError, match="no track of organ was held out"):
        songs.gather(run, "test")


class Bars:
    """Stands in for tqdm: remembers each bar's name and how many of its items were done."""

    def __init__(self):
        self.done = {}

    def __call__(self, items, desc, unit, total=None):
        self.done[desc] = 0
        for item in items:
            yield item
            self.done[desc] += 1


def test_every_set_of_tracks_is_read_under_a_bar(run_dir):
    bars = Bars()
    measure.prepare(RunDirectory.open(run_dir), "test", bars)
    assert bars.done == {
        "reading harp": 1,
        "reading organ": 1,
        "reading harp held out": 2,
        "reading organ held out": 2,
        "learning to tell genres apart": 2,
        "real harp": 2,
        "real organ": 2,
    }


def test_without_progress_or_without_work_there_is_no_bar():
    bars = Bars()
    assert list(shown([1, 2], None, "what", "track")) == list(shown([1, 2], bars, "what", "track")) == [1, 2]
    assert list(shown([], bars, "nothing", "track")) == [] and bars.done == {"what": 2}


def test_songs_are_judged_by_the_embedding_of_the_training_tracks(run_dir):
    run = RunDirectory.open(run_dir)
    judge = measure.prepare(run, "test")
    expected = analysis.fit_embedding(judge.material.training, RATE)
    np.testing.assert_array_equal(judge.embedding.projection, expected.projection)
    for genre, tracks in judge.material.reference.items():
        for track, windows in zip(tracks, judge.reference[genre], strict=True):
            np.testing.assert_array_equal(windows, analysis.embed(track, RATE, expected))
            np.testing.assert_array_equal(judge.embed(track), windows)
            np.testing.assert_allclose(judge.analyse(track).windows, windows, rtol=1e-4)


@pytest.fixture
def report_of(monkeypatch):
    """Evaluate a run on no song at all, which leaves what is said of the run itself."""
    embedding = style.StyleEmbedding(("a", "b"), np.zeros(1), np.eye(1), np.array([[0.0], [4.0]]))
    right, wrong = np.full((3, 1), -1.0), np.full((3, 1), 5.0)
    reference = {"a": [right, right, wrong], "b": [wrong]}

    def prepare(run, split, progress, audio_dir):
        return measure.Judge(run, songs.Material({}, {}, {}), embedding, reference)

    monkeypatch.setattr(measure, "prepare", prepare)
    return evaluation.evaluate


def test_a_report_says_how_many_real_tracks_are_recognised(run_dir, report_of):
    assert report_of(run_dir)["classifier"] == {"a": pytest.approx(2 / 3), "b": 1.0}


def test_a_report_says_which_run_it_measured_and_how_that_was_trained(run_dir, report_of, tmp_path):
    shutil.copytree(run_dir, tmp_path / "a_b")
    assert report_of(tmp_path / "a_b")["trained"] is None
    run = RunDirectory.open(tmp_path / "a_b")
    replace(run, history=({"commit": "first"}, {"commit": "last"})).write()
    found = report_of(tmp_path / "a_b")
    assert found["run"] == "a_b" and found["trained"] == {"commit": "last"} and found["split"] == "held out"
    assert str(tmp_path) not in json.dumps(found)  # no folder of the machine


def test_the_digest_in_a_report_changes_with_either_generator(run_dir, report_of, tmp_path):
    digests = {report_of(run_dir)["weights"], report_of(run_dir)["weights"]}
    assert len(digests) == 1
    settings = RunDirectory.open(run_dir).config
    for number, direction in enumerate(("ab", "ba")):
        path = tmp_path / direction
        shutil.copytree(run_dir, path)
        shutil.rmtree(path / "checkpoints")
        parameters = cyclegan.init_parameters(settings)
        changed = jax.tree.map(lambda leaf: leaf + np.float32(1e-3), parameters["generator"][direction])
        parameters["generator"] |= {direction: changed}
        with checkpoint.open_checkpoints(RunDirectory.open(path)) as checkpoints:
            checkpoint.save(checkpoints, cyclegan.start_from(parameters, settings))
        digests.add(report_of(path)["weights"])
        assert len(digests) == number + 2


@pytest.fixture
def tunes(tmp_path, monkeypatch):
    """Stand in for the built-in corpus: two tunes, of whose versions one is a little longer."""
    rng = np.random.default_rng(0)
    lengths = {"rearranged/rock": 1.0, "rearranged/jazz": 1.1, "reorchestrated/rock_as_folk": 0.9}
    for folder, seconds in lengths.items():
        for number in range(2):
            path = tmp_path / "paired/test" / folder / f"tune_{number:02}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wave(path, (0.1 * rng.standard_normal(int(seconds * RATE))).astype(np.float32), RATE)
    monkeypatch.setattr(corpus, "build", lambda directory: tmp_path)
    return tmp_path / "paired/test"


def test_paired_tunes_are_cut_to_their_common_length(tunes):
    found = songs._paired("test", "rock", "jazz", AUDIO, None)
    assert [song.name for song in found] == ["tune_00", "tune_01"]
    for song in found:
        source, truth = (
            data.read_mono(tunes / "rearranged" / genre / f"{song.name}.wav", AUDIO) for genre in ("rock", "jazz")
        )
        np.testing.assert_array_equal(song.source, source)
        assert set(song.truths) == {"rearranged"}  # no one plays rock with the instruments of jazz
        np.testing.assert_array_equal(song.truths["rearranged"], truth[:RATE])


def test_a_tune_that_was_reorchestrated_has_that_truth_too(tunes):
    shutil.copytree(tunes / "rearranged/rock", tunes / "rearranged/folk")
    for song in songs._paired("test", "rock", "folk", AUDIO, None):
        assert set(song.truths) == {"rearranged", "reorchestrated"}
        assert {len(part) for part in (song.source, *song.truths.values())} == {int(0.9 * RATE)}


def test_reference_tunes_are_rendered_once(tmp_path, monkeypatch):
    asked = []

    def render(file):
        asked.append((file.split, file.tune, file.source, file.target))
        return np.random.default_rng(file.tune).normal(0, 0.1, (44_100, 2)).astype(np.float32)

    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(library, "samples_of", render)
    bars = Bars()
    first = songs._reference("rock", AUDIO, bars)
    again = songs._reference("rock", AUDIO, bars)
    assert asked == [("reference", number, "rock", "rock") for number in range(8)]
    assert bars.done == {"rendering rock to compare to": 8}
    assert len({track.tobytes() for track in first}) == 8
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_command_makes_no_folder_and_takes_no_stray_word(run_dir, tmp_path):
    for arguments, message in (
        ([f"--out={tmp_path / 'none' / 'f.json'}"], f"there is no folder {tmp_path / 'none'}; make it first"),
        (["folk"], "unexpected argument 'folk'; options begin with --"),
    ):
        command = [sys.executable, "-m", "gst_jax.evaluate", f"--run={run_dir}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


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
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if not line.startswith("written"))
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["provenance"]["command"].startswith("python -m gst_jax.evaluate") and written["directions"]
    assert (tmp_path / "f.png").exists()


@pytest.mark.parametrize("setting", ["data.corpus_tracks=60", "data.speed_semitones=2"])
def test_one_embedding_judges_every_run_of_the_built_in_corpus(monkeypatch, tmp_path, setting):
    """Whatever a run made of the corpus, its measures learn from the usual tracks, or figures were not comparable."""

    def load(pair, audio_dirs, settings, progress):
        raise InterruptedError(settings)  # what follows takes minutes

    monkeypatch.setattr(data, "load_run", lambda run, progress: None)
    monkeypatch.setattr(data, "load_pair", load)
    asked = []
    for overrides in ([], [setting]):
        settings = data.settings_for((), config.load(overrides=overrides))
        run = RunDirectory(path=tmp_path, pair=("folk", "rock"), config=settings, statistics={})
        with pytest.raises(InterruptedError) as interruption:
            songs.gather(run, "validation")
        asked.append(interruption.value.args[0])
    assert asked[0] == asked[1]


@pytest.mark.slow
def test_the_built_in_corpus_is_told_apart_and_an_equaliser_does_not_pass(tmp_path):
    """The claim on which the style figures stand: genres are far, true arrangements near, recoloured ones far."""
    settings = data.settings_for((), config.Config())
    genres = data.load_pair(("folk", "jazz"), (), settings)
    levels = {genre.name: genre.statistics for genre in genres}
    run = RunDirectory(path=tmp_path, pair=("folk", "jazz"), config=settings, statistics=levels)
    judge = measure.prepare(run, "validation")
    embedding = judge.embedding
    assert corpus.default_directory().is_dir()
    for genre, tracks in judge.reference.items():
        assert np.mean([embedding.log_odds(windows, genre).mean() > 0 for windows in tracks]) >= 0.9
    for (source, target), tunes in judge.material.songs.items():
        judged = scores.StyleJudge(embedding, source, target, judge.reference)
        rng = np.random.default_rng(0)
        recoloured = [
            embedding.embed(texture.describe(texture.recolour(analysis.power_of(tune.source, RATE), rng), AUDIO))
            for tune in tunes
        ]
        distance = {
            name: judged.measure(tracks)["kernel distance to target"].value
            for name, tracks in {
                "source": [judge.embed(tune.source) for tune in tunes],
                "recoloured": recoloured,
                "truth": [judge.embed(tune.truths["rearranged"]) for tune in tunes],
            }.items()
        }
        assert distance["truth"] < 0.2 * distance["source"]
        assert distance["recoloured"] > 0.6 * distance["source"]
