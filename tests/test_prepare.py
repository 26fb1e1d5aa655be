import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gst_jax import data, sound
from gst_jax import prepare as prepare_command
from gst_jax.config import Config

ROOT = Path(__file__).parent.parent


def prepare(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "gst_jax.prepare", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"GST_JAX_CACHE": str(tmp_path / "cache")},
    )


def test_prepare_reports_minutes_and_the_time_training_will_take(audio_dir, tmp_path):
    small = f"--config={ROOT / 'configs' / 'smoke.toml'}"
    done = prepare(tmp_path, f"--audio_dir={audio_dir}", "--pair=harp_organ", "--set=training.epochs=6", small)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["genre", "training", "tracks", "minutes", "held-out", "tracks", "unusable", "files"],
        ["harp", "2", "0.1", "1", "0"],
        ["organ", "2", "0.1", "1", "0"],
    ]
    # 2 tracks of 4.3 s are 4 segments, so 2 batches of 2
    assert re.fullmatch(
        r"training harp_organ will take \d+:\d\d on this machine, or less:\n  6 epochs of 2 batches, \d\S* s each",
        "\n".join(lines[3:]),
    )
    shown = done.stderr.splitlines()
    for name in ("looking at harp", "harp", "looking at organ", "organ", "timing"):  # each with the time it took
        assert any(re.fullmatch(rf"{name}: .*[a-z]s? in \d+:\d\d", line) for line in shown), name
    assert "compiling" in done.stderr
    assert "only 9 s of harp: too little to learn from" in done.stderr


def test_what_prepare_cannot_use_is_listed_below_the_table(audio_dir, tmp_path):
    shutil.copytree(audio_dir, tmp_path / "audio")
    sound.write_wave(tmp_path / "audio" / "harp" / "jingle.wav", np.zeros(8_000, np.float32), 16_000)
    genres = data.load_genres(
        [tmp_path / "audio"], ["harp", "organ"], Config().audio, Config().data, tmp_path / "cache"
    )
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        prepare_command._print_genres({"harp": genres[0], "a genre with a long name": genres[1]})
    header, *rows, last = shown.getvalue().splitlines()
    assert [row.split()[-4:] for row in rows] == [["2", "0.1", "1", "1"], ["2", "0.1", "1", "0"]]
    assert {len(row) for row in rows} == {len(header)}
    assert last.startswith("not used: ") and "jingle.wav: it is 0.50 s long" in last


def test_ctrl_c_while_prepare_starts_is_one_line(tmp_path):
    """Its libraries take a second or two to load."""
    interrupt = """
import sys
from absl import app
from gst_jax import prepare

class Interrupt:
    def find_spec(self, name, *_):
        if name == "gst_jax.data":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
app.run(lambda _: prepare.main())
"""
    done = subprocess.run([sys.executable, "-c", interrupt], capture_output=True, text=True)
    assert (done.returncode, done.stderr.split()) == (130, ["gst_jax:", "interrupted"])


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.5, 4.0])
def test_an_interruption_while_xla_compiles_ends_at_once(tmp_path, audio_dir, hearing, number, seconds):
    """It compiles in a thread, which ended the process by a fault when Python had taken itself down meanwhile."""
    cache = {"GST_JAX_CACHE": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    command = [*hearing, sys.executable, "-m", "gst_jax", "prepare", f"--audio_dir={audio_dir}", "--config=pictures"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=os.environ | cache, **told) as process:
        assert any("compiling, then" in line for line in process.stdout)
        time.sleep(seconds)
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:  # JAX's C++ drops one of a hundred: again, as whoever pressed it does
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said and "Fatal" not in said, said
    assert ("gst_jax: interrupted" in said) == (number == signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair=harp_blues"], "has no folder 'blues'; it holds harp, organ"),
        (["--pair=harp"], "must be two different genre names"),
        (["--pair=harp_organ", "--set=training.epoch=3"], "unknown config key training.epoch"),
        (["--pair=harp_organ", "--config=none.toml"], "cannot read the config none.toml"),
        (["--pair=harp_organ", "stray"], "unexpected argument 'stray'"),
    ],
)
def test_prepare_refuses_in_one_line_what_cannot_work(audio_dir, tmp_path, arguments, message):
    done = prepare(tmp_path, f"--audio_dir={audio_dir}", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"gst_jax: .*{re.escape(message)}.*\n", done.stderr)
