"""What is exported converts as we do, says what made it, and needs no JAX."""

import json
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from gst_jax import config, sound
from gst_jax.conversion import exporting
from gst_jax.conversion.translator import FRESH, Translator
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.sound import fine_structure, levels

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

EXAMPLE = Path(__file__).parents[1] / "docs" / "convert_without_jax.py"
MODELS = {
    "frames": ["audio.n_mels=64", "model.channels=8", "model.residual_blocks=2", "model.discriminator_channels=4"],
    "odd context": ["audio.n_mels=32", "model.channels=4", "model.residual_blocks=1", "model.transport_taps=5"],
    "as it is": ["audio.n_mels=32", "model.channels=4", "model.residual=false", "model.song_share=0.0"],
    "pictures": ["audio.n_mels=64", "model.architecture=pictures", "model.channels=4", "model.transport_taps=0"],
}


def untrained(path, overrides):
    """Return a run of a tiny model with random weights in every layer."""
    rng = np.random.default_rng(0)
    settings = config.load(overrides=overrides)
    mels = settings.audio.n_mels
    statistics = {
        genre: Statistics(
            mean=tuple(rng.uniform(-20, 10, mels)),
            deviation=tuple(rng.uniform(3, 12, mels)),
            highest=tuple(rng.uniform(10, 40, mels)),
        )
        for genre in ("folk", "jazz")
    }
    run = RunDirectory(path=path, pair=("folk", "jazz"), config=settings, statistics=statistics)
    flat = fine_structure.flat(settings.audio)
    run.write_fine_structures([flat, flat])
    run.write()
    generators = jax.tree.map(
        lambda leaf: np.asarray(leaf) + 0.05 * rng.standard_normal(leaf.shape).astype(np.float32),
        cyclegan.init_state(settings).ema,
    )
    checkpoint.write_generators(run.generators, generators)
    return run


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("small"), MODELS["frames"])


def song(run, frames, seed=0):
    """Return a log-mel unlike its genre, with a pause and a note above all that the target knows."""
    rng = np.random.default_rng(seed)
    mean = np.array(run.statistics["folk"].mean) + rng.uniform(-25, 25, run.config.audio.n_mels)
    log_mel = np.maximum(mean + rng.uniform(1, 20) * rng.standard_normal((frames, len(mean))), -50)
    log_mel[frames // 3 : frames // 2] = levels.PAUSE - 5
    log_mel[: frames // 5, 7] = 60
    return log_mel.astype(np.float32)


def loaded(path):
    """Return what a program without this package makes of a log-mel by an exported file."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        return lambda log_mel: session.run(["converted"], {"log_mel": log_mel})[0]
    with zipfile.ZipFile(path) as opened:
        exported = jax.export.deserialize(bytearray(opened.read("model.jax")))
    return lambda log_mel: np.asarray(exported.call(log_mel))


@pytest.mark.parametrize(
    ("model", "format"),
    [
        *((model, "onnx") for model in MODELS),
        ("odd context", "stablehlo"),  # JAX compiles for each length
        *(pytest.param(model, "stablehlo", marks=pytest.mark.slow) for model in ("frames", "as it is", "pictures")),
    ],
)
def test_an_exported_model_converts_as_the_translator_at_any_length(model, format, tmp_path):
    run, path = untrained(tmp_path, MODELS[model]), tmp_path / f"model{exporting.SUFFIXES[format]}"
    assert exporting.export(run, "jazz", format, path) <= exporting.TOLERANCE
    call, translator = loaded(path), Translator.from_run(run, "jazz")
    lengths = [1, 2, FRESH, *np.random.default_rng(1).integers(3, 4 * FRESH, 1 if format == "stablehlo" else 20)]
    for frames in lengths:
        log_mel = song(run, frames, frames)
        assert np.abs(call(log_mel) - translator.convert_log_mel(log_mel)).max() <= exporting.TOLERANCE, frames


def test_both_directions_of_a_pair_export(small, tmp_path):
    log_mel = song(small, 100)
    for to in small.pair:
        exporting.export(small, to, "onnx", tmp_path / f"{to}.onnx")
    to_folk, to_jazz = (loaded(tmp_path / f"{to}.onnx")(log_mel) for to in small.pair)
    assert np.abs(to_folk - to_jazz).max() > 1


@pytest.mark.parametrize("format", exporting.SUFFIXES)
def test_the_file_says_what_it_takes_and_what_made_it(small, format, tmp_path):
    path = tmp_path / f"model{exporting.SUFFIXES[format]}"
    exporting.export(small, "jazz", format, path)
    if format == "onnx":
        about = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["gst_jax"])
    else:
        with zipfile.ZipFile(path) as opened:
            about = json.loads(opened.read("about.json"))
    assert (about["from"], about["to"], about["audio"]["n_mels"]) == ("folk", "jazz", 64)
    assert about["contract"].startswith("log_mel [frames, n_mels] -> converted") and about["floor"] == -50
    generator = checkpoint.load_generator(small, "ab")
    assert about["weights"] == checkpoint.digest({"ab": generator})
    assert about["exported"]["versions"]["jax"] == jax.__version__


def test_a_file_that_would_convert_otherwise_is_not_written(small, tmp_path, monkeypatch):
    from gst_jax.conversion import onnx_graph

    build = onnx_graph.build
    other = Statistics(mean=(0.0,) * 64, deviation=(5.0,) * 64, highest=(99.0,) * 64)
    monkeypatch.setattr(onnx_graph, "build", lambda *inside: build(*inside[:3], other))
    with pytest.raises(exporting.ExportError, match="dB off"):
        exporting.export(small, "jazz", "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", exporting.SUFFIXES)
def test_ctrl_c_leaves_the_old_file_and_nothing_half_written(small, format, tmp_path, monkeypatch):
    path = tmp_path / f"model{exporting.SUFFIXES[format]}"
    path.write_bytes(b"older")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exporting.export(small, "jazz", format, path)
    assert [other.name for other in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"older"


def test_what_is_missing_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(exporting.ExportError, match=r"onnxruntime: pip install 'gst_jax\[export\]'"):
        exporting.export(small, "jazz", "onnx", tmp_path / "model.onnx")
    with pytest.raises(config.ConfigError, match="choose jazz or folk"):
        exporting.export(small, "metal", "onnx", tmp_path / "model.onnx")


def test_the_command_exports_once_and_replaces_nothing_unasked(small, tmp_path):
    command = [sys.executable, "-m", "gst_jax", "export", f"--run={small.path}", "--to=jazz"]
    first, second = (subprocess.run(command, cwd=tmp_path, capture_output=True, text=True) for _ in range(2))
    name = f"{small.path.name}.jazz.onnx"
    assert first.returncode == 0 and first.stdout.startswith(f"{name}\nit converts as gst_jax does"), first.stderr
    assert second.returncode == 1 and second.stderr.startswith(f"gst_jax: {name} exists and is left as it is")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_the_example_converts_a_wav_file_without_jax_or_this_package(tmp_path):
    model, source, made = (tmp_path / name for name in ("model.onnx", "song.wav", "made.wav"))
    run = RunDirectory.open("folk_jazz")
    exporting.export(run, "jazz", "onnx", model)
    rate, rng = 44_100, np.random.default_rng(0)
    time = np.arange(10 * rate) / rate
    pitch = 220.0 * 2.0 ** (rng.choice([0, 2, 4, 7, 9, 12], 41)[(4 * time).astype(int)] / 12)
    notes = 0.1 * np.exp(-5 * (4 * time % 1)) * sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 9))
    notes = np.stack([notes, 0.5 * notes], axis=1) + 1e-3 * rng.standard_normal((len(time), 2))
    sound.write_wave(source, notes.astype(np.float32), rate, "PCM_16")
    blocked = "import runpy, sys; sys.modules.update(jax=None, gst_jax=None, librosa=None, scipy=None); "
    blocked += "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    subprocess.run([sys.executable, "-c", blocked, EXAMPLE, model, source, made], check=True)
    with wave.open(str(made)) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (len(notes), rate, 2)
    heard, before = (sound.read_wave(path).samples for path in (made, source))
    ours = Translator.from_run(run, "jazz")(before, rate, route="gain")
    # It weights loudness otherwise, and has frames a quarter as dense as ours
    assert np.corrcoef(heard[:, 0], ours[:, 0])[0, 1] > 0.99 > np.corrcoef(before[:, 0], ours[:, 0])[0, 1] + 0.02
    assert np.mean(heard**2) == pytest.approx(np.mean(before**2), rel=0.01)
