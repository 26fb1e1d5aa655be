import importlib.metadata
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gst_jax
from gst_jax.config import Config, ConfigError
from gst_jax.runs import provenance, seals, startup
from gst_jax.runs.arrays import read_arrays
from gst_jax.runs.atomic import replacing, sweep, write_text
from gst_jax.runs.directory import RunDirectory, cache_dir


@pytest.mark.parametrize("name", ["song.wav", "ক" * 83, "x" * 255])
def test_a_file_appears_whole_whatever_its_name(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("new")
        assert not (tmp_path / name).exists()
    assert (tmp_path / name).read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("make", [lambda path: path.write_text("half"), lambda path: (path.mkdir(), path / "x")])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, make):
    write_text(tmp_path / "config.json", "old")
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "config.json") as temporary:
        make(temporary)
        raise ValueError("stop")
    assert (tmp_path / "config.json").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def copy_of_the_package(folder):
    shutil.copytree(Path(gst_jax.__file__).parent, folder / "gst_jax", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "gst_jax"


def commit_of(folder):
    code = "from gst_jax.runs import provenance; print(provenance.collect()['commit'])"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_package_and_of_no_repository_around_it(tmp_path):
    package = copy_of_the_package(tmp_path)
    git(tmp_path, "init")
    (tmp_path / "theirs.txt").touch()
    git(tmp_path, "add", "theirs.txt")
    git(tmp_path, "commit", "-m", "theirs")
    assert commit_of(tmp_path) == "not a git checkout"
    git(tmp_path, "add", "gst_jax")
    git(tmp_path, "commit", "-m", "ours")
    assert len(commit_of(tmp_path)) == 12
    (package / "types.py").write_text("# changed\n" + (package / "types.py").read_text())
    assert commit_of(tmp_path).endswith(" with changes")


def test_a_source_tree_that_is_not_installed_has_a_provenance_too(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    versions = provenance.collect()["versions"]
    assert versions["jax"] == "not installed" and versions["gst_jax"] == gst_jax.__version__


def test_a_command_is_kept_without_the_folders_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["/opt/tool/x.py", "--run=/home/a/runs/b", f"--out={tmp_path}/out/c.json", "/music/d.mp3", "--e=2"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    stamped = provenance.collect()
    assert stamped["command"] == "python x.py --run=b --out=out/c.json d.mp3 --e=2"
    assert str(tmp_path) not in json.dumps(stamped) and "/home" not in json.dumps(stamped)


@pytest.mark.parametrize(
    ("environment", "plugins", "on_cpu"),
    [
        ({"JAX_PLATFORMS": "cpu"}, ["cuda"], True),
        ({"JAX_PLATFORMS": "cuda"}, [], False),
        ({}, ["cuda"], False),
        ({}, [], True),
    ],
)
def test_allocator_settings_are_for_the_cpu_alone(monkeypatch, environment, plugins, on_cpu):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: plugins)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    restarted = []
    monkeypatch.setattr(os, "execv", lambda *rest: restarted.append(os.environ["GLIBC_TUNABLES"]))
    startup.prepare()
    assert bool(restarted) is on_cpu


ROOM = "make room, then give the same command again; what is written already is kept"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("no such genre"), "gst_jax: no such genre", ""),
        (OSError(28, "No space left on device", "/x"), f"gst_jax: /x: the disk is full; {ROOM}", ""),
        (KeyboardInterrupt(), 130, "gst_jax: interrupted"),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, status, line):
    with pytest.raises(SystemExit) as exit, startup.plain_messages():
        raise error
    assert exit.value.code == status and capsys.readouterr().err.strip() == line


def test_a_fault_of_our_own_keeps_its_traceback():
    with pytest.raises(KeyError), startup.plain_messages():
        raise KeyError("x")


def test_warnings_are_one_line(capsys):
    with startup.plain_messages():
        warnings.simplefilter("always")
        warnings.warn("a checkpoint is damaged", stacklevel=1)
    assert capsys.readouterr().err == "gst_jax: a checkpoint is damaged\n"


def test_the_cache_is_where_the_user_says_or_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("GST_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert cache_dir() == tmp_path / "cache" / "gst_jax"


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc"])
def test_without_a_home_folder_the_cache_is_among_the_temporary_files(monkeypatch, tmp_path, home):
    for name in ("GST_JAX_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is None:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # of a user that the system does not know
    else:
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(("/proc", "/nonexistent", "/")))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_dir() == tmp_path / f"gst_jax-{os.getuid()}"


def test_a_platform_that_jax_cannot_use_is_one_line(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(SystemExit, match="JAX cannot use JAX_PLATFORMS=cuda; install JAX for it"):
        with startup.plain_messages():
            raise RuntimeError("Unable to initialize backend 'cuda': no such platform")
    with pytest.raises(RuntimeError, match="another"), startup.plain_messages():
        raise RuntimeError("another fault")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_name_that_the_terminal_cannot_show_is_escaped(encoding):
    code = (
        "from gst_jax.runs import startup\n"
        "with startup.plain_messages(): print(chr(0x997) + ' caf' + chr(0xdce9) + '.wav')"
    )
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout.strip() == rb"\u0997 caf\udce9.wav"


def test_a_reader_that_leaves_is_no_error():
    code = (
        "from gst_jax.runs import startup\n"
        "with startup.plain_messages():\n    for number in range(100_000): print('a line', number, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    with process:
        assert process.stderr.read() == b"" and process.wait() == 141


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_removes_what_it_was_writing(tmp_path, hearing, number):
    code = (
        "import sys, time; from gst_jax.runs import startup; from gst_jax.runs.atomic import replacing\n"
        f"with startup.plain_messages(), replacing({str(tmp_path / 'x')!r}) as path:\n"
        "    path.write_text('half'); print('ready', flush=True); time.sleep(60)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*hearing, sys.executable, "-c", code], **pipes) as process:
        process.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait() == 128 + number and not list(tmp_path.iterdir())
        assert b"Traceback" not in process.stderr.read()


def test_what_a_live_process_or_another_machine_writes_is_not_swept(tmp_path, monkeypatch):
    with replacing(tmp_path / "x") as mine:
        mine.touch()
        theirs = mine.with_name(mine.name.replace(mine.name.split("-")[1], "0123abcd").replace(str(os.getpid()), "1"))
        theirs.touch()
        sweep(tmp_path)
        assert mine.exists() and theirs.exists()
        mine.replace(mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-99999999-")))
        sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [theirs.name]
        mine.touch()


def test_numba_gets_a_folder_where_it_cannot_write_beside_its_code(monkeypatch, tmp_path):
    from gst_jax.sound import analysis

    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    analysis._let_numba_cache()
    assert os.environ.pop("NUMBA_CACHE_DIR") == str(tmp_path / "numba")


def test_every_file_of_a_run_lies_in_it_under_a_name_of_its_own(tmp_path):
    run = RunDirectory(path=tmp_path, pair=("a", "b"), config=Config(), statistics={})
    paths = [run.checkpoints, run.damaged, run.generators, run.log, run.summary, run.lock, run.report, run.samples]
    paths += [run.pictures, run.evaluation("test"), run.evaluation("validation")]
    assert len(set(paths)) == len(paths)
    assert all(path.resolve().parent == tmp_path.resolve() for path in paths)
    assert run.checkpoints.is_absolute()  # as Orbax wants it


def test_a_run_is_exported_when_it_holds_generators_alone(tmp_path):
    run = RunDirectory(path=tmp_path, pair=("a", "b"), config=Config(), statistics={})
    assert not run.is_exported
    run.generators.touch()
    assert run.is_exported
    run.checkpoints.mkdir()
    assert not run.is_exported


def test_a_run_of_an_older_version_says_so(tmp_path):
    run = RunDirectory(path=tmp_path, pair=("a", "b"), config=Config(), statistics={})
    with pytest.raises(ConfigError, match="holds no fine_structure.npz: it is of an older version.*train it again"):
        run.read_fine_structures()


def test_peak_memory_is_that_of_this_process():
    before = provenance.peak_memory_mb()
    block = np.ones(30_000_000)  # 240 MB
    assert block.sum() == 30_000_000
    assert before + 150 < provenance.peak_memory_mb() < before + 600 or before > 400


def npy(header, content=b""):
    """Return an array file with any header."""
    text = repr(header).encode("latin1")
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


class Bomb:
    def __reduce__(self):
        return os.abort, ()


FLOATS = {"descr": "<f4", "fortran_order": False, "shape": (2,)}
HOSTILE = {
    "no archive": b"hello",
    "a pickle alone": pickle.dumps({"a": 1}),
    "no array": {"ab/kernel.npy": b"hello"},
    "a header of a terabyte": {"ab/kernel.npy": npy(FLOATS | {"shape": (10**11, 3)})},
    "a shape below zero": {"ab/kernel.npy": npy(FLOATS | {"shape": (-2, -3)})},
    "a bomb": {"ab/kernel.npy": npy(FLOATS | {"shape": (2 * 10**6,)}, bytes(8 * 10**6))},
    "less than the header says": {"ab/kernel.npy": npy(FLOATS, bytes(7))},
    "objects, which are pickles": {"ab/kernel.npy": npy(FLOATS | {"descr": "|O"}, pickle.dumps([Bomb()]))},
    "code for a header": {"ab/kernel.npy": npy(FLOATS)[:10] + b"__import__('os').abort()"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_model_file_is_refused_and_nothing_in_it_runs(tmp_path, kind):
    path = tmp_path / "best.npz"
    if isinstance(HOSTILE[kind], bytes):
        path.write_bytes(HOSTILE[kind])
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in HOSTILE[kind].items():
                archive.writestr(name, content)
    tracemalloc.start()
    with pytest.raises(ConfigError, match="is damaged or no part of a model"):
        read_arrays(path, "ab")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_names_in_an_archive_are_no_paths(tmp_path):
    """Nothing is unpacked, so one that points elsewhere is a name like any other."""
    path = tmp_path / "best.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ab/../../outside.npy", npy(FLOATS, bytes(8)))
    assert list(read_arrays(path, "ab")) == ["ab/../../outside"]
    assert sorted(tmp_path.parent.rglob("outside*")) == []


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_written(tmp_path, rng, save):
    arrays = {"ab/a": rng.random((3, 4), np.float32), "ab/b": np.asfortranarray(rng.random((2, 3)))}
    arrays["ba/c"] = rng.random(0)
    save(tmp_path / "best.npz", **arrays)
    for beginning in ("", "ab"):
        found = read_arrays(tmp_path / "best.npz", beginning)
        assert sorted(found) == [name for name in arrays if name.startswith(beginning)]
        for name, array in found.items():
            np.testing.assert_array_equal(array, arrays[name])
            assert array.dtype == arrays[name].dtype


def test_a_hostile_config_is_refused_in_a_line(tmp_path):
    run = tmp_path / "run"
    shutil.copytree("pretrained/folk_rock", run)
    good = seals.unsealed((run / "config.json").read_text())
    texts = ["[1]", "[" * 100_000, '{"pair": 1}', "\0"]
    texts += [json.dumps(good | {key: 7}) for key in ("pair", "config", "statistics", "audio_dirs")]
    texts += [
        json.dumps(good | {"pair": pair}) for pair in (["../x", "y"], ["a", "b/c"], ["..", "b"], ["a", ""], [1, 2])
    ]
    for text in texts:
        (run / "config.json").write_text(text)
        with pytest.raises(ConfigError, match="is damaged or not of this program") as refused:
            RunDirectory.open(run)
        assert "\n" not in str(refused.value)
