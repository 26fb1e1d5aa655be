"""Keep the shape of the house: who may import whom, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gst_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
VERBS = {path.stem for path in PACKAGE.glob("*.py") if "app.run(main)" in path.read_text()}
NO_JAX = {"config", "audio", "corpus", "data", "metrics", "provenance"}
OWNERS = {"orbax": {"checkpoint"}, "optax": {"cyclegan"}, "soundfile": {"audio"}, "librosa": {"audio"}, "absl": VERBS}


def module_of(path):
    """Name the noun or verb that a file belongs to: the file, or the folder it lies in."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(path):
    """List what a file imports anywhere, as (top-level package, module of ours or None)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield parts[0], parts[1] if parts[0] == "gst_jax" and len(parts) > 1 else None


def test_there_are_verbs():
    assert {"prepare", "train", "convert", "evaluate"} <= VERBS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_plan(path):
    module = module_of(path)
    for package, ours in imports_of(path):
        assert ours not in VERBS, f"{module} imports the verb {ours}"
        if module in NO_JAX:
            assert package not in ("jax", "flax", "optax", "orbax"), f"{module} must know no JAX"
        if package in OWNERS:
            assert module in OWNERS[package], f"{package} belongs to {OWNERS[package]}, not {module}"
        if module == "config":
            assert package in sys.stdlib_module_names, "config imports the standard library alone"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= (100 if path.stem in VERBS and path.parent == PACKAGE else 350)


def test_no_torch_at_run_time():
    assert not any(package == "torch" for path in FILES for package, _ in imports_of(path))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_does_not_load_the_heavy_libraries(verb):
    heavy = ("jax", "librosa", "matplotlib", "orbax", "numba", "scipy")
    code = f"import sys, gst_jax.{verb}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
