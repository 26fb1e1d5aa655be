import re

import numpy as np
import pytest

from gst_jax import config, data, sound
from gst_jax.learning import loop
from gst_jax.presentation import report
from gst_jax.runs.directory import RunDirectory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, audio_dir):
    run_dir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GST_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        settings = config.load("configs/smoke.toml", ["training.epochs=2"])
        loop.train(("harp", "organ"), settings, run_dir, audio_dirs=[audio_dir])
        report.write(run_dir)
    return run_dir


def test_the_run_directory_is_complete(run_dir):
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if "checkpoints/" not in str(path)}
    assert names == {
        ".lock",
        "config.json",
        "fine_structure.npz",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
        "audio_samples",
        "audio_samples/real_harp.wav",
        "audio_samples/fake_organ_from_harp.wav",
        "audio_samples/real_organ.wav",
        "audio_samples/fake_harp_from_organ.wav",
        "visualizations",
        "visualizations/training_curves.png",
        "visualizations/spectrograms.png",
        "report.html",
    }


def test_samples_are_sound_and_conversions_differ_from_their_sources(run_dir):
    for source, target in (("harp", "organ"), ("organ", "harp")):
        real = sound.read_wave(run_dir / "audio_samples" / f"real_{source}.wav").samples
        fake = sound.read_wave(run_dir / "audio_samples" / f"fake_{target}_from_{source}.wav").samples
        assert fake.shape == real.shape
        assert np.abs(fake).max() < 1.0 and np.sqrt(np.mean(fake**2)) > 0.01
        assert np.sqrt(np.mean((fake - real) ** 2)) > 0.05 * np.sqrt(np.mean(real**2))


def test_the_page_needs_nothing_but_itself(run_dir):
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 6
    assert all(source.startswith("data:") for source in sources)


def test_samples_come_from_a_track_held_out_of_training(run_dir, audio_dir):
    _, held_out = data.split_tracks(sound.find_audio(audio_dir / "harp"), 0.1)
    real = sound.read_wave(run_dir / "audio_samples" / "real_harp.wav").samples
    np.testing.assert_allclose(real, sound.read_wave(held_out[0]).samples, atol=1e-4)


def test_samples_come_from_what_the_training_held_out_and_never_from_a_jingle(tmp_path, rng, monkeypatch):
    """Files too short to train on count for nothing, also in the division into training and held-out ones."""
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    for genre in ("harp", "organ"):
        (tmp_path / genre).mkdir()
        for number in range(20):
            seconds = 0.5 if number % 2 else 4.3
            wave = 0.1 * rng.standard_normal(int(16_000 * seconds)).astype(np.float32)
            sound.write_wave(tmp_path / genre / f"track {number:02}.wav", wave, 16_000)
    settings = config.load("configs/smoke.toml")
    loop.train(("harp", "organ"), settings, tmp_path / "run", audio_dirs=[tmp_path], minutes=0)
    report.write(tmp_path / "run")
    for genre in data.load_run(RunDirectory.open(tmp_path / "run")):
        real = sound.read_wave(tmp_path / "run" / "audio_samples" / f"real_{genre.name}.wav").samples
        trained = [sound.read_wave(track.path).samples for track in genre.tracks]
        held_out = [sound.read_wave(path).samples for path in genre.held_out]
        assert len(held_out) == 1 and np.allclose(real, held_out[0], atol=1e-4)
        assert not any(np.allclose(real, one, atol=1e-4) for one in trained)


def test_a_run_stopped_before_its_first_log_line_has_a_page_too(tmp_path, audio_dir, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))
    settings = config.load("configs/smoke.toml")
    loop.train(("harp", "organ"), settings, tmp_path / "run", audio_dirs=[audio_dir], minutes=0)
    assert report.write(tmp_path / "run").read_text(encoding="utf-8").count("<audio") == 4
