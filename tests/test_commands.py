"""Run the commands as a user does, each in a process of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import gst_jax
from gst_jax import __main__, sound
from gst_jax.__main__ import VERBS
from gst_jax.learning import checkpoint, cyclegan
from gst_jax.runs.directory import RunDirectory

ROOT = Path(__file__).parent.parent
LENGTH = ["--set=training.epochs=8", "--set=training.checkpoint_every=3"]  # 16 batches of the toy genres


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GST_JAX_CACHE", str(tmp_path / "cache"))


def command(verb, *arguments):
    return [sys.executable, "-m", f"gst_jax.{verb}", *map(str, arguments)]


def run(verb, *arguments, folder=None):
    return subprocess.run(command(verb, *arguments), capture_output=True, text=True, cwd=folder, timeout=300)


def train_command(run_dir, audio_dir, *more):
    return (
        "train",
        "--pair=harp_organ",
        f"--config={ROOT / 'configs' / 'smoke.toml'}",
        f"--audio_dir={audio_dir}",
        f"--run_dir={run_dir}",
        *more,
    )


def final_state(run_dir):
    with checkpoint.open_checkpoints(RunDirectory.open(run_dir)) as checkpoints:
        return checkpoint.restore(checkpoints, cyclegan.abstract_state(RunDirectory.open(run_dir).config))


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_our_flags_in_order_and_fits_a_terminal(verb):
    module = [sys.executable, "-m", f"gst_jax.{verb}", "--help"]
    front = [sys.executable, "-m", "gst_jax", verb, "-h"]
    shown = [subprocess.run(line, capture_output=True, text=True) for line in (module, front)]
    assert [done.returncode for done in shown] == [0, 0] and shown[0].stdout == shown[1].stdout
    lines = shown[0].stdout.splitlines()
    assert all(len(line) <= 80 for line in lines) and f"gst_jax {verb}" in shown[0].stdout
    source = (ROOT / "gst_jax" / f"{verb}.py").read_text(encoding="utf-8")
    defined = re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', source)
    assert [line.split()[0] for line in lines if line.startswith("  --")] == [f"--{name}" for name in defined]


def test_control_c_while_a_command_is_imported_is_answered_in_one_line(monkeypatch, capfd):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__.runpy, "run_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["gst_jax", "export"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert (ended.value.code, *capfd.readouterr()) == (130, "", "gst_jax: interrupted\n")


def test_the_first_help_is_short_and_names_every_verb():
    shown = [front(*arguments) for arguments in ((), ("-h",), ("--help",))]
    assert len({done.stdout for done in shown}) == 1 and {done.returncode for done in shown} == {0}
    assert all(len(line) <= 80 for line in shown[0].stdout.splitlines())
    assert all(f"\n  {verb} " in shown[0].stdout for verb in VERBS)
    assert front("--version").stdout == f"gst_jax {gst_jax.__version__}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("''", list(VERBS)),
        ("ev", ["evaluate"]),
        ("convert --st", ["--strength", "--stems"]),
        ("convert --to=jazz --ba", ["--band"]),
        ("convert son", []),  # of which bash makes names of files
        ("nonsense --", []),
    ],
)
def test_a_shell_completes_commands_and_options(typed, offered, tmp_path):
    (tmp_path / "gst_jax").write_text(f'#!/bin/sh\nexec {sys.executable} -m gst_jax "$@"\n')
    (tmp_path / "gst_jax").chmod(0o755)
    script = f'''eval "$(gst_jax --completion)"; COMP_WORDS=(gst_jax {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        complete -p gst_jax > /dev/null; _gst_jax; echo "${{COMPREPLY[*]}}"'''
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert (done.stdout.split(), done.stderr) == (offered, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convrt"], "there is no command 'convrt'; did you mean convert?"),
        (["song.mp3"], f"there is no command 'song.mp3'; there are {', '.join(VERBS)}"),
        (["convert", "--strenth=1"], "there is no flag --strenth; did you mean --strength?"),
        (["convert", "--xyz"], "there is no flag --xyz; --help lists them"),
        (["convert", "song.mp3"], "--to is needed: Genre to convert to, one of the run's pair; see --help"),
        (
            ["convert", "song.mp3", "--to=folk"],
            "--to=folk needs one of the runs that convert to it: --run=folk_jazz or",
        ),
        (["convert", "song.mp3", "--to=samba"], "no bundled run (folk_jazz, folk_rock) converts to 'samba'"),
        (["convert", "song.mp3", "--to=jazz", "--strength", "0.3", "0.6"], "--strength=0.3,0.6"),
        (["evaluate", "--run=folk_jaz"], "or take a bundled one: folk_jazz, folk_rock"),
        (["train", "--config=smok"], "bundled: frames, full, pictures, smoke"),
    ],
)
def test_what_is_misspelt_is_answered_in_one_line(tmp_path, cache, arguments, message):
    (tmp_path / "song.mp3").touch()
    done = front(*arguments, folder=tmp_path)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("gst_jax: ") and message in done.stderr


def test_a_bundled_model_converts_from_anywhere_by_the_genre_alone(tmp_path):
    song = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000).astype(np.float32)
    sound.write_wave(tmp_path / "song.wav", song, 16_000)
    done = front("convert", "song.wav", "--to=jazz", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(Path("converted", "song.jazz.wav"))]
    assert "x real time" in done.stderr
    assert len(sound.read_wave(tmp_path / "converted" / "song.jazz.wav").samples) == len(song)


def front(*arguments, folder=None):
    return subprocess.run(
        [sys.executable, "-m", "gst_jax", *arguments], capture_output=True, text=True, cwd=folder, timeout=300
    )


def test_train_then_convert_a_new_pair_whatever_its_folders_are_called(tmp_path, audio_dir, cache):
    odd = tmp_path / "আমার গান 🎵"
    for genre, name in (("harp", "বাংলা"), ("organ", "rock 🎸")):
        (odd / name).mkdir(parents=True)
        for path in (audio_dir / genre).iterdir():
            (odd / name / f"গান {path.name}").write_bytes(path.read_bytes())
    run_dir = tmp_path / "রান"
    arguments = list(train_command(run_dir, odd))
    arguments[1] = "--pair=বাংলা_rock 🎸"
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "4 of 4 batches seen, 0 skipped, 1 updates" in result.stdout
    assert "segments/s" in result.stderr  # the live line
    assert (run_dir / "audio_samples" / "fake_rock 🎸_from_বাংলা.wav").exists()
    song = odd / "বাংলা" / "গান tune 0.wav"
    before = song.read_bytes()
    result = run("convert", f"--run={run_dir}", "--to=rock 🎸", song, f"--out={tmp_path / 'out'}")
    assert result.returncode == 0, result.stderr
    (converted,) = map(sound.read_wave, (tmp_path / "out").iterdir())
    assert converted.samples.shape == sound.read_wave(song).samples.shape
    assert song.read_bytes() == before


def test_kill_minus_nine_then_the_same_command_gives_the_same_bits(tmp_path, audio_dir, cache):
    whole = tmp_path / "whole"
    result = run(*train_command(whole, audio_dir, *LENGTH))
    assert result.returncode == 0, result.stderr
    broken = tmp_path / "broken"
    arguments = train_command(broken, audio_dir, *LENGTH)
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 200
        while not list((broken / "checkpoints").glob("[0-9]*/crc32.json")):  # the first one lies at step 3
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    assert int(max(broken.glob("checkpoints/[0-9]*"), key=lambda path: int(path.name)).name) < 16, "killed too late"
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    assert "16 of 16 batches seen, 0 skipped" in result.stdout
    for (path, x), y in zip(
        jax.tree.leaves_with_path(final_state(broken)), jax.tree.leaves(final_state(whole)), strict=True
    ):
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))
    steps = [json.loads(line)["step"] for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(2, 17, 2))


def test_control_c_saves_and_says_how_to_go_on(tmp_path, audio_dir, cache):
    arguments = train_command(tmp_path / "run", audio_dir, "--set=training.epochs=5000")
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 200
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 130, stderr
    assert "the same command goes on" in stdout
    lines = stderr.splitlines()
    assert lines[0].startswith("harp and organ: reading ") and any("compiling, " in line for line in lines)
    assert any(re.match(r"stopping: keeping what was learned in \d+ batches in ", line) for line in lines)
    assert "\r" not in stderr
    assert (tmp_path / "run" / "report.html").exists()
    assert int(final_state(tmp_path / "run").step) >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair=folk"], "two different genre names"),
        (["--pair=folk_samba"], "no genre 'samba'"),
        (["--pair=folk_rock", "--audio_dir=/nowhere"], "there is no folder /nowhere"),
        (["--set=training.epoch=3"], "unknown config key training.epoch"),
        (["--config=nowhere.toml"], "nowhere.toml"),
        (["--init_from=/nowhere"], "not a run directory"),
        (["--pair=all", "--run_dir=x"], "--run_dir holds one run"),
        (["stray"], "unexpected argument 'stray'"),
        (["--minutes=-1"], "minutes"),
    ],
)
def test_a_mistake_is_answered_in_one_line_and_nothing_is_written(tmp_path, cache, arguments, message):
    result = run("train", *arguments, folder=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_run_directory_is_named(tmp_path, audio_dir, cache):
    (tmp_path / "file").write_text("not a folder")
    result = run(*train_command(tmp_path / "file" / "run", audio_dir))
    assert result.returncode == 1
    assert str(tmp_path / "file") in result.stderr and "Traceback" not in result.stderr
