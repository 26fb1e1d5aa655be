"""What the trials of reliability share: a tiny training, whether files are whole, the JSON that they write."""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gst_jax import sound
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

Result = TypeVar("Result")

Trial = tuple[str, bool, str]  # what was tried, whether it held, what went wrong

RATE = 16_000
LENGTH = ("training.epochs=12", "training.checkpoint_every=3", "training.measure_every=8")  # 24 batches
# What is started hears Ctrl-C, also where these trials run in a shell's background.
_HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


def row(what: str, held: Sequence[bool], note: str = "") -> dict[str, Any]:
    """Return a line of a table of trials."""
    return {"what": what, "tried": len(held), "held": sum(held), "note": note}


def figure(what: str, value: float, unit: str) -> dict[str, Any]:
    """Return a figure of a table, to three digits."""
    return {"what": what, "value": float(f"{value:.3g}"), "unit": unit}


def rows(found: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return a row for each kind of trial."""
    names = dict.fromkeys(what for what, _, _ in found)
    return [row(name, [held for what, held, _ in found if what == name]) for name in names]


def write(path: str, part: str, rows: Iterable[dict[str, Any]], figures: Iterable[dict[str, Any]] = ()) -> None:
    """Write rows of one part of the trials into a JSON file, which keeps those of its other parts.

    Args:
        path: of the file.
        part: of the trials.
        rows: from `row`.
        figures: from `figure`.
    """
    old = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).exists() else {}
    made = provenance.collect()
    kept = {kind: [one for one in old.get(kind, []) if one["part"] != part] for kind in ("rows", "figures")}
    found = {
        "provenance": made,
        "parts": old.get("parts", {}) | {part: made},
        "rows": kept["rows"] + [{"part": part} | one for one in rows],
        "figures": kept["figures"] + [{"part": part} | one for one in figures],
    }
    write_text(path, json.dumps(found, indent=1) + "\n")


def make_music(folder: Path, seconds: float = 4.3, tracks: int = 3) -> Path:
    """Write two toy genres, `harp` and `organ`, of a few tracks each."""
    rng = np.random.default_rng(1)
    time = np.arange(int(seconds * RATE)) / RATE
    for genre, decay in (("harp", 8.0), ("organ", 0.0)):
        (folder / genre).mkdir(parents=True, exist_ok=True)
        for number in range(tracks):
            pitch = 220.0 * 2.0 ** (rng.choice([0, 2, 4, 7, 9, 12], len(time))[(time * 4).astype(int)] / 12)
            partials = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
            wave = 0.2 * np.exp(-decay * (time % 0.25)) * partials + 1e-3 * rng.standard_normal(len(time))
            sound.write_wave(folder / genre / f"tune {number}.wav", wave.astype(np.float32), RATE)
    return folder


def training(music: Path, run_dir: Path, *more: str) -> list[str]:
    """Return the arguments of a training that ends within half a minute."""
    options = ["--pair=harp_organ", "--config=smoke", f"--audio_dir={music}", f"--run_dir={run_dir}"]
    return ["train", *options, *(f"--set={text}" for text in LENGTH), *more]


def start(arguments: Sequence[str], log: Path, cache: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command; what it prints goes to a file."""
    hearing = [sys.executable, "-c", _HEARING] if os.name == "posix" else []
    with log.open("wb") as file:
        return subprocess.Popen(
            [*hearing, sys.executable, "-m", "gst_jax", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"GST_JAX_CACHE": str(cache)} | environment,
        )


class Forked:
    """A command in a process of its own that has its packages loaded, which saves most of its start; as `Popen`."""

    def __init__(self, arguments: Sequence[str], log: Path, cache: Path) -> None:
        """Start it; compiled programs are kept where this process keeps its own."""
        self._process = multiprocessing.get_context("fork").Process(target=_be, args=(arguments, log, cache))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return its status once it has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._process.pid or 0, number)

    def wait(self, seconds: float) -> int:
        """Return its status when it has ended, which must come."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, "it hangs"
        return self._process.exitcode


def load(compiled: Path) -> None:
    """Load what `Forked` needs, none of which may start JAX."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
    os.environ["GLIBC_TUNABLES"] = ""  # or the command would start anew
    for name in ("learning.loop", "evaluation.held_out", "presentation.live", "presentation.report"):
        importlib.import_module(f"gst_jax.{name}")
    for name in ("librosa.feature", "librosa.core", "matplotlib.figure", "orbax.checkpoint", "numba", "scipy.signal"):
        importlib.import_module(name)


def _be(arguments: Sequence[str], log: Path, cache: Path) -> None:
    """Be a command."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["GST_JAX_CACHE"] = str(cache)
    sys.argv = list(arguments)
    runpy.run_module(f"gst_jax.{arguments[0]}", run_name="__main__", alter_sys=True)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that starts JAX in a process of its own: none of those that are started later could."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def run(arguments: Sequence[str], log: Path, cache: Path, **environment: str) -> tuple[int, str]:
    """Run a command to its end; return its status and what it printed."""
    status = start(arguments, log, cache, **environment).wait(600)
    return status, log.read_text(encoding="utf-8", errors="replace")


def digests_of_run(run_dir: Path) -> dict[str, str]:
    """Return digests of what a run has learned: its last state, its best generators, its samples, what was logged."""
    import jax

    from gst_jax.learning import checkpoint, cyclegan
    from gst_jax.runs.directory import RunDirectory

    opened = RunDirectory.open(run_dir)
    with checkpoint.open_checkpoints(opened) as checkpoints:
        state = checkpoint.restore(checkpoints, cyclegan.abstract_state(opened.config))
    leaves = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(state)]
    with np.load(opened.best) as stored:
        best = [(name, stored[name].copy()) for name in sorted(stored)]
    steps = [json.loads(line)["step"] for line in opened.log.read_text().splitlines()]
    measured = [json.loads(line) for line in opened.measures.read_text().splitlines()]
    return {
        "state": digest(name.encode() + np.asarray(leaf).tobytes() for name, leaf in leaves),
        "best": digest(name.encode() + array.tobytes() for name, array in best),
        "samples": digest(path.read_bytes() for path in sorted(opened.samples.glob("*.wav"))),
        "log": json.dumps(steps),
        "measures": json.dumps([[one[name] for name in ("step", "score", "style", "notes")] for one in measured]),
    }


def digest(parts: Iterable[bytes]) -> str:
    """Return 16 hexadecimal digits that tell contents apart."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def digest_of_files(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest([_content(path)]) for path in paths}


def digests_of_mels(cache: Path) -> list[str]:
    """Return a digest of the frames of each genre in a cache, in whichever shards they lie."""
    from gst_jax.data import shards

    made = []
    for place in (cache / "mels").iterdir():
        found = shards.read_shards(place)
        parts = []
        for key in sorted(found):
            held = np.load(found[key].shard.with_suffix(".npy"), mmap_mode="r")
            parts += [held[copy.start : copy.start + copy.frames].tobytes() for copy in found[key].copies]
        made.append(digest(parts))
    return sorted(made)


def _content(path: Path) -> bytes:
    """Return what must be the same each time: of an Ogg, whose streams have random numbers, the sound."""
    return sound.read_wave(path).samples.tobytes() if path.suffix in (".ogg", ".opus") else path.read_bytes()


def leftovers(*folders: Path) -> list[Path]:
    """Return what lies below folders under a temporary name, ours or Orbax's."""
    marks = (".gst_jax-", ".orbax-checkpoint-tmp", ".tmp")
    return [path for folder in folders for path in folder.rglob("*") if any(mark in path.name for mark in marks)]


def half_written(*folders: Path) -> list[Path]:
    """Return the files below folders that lie under their final names and are not whole."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not any(path in found.parents or path == found for found in leftovers(folder))
        if not _is_whole(path)
    ]


def _is_whole(path: Path) -> bool:
    """Tell whether a file of a known kind can be read to its end."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".jsonl":  # a kill may cut its last line off, which the next run forgets
            for line in path.read_text(encoding="utf-8").splitlines()[:-1]:
                json.loads(line)
        elif path.suffix in (".npz", ".npy"):
            with path.open("rb") as file:
                np.load(file)
        elif path.suffix in sound.SUFFIXES:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # as of a file that is cut off
                for _ in sound.read_blocks(path):
                    pass
        elif path.suffix == ".html":
            return path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        elif path.suffix == ".png":
            return path.read_bytes().endswith(b"IEND\xaeB`\x82")
        elif path.suffix == ".onnx":
            import onnx

            onnx.checker.check_model(onnx.load(path))
    except (ValueError, EOFError, OSError, Warning):
        return False
    return True
