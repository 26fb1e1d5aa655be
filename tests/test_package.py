"""What is installed works where it is installed: it holds its models and settings, and needs no repository."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gst_jax
from gst_jax import sound

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version_everywhere():
    assert PROJECT["version"] == gst_jax.__version__
    assert f"version: {gst_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {gst_jax.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_lock_names_versions_alone_and_one_for_each_that_we_need():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    locked = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    extras = PROJECT["optional-dependencies"]
    needed = [
        *PROJECT["dependencies"],
        *(need for name, needs in extras.items() if name != "bench" for need in needs),
    ]
    needed = [need for need in needed if not need.startswith("gst_jax[")]  # an extra that is all of others
    assert {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", need)[0]).lower() for need in needed} <= locked


def test_the_gate_installs_what_the_lock_says():
    assert 'PIP_CONSTRAINT="$PWD/constraints.txt"' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["folk_jazz", "folk_rock"])
def test_bundled_runs_are_in_the_repository(name):
    files = {path.name for path in gst_jax.bundled("pretrained")[name].iterdir()}
    assert files == {"config.json", "evaluation_test.json", "fine_structure.npz", "generators.npz"}


def test_the_first_page_is_short_and_says_the_commands_of_the_gate():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(page.split()) <= 600
    for name in ("main", "test"):
        (block,) = re.findall(rf"<!-- {name} -->\n```bash\n(.+)\n```\n<!-- end -->", page)
        assert block.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -e ")
    assert page.index("gst_jax convert song.mp3 --to=jazz") < page.index("results/examples/index.html") < 1500


@pytest.mark.slow
def test_a_wheel_in_an_empty_folder_converts_by_name(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "installed")
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "gst_jax/pretrained/README.md" in names  # the licence of the models
    assert {f"gst_jax/web/studio.{suffix}" for suffix in ("html", "css", "js")} <= set(names)
    (tmp_path / "empty").mkdir()
    song = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    sound.write_wave(tmp_path / "empty" / "song.wav", song, 16_000)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    code = "from gst_jax import config; config.load('smoke')"
    for command in (["-c", code], ["-m", "gst_jax", "convert", "song.wav", "--to=rock"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path / "empty", env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "converted" / "song.rock.wav").exists()
