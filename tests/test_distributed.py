"""Training on several devices and in several processes over loopback is that of one device."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from gst_jax import config, data
from gst_jax.data import genres as data_genres
from gst_jax.data import team as data_team
from gst_jax.learning import checkpoint, cyclegan, processes, stepping
from gst_jax.runs.directory import RunDirectory

PAIR = ("harp", "organ")
# Two segments from each of two tracks a genre, four a batch: a step an epoch.
OPTIONS = [
    "training.batch_size=4",
    "training.epochs=12",
    "training.log_every=2",
    "training.checkpoint_every=5",
    "training.measure_every=1000",
]
SETTINGS = config.load("configs/smoke.toml", OPTIONS)
GONE = "gst_jax: another process of this training has ended"

PROCESS = f"""
import json, sys
from gst_jax import config
from gst_jax.data import cache
from gst_jax.learning import loop, processes

joined, audio_dir, run_dir = json.loads(sys.argv[1])
opened, read = [], cache.open_recording
cache.open_recording = lambda path, *rest: opened.append(path.parent.name + "/" + path.name) or read(path, *rest)
settings = config.load("configs/smoke.toml", {OPTIONS!r})
with processes.joined(*joined):
    loop.train({PAIR!r}, settings, run_dir, audio_dirs=[audio_dir])
print("opened", json.dumps(opened))
"""


def environment(cache, devices=1):
    return os.environ | {"GST_JAX_CACHE": str(cache), "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def trained(run_dir, audio_dir, count=1, devices=1):
    """Train a run in so many processes with so many devices each; return what each of them decoded."""
    coordinator = f"127.0.0.1:{free_port()}"
    arguments = [json.dumps([[coordinator, count, index], str(audio_dir), str(run_dir)]) for index in range(count)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, argument],
            env=environment(run_dir.parent / "cache", devices),
            stdout=subprocess.PIPE,
            text=True,
        )
        for argument in arguments
    ]
    lines = [process.communicate(timeout=300)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0] * count
    return [json.loads(line[-1].removeprefix("opened ")) for line in lines]


def state_of(run_dir):
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        return checkpoint.restore(checkpoints, cyclegan.abstract_state(SETTINGS))


def assert_same_training(run_dir, other):
    one, two = state_of(run_dir), state_of(other)
    assert int(one.step) == int(two.step) == 12
    for x, y in zip(jax.tree.leaves(one.parameters), jax.tree.leaves(two.parameters), strict=True):
        # Sums are taken in another order, which may turn the sign of Adam's step where a gradient is nearly 0.
        difference = np.abs(np.asarray(x) - np.asarray(y))
        assert difference.max() < 1e-3 and difference.mean() < 1e-5
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (run_dir, other)]
    assert [entry["step"] for entry in logs[0]] == [entry["step"] for entry in logs[1]] == [2, 4, 6, 8, 10, 12]
    assert logs[0][-1]["generator/total"] == pytest.approx(logs[1][-1]["generator/total"], rel=1e-3)
    runs = [RunDirectory.open(run) for run in (run_dir, other)]
    for genre in PAIR:
        statistics = [np.array(dataclasses.astuple(run.statistics[genre])) for run in runs]
        np.testing.assert_allclose(*statistics, rtol=0, atol=1e-9)  # dB
    for x, y in zip(*(run.read_fine_structures() for run in runs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, audio_dir):
    """A run of one process with one device; not to be changed."""
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    assert len(trained(run_dir, audio_dir)) == 1
    return run_dir


def test_two_processes_train_as_one_and_decode_a_share_each(tmp_path, audio_dir, alone):
    opened = trained(tmp_path / "run", audio_dir, count=2)
    assert_same_training(tmp_path / "run", alone)
    everything = [f"{genre}/tune {number}.wav" for genre in PAIR for number in range(3)]
    assert sorted(opened[0] + opened[1]) == everything  # each once
    assert all(len(share) >= 2 for share in opened)
    assert not list((tmp_path / "cache").rglob("*.npz"))  # the shares are put together


@pytest.mark.slow
@pytest.mark.parametrize(("count", "devices"), [(1, 2), (1, 4), (4, 1), (2, 2)])
def test_devices_and_processes_train_as_one(tmp_path, audio_dir, alone, count, devices):
    trained(tmp_path / "run", audio_dir, count, devices)
    assert_same_training(tmp_path / "run", alone)
