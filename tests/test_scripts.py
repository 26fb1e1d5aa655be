"""Each script says how it is run; the one that trains several seeds goes on where it was stopped."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import step_parts

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "scripts").glob("*.py"))
SCRIPTS = [path for path in FILES if '__name__ == "__main__"' in path.read_text()]
PAGES = [page for folder in ("", "docs", "results") for page in sorted((ROOT / folder).glob("*.md"))]


@pytest.fixture(scope="module")
def help_of() -> dict[str, str]:
    """Return what each script prints for --help; all start at once."""
    started = {
        path.name: subprocess.Popen(
            [sys.executable, path, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for path in SCRIPTS
    }
    said = {}
    for name, process in started.items():
        said[name], errors = process.communicate()
        assert not errors, f"{name}: {errors}"
    return said


def command_lines(text: str) -> list[str]:
    """Return the command lines in a text that run a script, without comments."""
    joined = text.replace("\\\n", " ")
    return re.findall(r"python (scripts/[^#\n]+)", joined)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_first_how_it_is_run_and_help_repeats_it(path, help_of):
    first = path.read_text().split('"""')[1]
    commands = command_lines(first)
    assert commands and all(command.startswith(f"scripts/{path.name}") for command in commands)
    assert commands[0].split()[0] in help_of[path.name]


@pytest.mark.parametrize("path", [*SCRIPTS, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_that_are_told_use_flags_that_there_are(path, help_of):
    text = path.read_text().split('"""')[1] if path in SCRIPTS else path.read_text()
    for command in command_lines(text):
        name, *arguments = shlex.split(command.split("`")[0])
        flags = [argument for argument in arguments if argument.startswith("--")]
        assert len(flags) == len(arguments) or path in SCRIPTS, f"{command}: more than flags"
        for flag in flags:
            assert f"{flag.partition('=')[0]}: " in help_of[Path(name).name], command


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_scripts_stay_short_and_read_flags_as_the_package_does(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    assert "argparse" not in text


def test_a_script_refuses_what_is_no_flag():
    result = subprocess.run([sys.executable, ROOT / "scripts" / "tables.py", "now"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "unexpected argument 'now'" in result.stdout + result.stderr


DRIVER = """
import pathlib, sys
sys.path.insert(0, {scripts!r})
import seeds

def train(pair, settings, run_dir):
    if settings[-1] == "training.seed=" + sys.argv[1]:
        sys.exit("stopped")
    print("train", pair, *settings, run_dir)

seeds.train, seeds.measure = train, lambda run_dir: dict(run=run_dir.name)
seeds.complete(pathlib.Path("found.json"), "folk_rock", "pretrained")
"""


def test_seeds_go_on_where_they_were_stopped_and_leave_other_recipes_alone(tmp_path):
    out = tmp_path / "found.json"
    other = {"settings": [], "runs": [{"seed": 1, "run": "an old one"}]}
    out.write_text(json.dumps({"pair": "folk_rock", "recipes": {"default": other}}))

    def call(stop: str) -> str:
        driver = DRIVER.format(scripts=str(ROOT / "scripts"))
        done = subprocess.run([sys.executable, "-c", driver, stop], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == (0 if stop == "never" else 1), done.stderr
        return done.stdout

    trained = call("1").splitlines()
    more = " ".join(json.loads(out.read_text())["recipes"]["pretrained"]["settings"]) if trained else ""
    assert "training.epochs=" in more
    assert trained == [f"train folk_rock {more} training.seed=0 runs/folk_rock_pretrained_seed0"]
    trained = call("never").splitlines()
    assert trained == [
        f"train folk_rock {more} training.seed={seed} runs/folk_rock_pretrained_seed{seed}" for seed in (1, 2)
    ]
    assert call("never") == ""
    recipes = json.loads(out.read_text())["recipes"]
    assert recipes["default"] == other
    assert recipes["pretrained"]["settings"] == more.split()
    assert recipes["pretrained"]["runs"] == [
        {"seed": seed, "run": f"folk_rock_pretrained_seed{seed}"} for seed in range(3)
    ]


def test_each_operation_of_a_program_is_counted_where_it_comes_from():
    program = """HloModule jit_train_step

%fused (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  ROOT %product = f32[2]{0} dot(%x, %x), metadata={op_name="jit(train_step)/jvp(Net)/jit(conv1d)/dot_general"}
}

ENTRY %main (a: f32[2]) -> (f32[2]) {
  %a = f32[2]{0} parameter(0), metadata={op_name="a"}
  %padded = f32[4]{0} pad(%a, %a), metadata={op_name="jit(train_step)/jvp(Net)/jit(conv1d)/pad"}
  %fusion.1 = f32[2]{0} fusion(%padded), calls=%fused, metadata={op_name="jit(train_step)/jvp(Net)/jit(conv1d)/dot"}
  %norm = (f32[2]{0}, f32[2]{0}) divide(%a, %a), metadata={op_name="jit(train_step)/transpose(jvp(Net))/div"}
  ROOT %new = (f32[2]{0}) tuple(%a)
}
"""
    assert step_parts.kinds_of(program) == {
        "a": step_parts.UPDATE,
        "padded": step_parts.SHIFTS,
        "fusion.1": step_parts.PRODUCTS,
        "norm": step_parts.REST,
        "new": step_parts.UPDATE,
    }
