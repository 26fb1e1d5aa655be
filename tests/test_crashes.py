"""Nothing is lost where a command is killed, or the disk is full, read-only, without locks, or damages files."""

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from gst_jax import config
from gst_jax.config import ConfigError
from gst_jax.learning import loop, processes
from gst_jax.learning.best import Best
from gst_jax.runs import atomic, refusals, seals, startup
from gst_jax.runs.directory import RunDirectory, Statistics

ROOT = Path(__file__).parents[1]
PAIR = ("harp", "organ")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """A run directory without checkpoints."""
    level = Statistics(mean=(-40.0, -50.5), deviation=(10.25, 9.5), highest=(-3.0, -4.0))
    (tmp_path / "run").mkdir()
    made = RunDirectory(
        path=tmp_path / "run", pair=PAIR, config=config.load("smoke", []), statistics=dict.fromkeys(PAIR, level)
    )
    made.write()
    return made


class Killed(BaseException):
    """As a kill, nothing catches it."""


class Ear:
    """Measures each generator as better than the last; a kill may come while it does."""

    def __init__(self, killed_at=None):
        self.count, self.killed_at = 0, killed_at

    def __call__(self, generators):
        self.count += 1
        if self.count == self.killed_at:
            raise Killed
        return {"style": 0.1, "notes": 1.0, "score": 0.1}

    def equaliser(self):
        return {"style": 0.2, "notes": 0.9, "score": 0.3}


@pytest.mark.parametrize("killed_at", [2, 3, 5])
def test_a_run_killed_while_it_measures_has_measured_all_in_the_end(tmp_path, audio_dir, killed_at):
    """Also where a checkpoint falls on the same batch as the measurement, and on the last batch of all."""
    settings = config.load("smoke", ["training.epochs=4", "training.checkpoint_every=2", "training.measure_every=2"])
    for ear in (Ear(killed_at), Ear()):
        try:
            loop.train(
                PAIR, settings, tmp_path / "run", audio_dirs=[audio_dir], listen=lambda run, genres, ear=ear: ear
            )
        except Killed:
            continue
    entries, damaged = seals.read_lines(tmp_path / "run" / "measures.jsonl")
    assert [entry["step"] for entry in entries] == [-1, 0, 2, 4, 6, 8] and not damaged


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interruption_is_heard_where_python_drops_exceptions(hearing, number, status):
    """As in a callback of the garbage collector, which JAX has."""
    code = (
        "import gc, os, time\nfrom gst_jax.runs import startup\n"
        "def callback(phase, info):\n"
        f"    gc.callbacks.clear(); os.kill(os.getpid(), {number.value}); time.sleep(0.01)\n"
        "with startup.plain_messages():\n"
        "    gc.callbacks.append(callback); gc.collect()\n"
        "    time.sleep(300)\n"
    )
    done = subprocess.run([*hearing, sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interruption_waits_for_the_end_of_an_import(tmp_path, hearing, number, status):
    """JAX's own C++ dies of it where it loads; Python 3.11 makes another exception of it in a class."""
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "class Name:\n"
        "    def __set_name__(self, owner, name):\n"
        f"        os.kill(os.getpid(), {number.value}); time.sleep(0.3)\n"
        "class Owner:\n"
        "    name = Name()\n"
        "print('imported', flush=True)\n"
    )
    code = (
        "import time\nfrom gst_jax.runs import startup\n"
        "with startup.plain_messages():\n    import slow\n    time.sleep(300)"
    )
    done = subprocess.run(
        [*hearing, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (status, "imported\n"), done.stderr
    assert done.stderr.split() == (["gst_jax:", "interrupted"] if number == signal.SIGINT else [])


def test_what_a_process_of_the_same_number_left_is_swept(tmp_path):
    """In a container each command may be process 1; what this one is writing stays."""
    old = tmp_path / f".gst_jax-{atomic._machine()}-{os.getpid()}-0123abcd.tmp"
    old.write_text("half")
    with atomic.replacing(tmp_path / "new.json") as temporary:
        temporary.write_text("{}")
        atomic.sweep(tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["new.json"] and not old.exists()


def test_all_of_a_run_is_swept_before_it_trains(run):
    code = "import os, sys\nfrom gst_jax.runs.atomic import replacing\n"
    code += "kept = [replacing(folder + '/x') for folder in sys.argv[1:]]\n"
    code += "for context in kept:\n    context.__enter__().write_text('half')\nos._exit(1)"
    folders = [run.path, run.samples, run.pictures, run.checkpoints / "10"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", code, *map(str, folders)])
    assert len(list(run.path.rglob(".gst_jax-*"))) == 4
    with processes.holding(run):
        assert not list(run.path.rglob(".gst_jax-*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES])
def test_what_the_system_refuses_to_write_is_named_with_what_to_do(tmp_path, number, capsys):
    for filename in (None, "temporary"):
        with pytest.raises(SystemExit) as ended, startup.plain_messages():
            with atomic.replacing(tmp_path / "song.wav") as temporary:
                raise OSError(number, os.strerror(number), *([str(temporary)] if filename else []))
        message = str(ended.value)
        assert message.startswith(f"gst_jax: {tmp_path / 'song.wav'}: ") and "\n" not in message
        assert any(word in message for word in ("make room", "choose a folder", "choose another"))


def test_another_fault_keeps_its_own_words(tmp_path):
    error = OSError(errno.EIO, "Input/output error", "/elsewhere")
    with pytest.raises(OSError, match="elsewhere") as raised, atomic.replacing(tmp_path / "x"):
        raise error
    assert raised.value is error and refusals.told(error) == str(error)


def test_numpy_on_a_full_disk_is_a_full_disk(tmp_path):
    """It says only how much less than it wanted was written, as `tofile` does."""
    with pytest.raises(OSError) as raised, atomic.replacing(tmp_path / "x.npy"):
        raise OSError("12800 requested and 4096 written")
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(tmp_path / "x.npy")


def test_no_bit_of_the_settings_is_read_as_another(run):
    """Each is refused, or is one that says the same, as in the indentation or in what made the run."""
    file = run.path / "config.json"
    content, rng = file.read_bytes(), random.Random(0)
    for _ in range(400):
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        try:
            assert RunDirectory.open(run.path) == run
        except ConfigError as error:
            assert str(file) in str(error)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="config.json is damaged"):
        RunDirectory.open(run.path)


def test_settings_of_a_version_without_checksums_are_read(run):
    file = run.path / "config.json"
    tree = json.loads(file.read_text())
    del tree["crc32"]
    file.write_text(json.dumps(tree))
    assert RunDirectory.open(run.path) == run


def test_a_damaged_measurement_is_named_and_a_damaged_line_of_the_log_is_left_out(run):
    entries = [{"step": step, "score": 0.25 + step / 100, "seconds": 1.5} for step in (-1, 0, 20, 40)]
    for log in (run.measures, run.log):
        log.write_text("".join(map(seals.line, entries)))
    assert Best(run, None).best() == entries[3]
    for log in (run.measures, run.log):
        log.write_text(log.read_text().replace("0.45", "0.95"))
        assert seals.read_lines(log) == ([*entries[:2], entries[3]], [3])
    with pytest.raises(ConfigError, match=r"measures.jsonl is damaged in line 3; put a copy back, or remove"):
        Best(run, None)


def test_a_log_that_is_no_text_is_no_obstacle(run):
    good = seals.line({"step": 2})
    run.log.write_bytes(good.encode() + b"\xff\xfe\n[1]\nnull\n" + good.encode() + b'{"step": 4')
    assert seals.read_lines(run.log) == ([{"step": 2}] * 2, [2, 3, 4])


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"x\x9c1"])
def test_a_compiled_program_that_is_damaged_is_removed_and_others_stay(tmp_path, damage):
    whole = zlib.compress(bytes(range(256)) * 99)
    for name, content in {"a": whole, "b": damage(whole), "c": b"\x28\xb5\x2f\xfd another kind"}.items():
        (tmp_path / f"jit_{name}-cache").write_bytes(content)
    for _ in range(2):  # the second time with one that was written since
        startup._forget_damaged(tmp_path)
        assert sorted(path.name for path in tmp_path.glob("jit*")) == ["jit_a-cache", "jit_c-cache"]
        (tmp_path / "jit_d-cache").write_bytes(damage(whole))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_run_trains_on_a_disk_without_locks_and_says_so(run, monkeypatch, number):
    def refuse(*rest):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="has no locks: start no second training"), processes.holding(run):
        pass
