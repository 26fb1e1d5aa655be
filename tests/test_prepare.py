import os
import re
import subprocess
import sys

import pytest


def prepare(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "gst_jax.prepare", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"GST_JAX_CACHE": str(tmp_path / "cache")},
    )


def test_prepare_reports_minutes_and_the_time_training_will_take(audio_dir, tmp_path):
    small = [f"--set=model.{key}" for key in ("channels=4", "residual_blocks=1", "discriminator_channels=4")]
    done = prepare(tmp_path, f"--audio_dir={audio_dir}", "--pair=harp_organ", "--set=training.epochs=6", *small)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["genre", "training", "held", "out", "minutes", "skipped"],
        ["harp", "2", "1", "0.1", "0"],
        ["organ", "2", "1", "0.1", "0"],
    ]
    # 2 tracks of 4.3 s are 4 segments, so 2 batches of 2
    assert re.fullmatch(
        r"training harp_organ: about 0:\d\d:\d\d h for 6 epochs of 2 batches, \d+\.\d\d s each on this machine",
        lines[3],
    )


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
