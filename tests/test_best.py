"""The generators that measure best convert; training ends when none is better; a resumed run does the same."""

import json
import signal

import jax
import numpy as np
import pytest

from gst_jax import config, data
from gst_jax.evaluation import held_out
from gst_jax.learning import checkpoint, loop
from gst_jax.runs.directory import RunDirectory

PAIR = ("harp", "organ")
SETTINGS = config.load(
    "configs/smoke.toml",
    ["training.epochs=8", "training.checkpoint_every=3", "training.measure_every=2", "training.patience=3"],
)
SCORES = {0: 0.1, 2: 0.3, 4: 0.2, 6: 0.5, 8: 0.4, 10: 0.5, 12: 0.1, 14: 0.9, 16: 0.9}


class ScriptedEar:
    """Gives the scores above, in the order of the steps, and remembers the generators."""

    def __init__(self, first=0):
        self.steps = [step for step in SCORES if step >= first]
        self.heard = {}

    def __call__(self, generators):
        step = self.steps.pop(0)
        self.heard[step] = jax.tree.map(np.array, generators)
        return {"style": SCORES[step], "notes": 1.0, "score": SCORES[step]}

    def equaliser(self):
        return {"style": 0.2, "notes": 0.9, "score": 0.3}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))


def train(run_dir, audio_dir, ear, **options):
    settings = options.pop("settings", SETTINGS)
    return loop.train(PAIR, settings, run_dir, audio_dirs=[audio_dir], listen=lambda run, genres: ear, **options)


def measured(run_dir):
    return [json.loads(line) for line in (run_dir / "measures.jsonl").read_text().splitlines()]


def test_the_best_generators_convert_and_training_ends_when_none_is_better(tmp_path, audio_dir):
    ear = ScriptedEar()
    summary = train(tmp_path / "run", audio_dir, ear)
    # Best at 6; 8, 10 and 12 are no better (the first of equals counts), so 14 is never seen.
    assert summary.steps == 12 and summary.finished and summary.total == 16
    entries = measured(tmp_path / "run")
    assert [entry["step"] for entry in entries] == [-1, 0, 2, 4, 6, 8, 10, 12]
    assert entries[0]["score"] == 0.3  # the equaliser's, to compare with
    assert summary.best_seconds == pytest.approx(entries[4]["seconds"])
    run = RunDirectory.open(tmp_path / "run")
    for direction in ("ab", "ba"):
        jax.tree.map(
            np.testing.assert_array_equal, checkpoint.load_generator(run, direction), ear.heard[6][direction]
        )


def test_patience_of_none_trains_to_the_end_and_the_last_may_be_the_best(tmp_path, audio_dir):
    overrides = ["training.epochs=8", "training.measure_every=2", "training.patience=0"]
    ear = ScriptedEar()
    summary = train(tmp_path / "run", audio_dir, ear, settings=config.load("configs/smoke.toml", overrides))
    assert summary.steps == 16
    generator = checkpoint.load_generator(RunDirectory.open(tmp_path / "run"), "ab")
    jax.tree.map(np.testing.assert_array_equal, generator, ear.heard[14]["ab"])


def test_a_run_that_was_interrupted_measures_keeps_and_ends_alike(tmp_path, audio_dir):
    whole = ScriptedEar()
    train(tmp_path / "whole", audio_dir, whole)

    def stop(step, total, metrics):
        if step == 7:
            signal.raise_signal(signal.SIGTERM)

    assert train(tmp_path / "parts", audio_dir, ScriptedEar(), on_step=stop).interrupted
    again = train(tmp_path / "parts", audio_dir, ScriptedEar(8))
    assert again.steps == 12 and again.finished
    keep = ("step", "score")
    one, other = (
        [[entry[key] for key in keep] for entry in measured(tmp_path / name)] for name in ("whole", "parts")
    )
    assert one == other
    first, second = (
        checkpoint.load_generator(RunDirectory.open(tmp_path / name), "ba") for name in ("whole", "parts")
    )
    jax.tree.map(np.testing.assert_array_equal, first, second)
    # A run that has ended is left as it is: nothing is compiled, nothing measured.
    assert train(tmp_path / "parts", audio_dir, ear=None).steps == 12


def test_the_caller_is_told_when_it_was_best(tmp_path, audio_dir):
    seen = {}

    def on_step(step, total, metrics):
        seen[step] = metrics.get("best/score")

    train(tmp_path / "run", audio_dir, ScriptedEar(), on_step=on_step)
    assert [seen[step] for step in (1, 2, 5, 6, 12)] == [None, 0.3, 0.3, 0.5, 0.5]


def test_what_was_not_trained_is_measured_and_never_kept(tmp_path, audio_dir):
    """A run that ends before its first measurement converts with what it learned."""

    class Proud(ScriptedEar):
        def __call__(self, generators):
            return super().__call__(generators) | {"score": 1.0 if len(self.heard) == 1 else 0.1}

    stopped = tmp_path / "stopped"

    def stop(step, total, metrics):
        if step == 1:
            signal.raise_signal(signal.SIGTERM)

    summary = train(stopped, audio_dir, Proud(), on_step=stop)
    assert [entry["step"] for entry in measured(stopped)] == [-1, 0] and summary.best_seconds is None
    run = RunDirectory.open(stopped)
    assert not run.best.exists() and checkpoint.newest(run) == 1
    checkpoint.load_generator(run, "ab")
    ear = Proud()
    train(tmp_path / "run", audio_dir, ear)
    generator = checkpoint.load_generator(RunDirectory.open(tmp_path / "run"), "ab")
    jax.tree.map(np.testing.assert_array_equal, generator, ear.heard[2]["ab"])


def test_a_summary_says_how_long_measuring_took(tmp_path, audio_dir):
    summary = train(tmp_path / "run", audio_dir, ScriptedEar())
    took = [entry["took"] for entry in measured(tmp_path / "run")]
    assert summary.measuring_seconds == pytest.approx(sum(took)) and min(took) > 0


def test_without_an_ear_the_newest_generators_convert(tmp_path, audio_dir):
    train(tmp_path / "run", audio_dir, ear=None)
    assert not (tmp_path / "run" / "best.npz").exists() and not (tmp_path / "run" / "measures.jsonl").exists()
    checkpoint.load_generator(RunDirectory.open(tmp_path / "run"), "ab")


def test_the_ear_hears_what_a_conversion_does(tmp_path, audio_dir):
    """On toy genres: giving the music back keeps its notes and no style; noise keeps none."""
    loop.train(PAIR, SETTINGS, tmp_path / "run", audio_dirs=[audio_dir], minutes=0)
    run = RunDirectory.open(tmp_path / "run")
    ear = held_out.prepare(run, data.load_run(run))
    kept = ear._measure(lambda source, target: lambda log_mel: log_mel)
    rng = np.random.default_rng(0)
    noise = ear._measure(lambda source, target: lambda log_mel: rng.normal(-10, 5, log_mel.shape).astype(np.float32))
    assert kept["notes"] > 0.5 > noise["notes"] + 0.2
    wild = ear._measure(lambda source, target: lambda log_mel: log_mel + np.float32(np.nan))
    assert wild == {"style": 0.0, "notes": 0.0, "score": 0.0}  # training goes on where `convert` would refuse
    generators = {key: checkpoint.load_generator(run, key) for key in ("ab", "ba")}
    for measures in (kept, noise, ear.equaliser(), ear(generators)):
        near, notes = measures["style"], measures["notes"]
        assert 0 <= near <= 1 and 0 <= notes <= 1
        assert measures["score"] == pytest.approx(near * min(1, notes / ear.enough_notes))


def test_a_run_without_held_out_music_has_no_ear(tmp_path, audio_dir):
    settings = config.load("configs/smoke.toml", ["data.held_out_fraction=0.0"])
    loop.train(PAIR, settings, tmp_path / "run", audio_dirs=[audio_dir], minutes=0)
    run = RunDirectory.open(tmp_path / "run")
    assert held_out.prepare(run, data.load_run(run)) is None
