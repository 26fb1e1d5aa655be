"""Keep the shape of the house: who may import whom, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gst_jax.__main__ import VERBS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gst_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = {path.stem for path in PACKAGE.glob("*.py") if ".run(main" in path.read_text(encoding="utf-8")}
FRONT = {"__init__", "__main__"}  # the doors for Python and for a terminal: they open rooms when asked
# A room imports only from rooms above it; JAX begins at learning.
ROOMS = "types config runs sound corpus band data learning conversion evaluation presentation speed web".split()
JAX = {"jax", "flax", "optax", "orbax"}


def imports_of(path):
    """List the modules that a file imports anywhere in it, by their full names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module):
    """Return the room of a module of ours, None for `gst_jax` itself and for other people's."""
    parts = module.split(".")
    return parts[1] if parts[0] == "gst_jax" and len(parts) > 1 and parts[1] in {*ROOMS, *COMMANDS} else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    above = ROOMS if room in COMMANDS | FRONT else ROOMS[: ROOMS.index(room)] if room in ROOMS else []
    for module in imports_of(path):
        assert room_of(module) in {None, room, *above}, f"{room} imports {module}, which does not stand above it"
        if room in ROOMS[: ROOMS.index("learning")]:
            assert module.split(".")[0] not in JAX, f"{room} imports {module}; JAX begins at learning"


def test_every_file_is_in_a_room():
    assert {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} == {*ROOMS, *COMMANDS, *FRONT}


def test_jax_begins_at_learning():
    """Whatever the rooms before it import, JAX is not there."""
    early = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if path.relative_to(PACKAGE).with_suffix("").parts[0] in ROOMS[: ROOMS.index("learning")]
    ]
    code = f"import sys, {', '.join(early)}; print([name for name in {sorted(JAX)} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_there_are_commands():
    assert {"prepare", "train", "convert", "evaluate"} <= COMMANDS == set(VERBS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= (100 if path.stem in COMMANDS and path.parent == PACKAGE else 350)


def test_no_torch_at_run_time():
    assert not any(name.split(".")[0] == "torch" for path in FILES for name in imports_of(path))


@pytest.mark.parametrize("command", ["__main__", *sorted(COMMANDS)])
def test_help_does_not_load_the_heavy_libraries(command):
    heavy = ("jax", "librosa", "matplotlib", "orbax", "numba", "scipy")
    code = f"import sys, gst_jax.{command}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_files_and_functions_are_short():
    long = []
    for path in [*FILES, *(ROOT / "scripts").glob("*.py"), *(ROOT / "tests").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 350 and path.parent.name != "tests":
            long.append(str(path))
        functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
        long += [f"{path}: {node.name}" for node in functions if node.end_lineno - node.lineno >= 60]
    assert not long


def test_the_rooms_are_few_and_so_are_the_arrows_between_them():
    """What a newcomer has to keep in mind: the picture of the package."""
    arrows = set()
    for path in FILES:
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        arrows |= {(room, room_of(module)) for module in imports_of(path)}
    arrows = {(room, other) for room, other in arrows if other not in {None, room} and room not in FRONT}
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES} - FRONT
    # `report` lets a band play where there is one; the page of `web` does what seven commands do.
    assert len(rooms) <= 21 and len(arrows) <= 85, (len(rooms), len(arrows))
