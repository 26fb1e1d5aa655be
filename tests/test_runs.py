import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import gst_jax
from gst_jax.runs import provenance, startup
from gst_jax.runs.atomic import replacing, write_text
from gst_jax.runs.directory import cache_dir


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


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("no such genre"), "gst_jax: no such genre", ""),
        (OSError(28, "No space left on device", "/x"), "gst_jax: [Errno 28] No space left on device: '/x'", ""),
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
