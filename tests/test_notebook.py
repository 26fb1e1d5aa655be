"""In Python and in a notebook: run, converter, song, measures, each with a repr that says what to do with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gst_jax
from gst_jax import config, evaluation, sound
from gst_jax.conversion.translator import Translator

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def to_jazz():
    return gst_jax.load("folk_jazz").to("jazz")


@pytest.fixture(scope="module")
def wave():
    return (0.1 * np.random.default_rng(0).standard_normal((2 * 22_050, 2))).astype(np.float32)


def test_importing_the_package_loads_no_library_of_anyone():
    code = "import sys, gst_jax; print({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(eval(done.stdout)) <= {"gst_jax", "__main__"}
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        gst_jax.lod  # noqa: B018


def test_a_file_and_its_samples_give_what_the_translator_gives(to_jazz, wave, tmp_path):
    sound.write_wave(tmp_path / "song.wav", wave, 22_050, "FLOAT")
    ours = to_jazz(wave, 22_050)
    np.testing.assert_array_equal(to_jazz(tmp_path / "song.wav").samples, ours.samples)
    np.testing.assert_array_equal(ours.samples, Translator.from_run("folk_jazz", to="jazz")(wave, 22_050))
    assert repr(ours) == "Song(2.0 s, 22050 Hz, 2 channels)"
    again = sound.read_wave(ours.save(tmp_path / "out.wav"))
    assert again.samples == pytest.approx(ours.samples, abs=1e-4)
    assert "Converter to jazz: call it with a path" in repr(to_jazz)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda to_jazz: to_jazz(np.zeros(9_000, np.float32)), "samples need their rate"),
        (lambda to_jazz: to_jazz(np.zeros((2, 99_000), np.float32), 44_100), r"give waveform\.T"),
        (lambda to_jazz: to_jazz("nowhere.mp3"), "nowhere.mp3"),
        (lambda to_jazz: gst_jax.load("folk_jaz"), "bundled one: folk_jazz, folk_rock"),
        (lambda to_jazz: gst_jax.load("folk_jazz").to("rock"), "'rock' is not a genre"),
        (lambda to_jazz: gst_jax.fit(pair="all"), "one pair"),
    ],
)
def test_a_mistake_says_what_to_do(to_jazz, call, message):
    with pytest.raises(ValueError, match=message):
        call(to_jazz)


def test_fit_goes_on_and_returns_a_run(audio_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    call = dict(config_file="smoke", run_dir=tmp_path / "run")
    stopped = gst_jax.fit(audio_dir, **call, minutes=0)
    assert "0 of 4 batches" in repr(stopped)
    run = gst_jax.fit(audio_dir, **call)
    assert "harp and organ; 4 of 4 batches" in repr(run) and ".to('organ')" in repr(run)
    assert "4 tracks, 0.3 minutes; compiling" in capsys.readouterr().err
    assert len(run.to("harp")(np.zeros(9_000, np.float32), 16_000).samples) == 9_000


def test_a_path_that_exists_wins_over_a_bundled_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gst_jax.load("folk_rock").directory.pair == ("folk", "rock")
    assert config.load("full") == config.load(ROOT / "configs" / "full.toml") != config.load()
    (tmp_path / "full").write_text("[training]\nepochs = 3\n")
    (tmp_path / "folk_rock").mkdir()
    assert config.load("full") == config.load(None, ["training.epochs=3"])
    with pytest.raises(config.ConfigError, match="folk_rock is not a run directory"):
        gst_jax.load("folk_rock")


def test_the_folders_lie_inside_the_package_or_beside_it(tmp_path):
    """As a wheel puts them, and as a checkout has them."""
    for place, expected in (("gst_jax/configs", "gst_jax/configs"), ("configs", "configs")):
        here = tmp_path / place.replace("/", "_")
        for folder in ("gst_jax", place):
            (here / folder).mkdir(parents=True, exist_ok=True)
        (here / "gst_jax" / "__init__.py").write_bytes((ROOT / "gst_jax" / "__init__.py").read_bytes())
        (here / place / "toy.toml").touch()
        code = "import gst_jax; print(gst_jax.bundled('configs')['toy'], gst_jax.bundled('pretrained'))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, env=_alone(here)
        )
        assert done.stdout.split() == [str(here / expected / "toy.toml"), "{}"], done.stderr


def _alone(folder):
    return os.environ | {"PYTHONPATH": str(folder)}


def test_measure_shows_what_the_command_prints(monkeypatch):
    tree = json.loads((ROOT / "results" / "evaluation_real_folk_jazz.json").read_text(encoding="utf-8"))
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", lambda run, split, *rest: asked.append((run, split)) or tree)
    for run in ("folk_jazz", gst_jax.load("folk_jazz")):
        found = gst_jax.measure(run)
        assert repr(found) == evaluation.summary(tree) and found["directions"] == tree["directions"]
    assert asked == [("folk_jazz", "validation"), (gst_jax.bundled("pretrained")["folk_jazz"], "validation")]


@pytest.mark.slow
def test_the_notebook_runs_from_the_first_cell_to_the_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((ROOT / "docs" / "first_steps.ipynb").read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            assert not cell["outputs"], "keep outputs out of the repository"
    assert "batches" in repr(names["run"])
    song = sound.read_wave(tmp_path / "first_steps.jazz.wav")
    assert len(song.samples) == len(names["song"]) and np.abs(song.samples).max() > 0.01
