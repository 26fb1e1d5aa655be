"""Try what a big corpus asks for: many files prepared, stopped and gone on with; hours of music; the model of 28M.

    python scripts/big_corpus.py --out=results/reliability_scale.json
    python scripts/big_corpus.py --out=results/reliability_scale.json --parts=hours      only that part anew

Needs Linux, where a process tells how much memory it holds, and 4 GB of disk. An hour on two cores.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import full_cost
import numpy as np
import scaling
import soundfile
import tiled_corpus
import trials
from absl import flags
from trials import figure

from gst_jax import config, data
from gst_jax.data import folders, shards

_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)
_FILES = flags.DEFINE_integer("files", 10_000, "to prepare")
_HOURS = flags.DEFINE_list("hours", ["1", "10", "100", "1000"], "of music in a genre, to start training on")
_PARTS = flags.DEFINE_list("parts", ["workers", "prepare", "listing", "batches", "hours", "full"], "what to try")

Figure = dict[str, Any]
_SCRIPTS = Path(__file__).parent
_DECODE = """
import json, sys, time
from pathlib import Path
from gst_jax.runs import workers
count, folder, cache = int(sys.argv[1]), *sys.argv[2:]
workers.cores = lambda: count
from gst_jax import config, data
start = time.perf_counter()
data.load_genre(folder, config.AudioConfig(), config.DataConfig(), cache)
print(time.perf_counter() - start)
"""


def main() -> None:
    """Try each part; write its rows and figures in place of those of the last time."""
    parts: dict[str, Callable[[Path], tuple[list[Figure], list[Figure]]]] = {
        "workers": several_workers,
        "prepare": prepare_stopped,
        "listing": listing,
        "batches": batches,
        "hours": hours,
        "full": full,
    }
    for part in _PARTS.value:
        with tempfile.TemporaryDirectory() as folder:
            rows, figures = parts[part](Path(folder))
        trials.write(_OUT.value, part, rows, figures)
        print(json.dumps({part: rows + figures}, indent=1), flush=True)


def music(folder: Path, count: int, kinds: list[str], seconds: tuple[float, float], rate: int) -> None:
    """Write files of noise that comes and goes, of lengths between two."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    times = np.arange(int(seconds[1] * rate))
    noises = [
        0.1 * rng.standard_normal(len(times)) * np.abs(np.sin(times / (0.2 + 0.01 * n) / rate)) for n in range(8)
    ]
    for number in range(count):
        length = int(rng.uniform(*seconds) * rate)
        wave = (noises[number % 8][:length] * rng.uniform(0.5, 1)).astype(np.float32)
        soundfile.write(folder / f"{number:06}.{kinds[number % len(kinds)]}", wave, rate)


def several_workers(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """Decode the same files in one process and in two, in turns; hold the frames against each other."""
    music(folder / "a", 200, ["mp3", "flac"], (10.0, 10.0), 44_100)
    took: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    frames: dict[int, list[str]] = {}
    for turn in range(3):
        for count in (1, 2):
            cache = folder / f"{turn}_{count}"
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            call = [sys.executable, "-c", _DECODE, str(count), str(folder / "a"), str(cache)]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took[count].append((float(done.stdout.split()[-1]), processor))
            frames[count] = trials.digests_of_mels(cache)
    wall, processor = (
        {count: float(np.median([each[column] for each in took[count]])) for count in took} for column in range(2)
    )
    same = int(frames[1] == frames[2])
    rows = [{"what": "200 files decoded by two processes to the bits of one", "tried": 1, "held": same, "note": ""}]
    return rows, [
        figure("decoding 200 MP3 and FLAC files of 10 s, one process", wall[1], "s"),
        figure("the same, two processes", wall[2], "s"),
        figure("processor time, two processes over one", processor[2] / processor[1], "times"),
    ]


def prepare_stopped(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """Prepare many short files: kill it half way, go on, then start from the whole cache."""
    for genre in "ab":
        music(folder / "music" / genre, _FILES.value // 2, ["wav", "flac"], (3.0, 6.0), 16_000)
    cache = folder / "cache"
    first = _prepare(folder, lambda: _decoded(cache) >= _FILES.value // 2)
    there = _decoded(cache)
    second = _prepare(folder)
    third = _prepare(folder)
    anew = sum(int(count) for count in re.findall(r"^[ab]: (\d+) tracks? in", second["shown"], re.MULTILINE))
    left = re.search(r"^[ab]: \d+ %, ([\d:]+) left", first["shown"], re.MULTILINE)
    leftover = [path for path in cache.rglob(".gst_jax-*")]
    held = int(second["status"] == 0 and anew == _FILES.value - there and not leftover)
    note = f"{there} files were kept, {anew} decoded afterwards"
    rows = [
        {
            "what": f"prepare of {_FILES.value} files, killed half way, goes on",
            "tried": 1,
            "held": held,
            "note": note,
        },
        {
            "what": "a line with the time left, while it decodes",
            "tried": 1,
            "held": int(left is not None),
            "note": "",
        },
    ]
    files = f"prepare of {_FILES.value} files"
    return rows, [
        figure(f"{files}, both parts, with compiling and timing", first["seconds"] + second["seconds"], "s"),
        figure("the same, again, from the cache", third["seconds"], "s"),
        figure(f"{files}: memory of the command while it decodes", first["command_mb"], "MB"),
        figure(f"{files}: memory of each process that decodes, at most", first["worker_mb"], "MB"),
    ]


def _decoded(cache: Path) -> int:
    """Count the files that whole shards hold."""
    return sum(len(shards.read_shards(place)) for place in cache.glob("mels/*"))


def _prepare(folder: Path, ends: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Run `gst_jax prepare`, killed as soon as `ends`; return what it said, took and held."""
    call = [sys.executable, "-m", "gst_jax", "prepare", f"--audio_dir={folder / 'music'}", "--config=smoke"]
    turn = 0
    start, memory = time.monotonic(), {"command_mb": 0.0, "worker_mb": 0.0}
    with (folder / "shown").open("w+", encoding="utf-8") as shown:
        options = {"stdout": subprocess.DEVNULL, "stderr": shown, "start_new_session": True}
        process = subprocess.Popen(call, env=os.environ | {"GST_JAX_CACHE": str(folder / "cache")}, **options)
        while process.poll() is None:
            memory["command_mb"] = max(memory["command_mb"], _memory(process.pid))
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            for child in children.read_text().split() if children.exists() else []:
                memory["worker_mb"] = max(memory["worker_mb"], _memory(int(child)))
            turn += 1
            if turn % 10 == 0 and ends():  # looking takes its time, too
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(1)
        shown.seek(0)
        told = shown.read()
    return {"status": process.returncode, "seconds": time.monotonic() - start, "shown": told} | memory


def _memory(process: int) -> float:
    """Return the most memory that a process has held, in MB; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def listing(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """List a folder of 100,000 files, with what shows whether each was changed."""
    place = folder / "a"
    place.mkdir()
    for number in range(100_000):
        (place / f"{number:06}.wav").touch()
    start = time.process_time()
    found = folders.Folders("a", (place,)).keys()
    took = time.process_time() - start
    rows = [{"what": "100,000 files listed", "tried": 100_000, "held": len(found), "note": ""}]
    return rows, [figure("listing 100,000 files, processor time", took, "s")]


def batches(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """Make batches as large as those of `scaling.py`."""
    figures = []
    for step in scaling.STEPS:
        place = folder / step.config
        settings = config.load(step.config, [f"training.batch_size={step.batch}"])
        tiled_corpus.make(10, settings, place / "music", place / "cache")
        os.environ["GST_JAX_CACHE"] = str(place / "cache")
        served = data.Batches(*data.load_pair(("a", "b"), [place / "music"], settings), settings)
        took = []
        for number in range(20):
            start = time.process_time()
            served.batch_at(number)
            took.append(time.process_time() - start)
        figures.append(figure(scaling.BATCH.format(step), 1e3 * float(np.median(took)), "ms"))
    return [], figures


def hours(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """Start training on more and more hours, each in a process of its own."""
    figures = []
    for count in _HOURS.value:
        point = ["--out=x", "--plot=x", "--steps=5", f"--point={json.dumps(['hours', float(count)])}"]
        call = [sys.executable, str(_SCRIPTS / "growth.py"), *point]
        done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        named = {
            "load_s": ("loading the genres", "s"),
            "look_s": ("looking them over", "s"),
            "transport_s": ("transport and first batch", "s"),
            "start_peak_mb": ("memory until then, at most", "MB"),
            "start_own_mb": ("memory of its own then, without pages of files", "MB"),
            "median_ms": ("a step of pictures.toml", "ms"),
            "peak_mb": ("memory after the steps", "MB"),
        }
        figures += [figure(f"{count} h a genre: {what}", row[key], unit) for key, (what, unit) in named.items()]
    return [], figures


def full(folder: Path) -> tuple[list[Figure], list[Figure]]:
    """Train, resume, convert and export the model of 28M; say what that costs."""
    for genre in "ab":
        music(folder / "music" / genre, 3, ["wav"], (8.0, 8.0), 16_000)
    return full_cost.measure(folder)


if __name__ == "__main__":
    command.run(main)
