"""Build the corpus on disk: training files of each genre, and tunes that every genre plays."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gst_jax import sound
from gst_jax.config import DataConfig
from gst_jax.corpus import folk, jazz, rock
from gst_jax.corpus.arrangement import Arrangement
from gst_jax.corpus.composition import Tune, compose, describe
from gst_jax.corpus.orchestra import draw_seats, orchestrate
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import cache_dir
from gst_jax.types import Progress

VERSION = 3  # raise it when the same seed no longer gives the same samples
GENRES = ("folk", "rock", "jazz")
REORCHESTRATED = (("folk", "rock"), ("folk", "jazz"), ("rock", "folk"), ("jazz", "folk"))

_ARRANGERS: dict[str, ModuleType] = {"folk": folk, "rock": rock, "jazz": jazz}
_TRAINING_SECONDS = 30.0
_PAIRED_FILES = {"validation": 4, "test": 8}
_PAIRED_SECONDS = 20.0
_PAIRED_TEMPO = (96.0, 132.0)  # comfortable in every genre
_PROCESSES = min(os.cpu_count() or 1, 4)  # of 0.3 GB each
_MARKER = "corpus.json"
_USUAL = DataConfig().corpus_tracks


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus."""

    path: str  # relative to the corpus
    split: str
    tune: int  # its number in the split
    source: str  # the genre that arranges it
    target: str  # the genre that plays it


def default_directory() -> Path:
    """Return where the corpus is kept: `corpus` in the cache directory."""
    return cache_dir() / "corpus"


def training_folder(training_tracks: int = _USUAL) -> str:
    """Return the folder of the training files within the corpus, where there are so many per genre."""
    return "train" if training_tracks == _USUAL else f"train_{training_tracks}"


def files(training_tracks: int = _USUAL) -> list[CorpusFile]:
    """List every file of a corpus with so many training files per genre; more begin with the same ones as fewer."""
    folder = training_folder(training_tracks)
    found = [
        CorpusFile(f"{folder}/{genre}/{number:02}.flac", "train", number, genre, genre)
        for genre in GENRES
        for number in range(training_tracks)
    ]
    pairs = [(f"rearranged/{genre}", genre, genre) for genre in GENRES]
    pairs += [(f"reorchestrated/{source}_as_{target}", source, target) for source, target in REORCHESTRATED]
    for split, count in _PAIRED_FILES.items():
        for folder, source, target in pairs:
            for number in range(count):
                path = f"paired/{split}/{folder}/tune_{number:02}.flac"
                found.append(CorpusFile(path, split, number, source, target))
    return found


def build(
    directory: str | os.PathLike[str],
    seed: int = 0,
    progress: Progress | None = None,
    training_tracks: int = _USUAL,
) -> Path:
    """Render the corpus into a directory, unless it is there already.

    The same seed gives the same samples. An interrupted build goes on where it stopped; a corpus of another seed or
    version is replaced. Training files of another number, and files that are not of the corpus, are left alone.

    Args:
        directory: where `training_folder()` and `paired/` shall stand; made if need be.
        seed: another seed, other music.
        progress: called like `tqdm.tqdm` on the files to render; None is silent.
        training_tracks: training files of each genre.

    Returns:
        The directory.
    """
    root = Path(directory)
    plan = files(training_tracks)
    wanted = {file.path for file in plan}
    marker = root / _MARKER
    found = _read_marker(marker)
    if (found.get("version"), found.get("seed")) != (VERSION, seed):
        for path in found.get("files", wanted):
            (root / path).unlink(missing_ok=True)
        found = {}
    known = sorted(wanted.union(found.get("files", ())))
    missing = [file for file in plan if not (root / file.path).is_file()]
    if not missing and found.get("complete"):
        return root
    _write_json(marker, {"version": VERSION, "seed": seed, "files": known, "complete": False})
    _render_all(root, seed, missing, progress)
    for split, count in _PAIRED_FILES.items():
        tunes = {f"tune_{number:02}": describe(tune_of(seed, split, number)) for number in range(count)}
        _write_json(root / "paired" / split / "tunes.json", tunes)
    _write_json(marker, {"version": VERSION, "seed": seed, "files": known, "complete": True})
    return root


def tune_of(seed: int, split: str, number: int, genre: str = "") -> Tune:
    """Compose a tune of the corpus; a training tune belongs to a genre, a paired one to all."""
    rng = _rng(seed, split, number, "tune", genre)
    if split == "train":
        return compose(rng, _TRAINING_SECONDS, _ARRANGERS[genre].TEMPO_RANGE)
    return compose(rng, _PAIRED_SECONDS, _PAIRED_TEMPO)


def arrangement_of(seed: int, file: CorpusFile) -> Arrangement:
    """Write what is played on a file, whoever plays it."""
    tune = tune_of(seed, file.split, file.tune, _owner(file))
    return _ARRANGERS[file.source].arrange(tune, _rng(seed, file.split, file.tune, "arrangement", file.source))


def samples_of(seed: int, file: CorpusFile) -> np.ndarray:
    """Render a file: float32 [N, 2] at `render.SAMPLE_RATE`."""
    from gst_jax.corpus.render import render

    # The seats belong to the tune, so that the same instrument has the same counterpart in every version of it.
    seats = draw_seats(_rng(seed, file.split, file.tune, "seats", _owner(file)))
    mixing = _rng(seed, file.split, file.tune, "mix", file.target)
    return render(arrangement_of(seed, file), orchestrate(file.target, seats, mixing), mixing)


def _owner(file: CorpusFile) -> str:
    """Return the genre whose own tune it is, or nothing for a tune that all genres play."""
    return file.source if file.split == "train" else ""


def _rng(seed: int, *key: object) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, key)).encode())])


def _render_all(root: Path, seed: int, missing: list[CorpusFile], progress: Progress | None) -> None:
    # Spawned, because forking a process that runs JAX's threads can hang it.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_PROCESSES, mp_context=spawn, initializer=_start_worker) as pool:
        with _deaf_to_interrupts():  # the workers start here, and stay so
            jobs = [pool.submit(_render_file, root, seed, file) for file in missing]
        waiting = jobs if progress is None else progress(jobs, total=len(jobs), desc="corpus", unit="file")
        try:
            for job in waiting:
                job.result()
        except BrokenProcessPool as error:
            raise OSError(
                "a process that renders the corpus was ended from outside, perhaps for want of memory (each needs "
                f"0.3 GB, and {_PROCESSES} work at once); free some and run the command again, it goes on from there"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the parent ends them in order. Its own comes a moment later."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where `_start_worker` does it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which stops the work in order; never outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _render_file(root: Path, seed: int, file: CorpusFile) -> None:
    from gst_jax.corpus.render import SAMPLE_RATE

    target = root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    sound.write_wave(target, samples_of(seed, file), SAMPLE_RATE, subtype="PCM_16", format="FLAC")


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or damaged: build anew
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1))
