"""Training on several devices and in several processes over loopback is that of one device."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from gst_jax import config, data
from gst_jax.data import team as data_team
from gst_jax.learning import checkpoint, cyclegan, processes, stepping
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import AudioError

SCALE = Path(__file__).parents[1] / "docs" / "scale.md"
PAIR = ("harp", "organ")
# Two segments from each of two tracks a genre, four a batch: a step an epoch.
OPTIONS = [
    "model.channels=4",
    "model.residual_blocks=1",
    "model.discriminator_channels=4",
    "model.transport_taps=5",
    "training.accumulation_steps=4",
    "training.batch_size=4",
    "training.epochs=12",
    "training.log_every=2",
    "training.checkpoint_every=5",
    "training.measure_every=1000",
    "training.precision=float32",
]
SETTINGS = config.load("configs/frames.toml", OPTIONS)
GONE = "gst_jax: another process of this training has ended"

PROCESS = f"""
import json, sys
from gst_jax import config
from gst_jax.data import shards
from gst_jax.learning import loop, processes

joined, audio_dir, run_dir = json.loads(sys.argv[1])
opened, read = [], shards.open_recording
shards.open_recording = lambda path, *rest: opened.append(path.parent.name + "/" + path.name) or read(path, *rest)
settings = config.load("configs/frames.toml", {OPTIONS!r})
with processes.joined(*joined):
    loop.train({PAIR!r}, settings, run_dir, audio_dirs=[audio_dir])
print("opened", json.dumps(opened))
"""


def environment(cache, devices=1):
    ours = {
        "GST_JAX_CACHE": str(cache),
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles in a third of the time
    }
    return os.environ | ours


def free_port(lowest=0):
    """Return a port that nobody uses, of all or of those from one on."""
    for port in range(lowest, 65536):
        with contextlib.suppress(OSError), socket.socket() as server:
            server.bind(("127.0.0.1", port))
            return server.getsockname()[1]
    raise OSError("no port is free")


def slurm(count, index, port):
    """Return what `srun` sets on one machine for a process of a job whose number makes JAX choose a port."""
    names = {"SLURM_NTASKS": count, "SLURM_STEP_NUM_TASKS": count, "SLURM_PROCID": index, "SLURM_LOCALID": index}
    return {name: str(value) for name, value in names.items()} | {
        "SLURM_JOB_ID": str(port - 61440),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
    }


def trained(run_dir, audio_dir, count=1, devices=1, by_slurm=False):
    """Train a run in so many processes with so many devices each; return what each of them decoded."""
    port = free_port(61440) if by_slurm else free_port()
    started = []
    for index in range(count):
        joined = (None, None, None) if by_slurm else (f"127.0.0.1:{port}", count, index)
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, json.dumps([joined, str(audio_dir), str(run_dir)])],
                env=environment(run_dir.parent / "cache", devices) | (slurm(count, index, port) if by_slurm else {}),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
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
    logs = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (run_dir, other)
    ]
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
    assert not list((tmp_path / "cache").rglob(".gst_jax-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "devices", "by_slurm"), [(1, 2, False), (1, 4, False), (4, 1, False), (2, 2, True)]
)
def test_devices_and_processes_train_as_one(tmp_path, audio_dir, alone, count, devices, by_slurm):
    trained(tmp_path / "run", audio_dir, count, devices, by_slurm)
    assert_same_training(tmp_path / "run", alone)


def commands(run_dir, audio_dir, count, *options):
    """Start `gst_jax train` in so many processes; each one's output goes to a file."""
    given = [f"--audio_dir={audio_dir}", f"--run_dir={run_dir}", "--config=frames", *options]
    given += [f"--set={option}" for option in OPTIONS if "measure_every" not in option]
    if count > 1:
        given += [f"--coordinator=127.0.0.1:{free_port()}", f"--processes={count}"]
    started = []
    for index in range(count):
        command = [sys.executable, "-m", "gst_jax.train", *given, *([f"--process_id={index}"] if count > 1 else [])]
        with (run_dir.parent / f"{index}.log").open("w") as log:
            started.append(
                subprocess.Popen(command, env=environment(run_dir.parent / "cache"), stdout=log, stderr=log)
            )
    return started


def logs_of(run_dir, count):
    return [(run_dir.parent / f"{index}.log").read_text() for index in range(count)]


def wait_for(path, started):
    while not path.exists():
        assert all(process.poll() is None for process in started)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_that_is_killed_ends_the_others_and_the_run_goes_on_with_another_number(
    tmp_path, audio_dir, alone, victim
):
    run_dir = tmp_path / "run"
    started = commands(run_dir, audio_dir, 2)
    wait_for(run_dir / "checkpoints" / "5" / "crc32.json", started)
    started[victim].kill()
    started[victim].wait()
    killed = time.monotonic()
    assert started[1 - victim].wait(60) != 0
    assert time.monotonic() - killed < 60
    assert logs_of(run_dir, 2)[1 - victim].count(GONE) == 1
    moved = tmp_path / "moved"
    run_dir.rename(moved)
    for count in (4, 1):  # the second has nothing left to train
        started = commands(moved, audio_dir, count)
        assert [process.wait(300) for process in started] == [0] * count
    assert_same_training(moved, alone)
    assert (moved / "report.html").exists()


@pytest.mark.slow
def test_a_signal_to_one_stops_all_with_the_state_saved(tmp_path, audio_dir):
    run_dir = tmp_path / "run"
    started = commands(run_dir, audio_dir, 2, "--set=training.epochs=5000", "--set=training.patience=0")
    wait_for(run_dir / "checkpoints" / "5" / "crc32.json", started)
    started[1].send_signal(signal.SIGTERM)
    assert [process.wait(100) for process in started] == [130, 130]
    first, second = logs_of(run_dir, 2)
    assert "stopping: keeping what was learned" in first and "the same command goes on" in first
    assert "learned" not in second
    assert checkpoint.newest(RunDirectory.open(run_dir)) > 5


@pytest.mark.slow
def test_another_training_in_the_same_run_is_refused_in_one_line_each(tmp_path, audio_dir):
    run_dir = tmp_path / "run"
    run = RunDirectory(path=run_dir, pair=PAIR, config=SETTINGS, statistics={})
    with processes.holding(run):
        started = commands(run_dir, audio_dir, 2)
        assert [process.wait(60) for process in started] == [1, 1]
    first, second = logs_of(run_dir, 2)
    assert f"gst_jax: another process is training in {run_dir}; stop it first" in first
    assert second.count(GONE) == 1


def test_rows_of_a_batch_are_those_of_the_whole(audio_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path))
    settings = config.load("configs/frames.toml", ["training.batch_size=4", "data.disturbance=1"])
    batches = data.Batches(*data.load_pair(PAIR, [audio_dir], settings), settings)
    for step in range(8):
        whole = batches.batch_at(step)
        for rows in (slice(0, 1), slice(1, 3), slice(3, 4)):
            for name, part in batches.batch_at(step, rows).items():
                np.testing.assert_array_equal(part, whole[name][rows])


def load_as(team, audio_dir, cache):
    settings = config.load("configs/frames.toml", ["data.speed_semitones=1"])
    return data.load_genres([audio_dir], PAIR, settings.audio, settings.data, cache, team=team)


def load_as_two(audio_dir, cache):
    """Be the first of two processes; the second does its part while the first waits for it."""
    turns = []

    def leave(what):
        raise InterruptedError

    def other(what):
        turns.append(what)
        if what == "all tracks are decoded":
            with pytest.raises(InterruptedError):
                load_as(data.Team(1, 2, leave), audio_dir, cache)

    found = load_as(data.Team(0, 2, other), audio_dir, cache)
    assert turns == ["all tracks are decoded", "the cache is whole"]
    return found


def test_shares_decoded_apart_are_the_cache_decoded_at_once(audio_dir, tmp_path):
    whole = load_as(data.Team(), audio_dir, tmp_path / "whole")
    first = load_as_two(audio_dir, tmp_path / "cache")
    second = load_as(data.Team(1, 2), audio_dir, tmp_path / "cache")
    for one, part, same in zip(whole, first, second, strict=True):
        for other in (part, same):
            assert (other.tracks, other.held_out, other.skipped) == (one.tracks, one.held_out, one.skipped)
            assert other.statistics == one.statistics
            np.testing.assert_array_equal(other.log_mel, one.log_mel)
            np.testing.assert_array_equal(other.levels, one.levels)
            np.testing.assert_array_equal(other.fine_structure, one.fine_structure)


def test_damaged_files_are_all_named_whichever_process_met_them(audio_dir, tmp_path):
    music = tmp_path / "music"
    shutil.copytree(audio_dir, music)
    for number in range(2):
        soundfile.write(music / "harp" / f"tune {number}.wav", np.full(50_000, np.nan), 16_000, "FLOAT")
    with pytest.raises(AudioError) as told:
        load_as_two(music, tmp_path / "cache")
    assert "tune 0.wav" in str(told.value) and "tune 1.wav" in str(told.value)


def test_a_cache_that_is_not_shared_is_refused(audio_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(data_team, "_SEEN", 0.0)
    with pytest.raises(OSError, match="process 1 does not see .* must share that folder: name one by GST_JAX_CACHE"):
        load_as(data.Team(1, 2), audio_dir, tmp_path)


@pytest.mark.parametrize(
    ("variables", "several"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),  # in a batch script, outside of srun
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),  # a notebook in a pod
    ],
)
def test_only_an_environment_of_several_processes_starts_the_runtime(monkeypatch, variables, several):
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    called = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given, **rest: called.append(given))
    with processes.joined(None, None, None):
        pass
    assert called == [(None, None, None)] * several
    with processes.joined(None, 1, None):  # whatever the environment says
        pass
    assert len(called) == several
    assert not jax.distributed.is_initialized()


def test_processes_that_a_batch_cannot_be_divided_among_are_refused(monkeypatch):
    three = jax.devices() * 3
    monkeypatch.setattr(jax, "devices", lambda: three)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(config.ConfigError, match="batch of 4 .* 3 devices of 3 processes; give .*batch_size=3"):
        stepping.place(SETTINGS)


def ran(program, script, variables, tmp_path):
    """Run a script whose first program only says what it is given; return that."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / program).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / program).chmod(0o755)
    given = os.environ | variables | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(script, env=given, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_time_on_many_accelerators_is_what_the_script_reckons():
    done = subprocess.run(
        [sys.executable, SCALE.parents[1] / "scripts" / "scaling.py"], capture_output=True, text=True, check=True
    )
    assert f"<!-- scaling -->\n{done.stdout}<!-- end -->" in SCALE.read_text(encoding="utf-8")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("| full (28M), 16 a device | 8 |")]
    computing, summing, _, _, _ = (float(number) for number in re.findall("[0-9.]+", line)[-5:])
    # 28M gradients of 4 bytes, 7 / 8 of them sent twice at 300 GB/s, and 14 hops
    assert computing == 36 and summing == pytest.approx(
        1e3 * (2 * 7 / 8 * 4 * 28_244_356 / 300e9 + 14 * 5e-6), abs=0.06
    )


def blocks(language):
    return re.findall(f"```{language}\n(.*?)```", SCALE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def flags_of_train():
    told = subprocess.run(
        [sys.executable, "-m", "gst_jax.train", "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^  (--\w+)", told.stdout, re.MULTILINE))


@pytest.mark.skipif(os.name != "posix", reason="shell scripts")
def test_the_job_for_slurm_starts_a_training(tmp_path, flags_of_train):
    (script,) = (block for block in blocks("bash") if block.startswith("#!"))
    program, verb, *given = ran("srun", ["bash", "-c", script], {}, tmp_path)
    assert (program, verb) == ("gst_jax", "train")
    assert {option.partition("=")[0] for option in given} <= flags_of_train
    (batch,) = re.findall("batch_size=([0-9]+)", script)
    nodes, tasks, cards = (
        int(re.search(f"--{name}=(?:gpu:)?([0-9]+)", script)[1]) for name in ("nodes", "ntasks-per-node", "gres")
    )
    assert tasks == cards and int(batch) % (nodes * tasks) == 0


@pytest.mark.skipif(os.name != "posix", reason="shell scripts")
def test_the_job_for_kubernetes_fits_together(tmp_path, flags_of_train):
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all(blocks("yaml")[0])
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    verb, *given = ran(
        "gst_jax", [*container["command"], *container["args"]], {"JOB_COMPLETION_INDEX": "3"}, tmp_path
    )
    options = dict(option.split("=", 1) for option in given)
    assert verb == "train" and set(options) <= flags_of_train
    name, subdomain = job["metadata"]["name"], pod["subdomain"]
    assert job["spec"]["completionMode"] == "Indexed" and service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == subdomain and service["spec"]["selector"] == {"job-name": name}
    assert options["--coordinator"].startswith(f"{name}-0.{subdomain}:") and options["--process_id"] == "3"
    assert int(options["--processes"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    mounted = container["volumeMounts"][0]["mountPath"]
    folders = [options["--run_dir"], options["--audio_dir"], container["env"][0]["value"]]
    assert all(folder.startswith(f"{mounted}/") for folder in folders)
