"""Train, resume, convert with and export the model of 28M, and say what each costs; `big_corpus.py` calls it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import trials

from gst_jax.runs.directory import RunDirectory

_STEPS = 4  # micro-batches of an epoch of the music that it is given
_TRAIN = """
import dataclasses, json, sys
from gst_jax.runs import startup
startup.prepare()
from gst_jax import config
from gst_jax.learning import loop
music, run_dir, epochs = sys.argv[1:]
settings = config.load("full", [f"training.epochs={epochs}", "training.log_every=1"])
print(json.dumps(dataclasses.asdict(loop.train(("a", "b"), settings, run_dir, audio_dirs=[music]))))
"""


def measure(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows and figures for the page of reliability.

    Args:
        folder: its `music` holds genres a and b, of which two files of eight seconds train.
    """
    from gst_jax.learning import checkpoint

    settings = os.environ | {"GST_JAX_CACHE": str(folder / "cache")}

    def run(*call: str) -> tuple[str, float]:
        start = time.monotonic()
        done = subprocess.run([sys.executable, *call], env=settings, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout, time.monotonic() - start

    music, stopped, whole = str(folder / "music"), str(folder / "stopped"), str(folder / "whole")
    first, second, at_once = (
        json.loads(run("-c", _TRAIN, music, *arguments)[0].splitlines()[-1])
        for arguments in ((stopped, "1"), (stopped, "2"), (whole, "2"))
    )
    one, other = (checkpoint.load_parameters(RunDirectory.open(place)) for place in (stopped, whole))
    same = _equal(one, other) and (first["steps"], second["steps"], at_once["steps"]) == (
        _STEPS,
        2 * _STEPS,
        2 * _STEPS,
    )
    song = str(next(Path(music, "a").iterdir()))
    _, converting = run("-m", "gst_jax", "convert", song, "--to=b", f"--run={whole}", f"--out={folder / 'out'}")
    told, _ = run("-m", "gst_jax", "export", "--to=b", f"--run={whole}", f"--out={folder / 'full.onnx'}")
    size = (folder / "full.onnx").stat().st_size / 1e6
    rows = [
        {"what": "full.toml (28M), stopped and resumed, ends as at once, to the bit", "held": int(same), "note": ""},
        {"what": "full.toml converts", "held": len(list((folder / "out").iterdir())), "note": ""},
        {
            "what": "full.toml is exported to ONNX",
            "held": int("as gst_jax does" in told),
            "note": told.splitlines()[-1],
        },
    ]
    log = [json.loads(line) for line in Path(whole, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = np.diff([entry["seconds"] for entry in log])
    figures = [
        ("full.toml: a micro-batch of two", float(np.median(steps)), "s"),
        ("full.toml: compilation, the first time", first["compile_seconds"], "s"),
        ("full.toml: compilation, from the cache", second["compile_seconds"], "s"),
        ("full.toml: peak memory when compiling", first["peak_memory_mb"], "MB"),
        ("full.toml: peak memory of training, compiled before", second["peak_memory_mb"], "MB"),
        ("full.toml: the checkpoints of a run, three at most", _size(Path(whole, "checkpoints")), "MB"),
        ("full.toml: converting eight seconds, with start and compilation", converting, "s"),
        ("full.toml: size of the exported model", size, "MB"),
    ]
    return (
        [{"tried": 1} | row for row in rows],
        list(itertools.starmap(trials.figure, figures)),
    )


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two trees hold the same bits."""
    import jax

    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
