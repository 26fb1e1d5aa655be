"""Build the corpus on disk: training files of each genre, and tunes that every genre plays."""

from __future__ import annotations

import json
import os
import zlib
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
from gst_jax.runs import workers
from gst_jax.runs.atomic import sweep, write_text
from gst_jax.runs.directory import cache_dir
from gst_jax.types import Progress

VERSION = 3  # raise it when a file no longer has the same samples
GENRES = ("folk", "rock", "jazz")
REORCHESTRATED = (("folk", "rock"), ("folk", "jazz"), ("rock", "folk"), ("jazz", "folk"))

_SEED = 0
_ARRANGERS: dict[str, ModuleType] = {"folk": folk, "rock": rock, "jazz": jazz}
_TRAINING_SECONDS = 30.0
_PAIRED_FILES = {"validation": 4, "test": 8}
_PAIRED_SECONDS = 20.0
_PAIRED_TEMPO = (96.0, 132.0)  # comfortable in every genre
_PROCESSES = min(workers.cores(), 4)
_MARKER = "corpus.json"
_USUAL = DataConfig().corpus_tracks


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus."""

    path: str  # relative to the corpus
    split: str  # train, validation or test
    tune: int  # its number in the split
    source: str  # the genre that arranges it
    target: str  # the genre that plays it


def default_directory() -> Path:
    """Return where the corpus is kept: `corpus` in the cache directory."""
    return cache_dir() / "corpus"


def training_folder(training_tracks: int = _USUAL) -> str:
    """Return the folder, within the corpus, of the training files of a corpus with so many per genre."""
    return "train" if training_tracks == _USUAL else f"train_{training_tracks}"


def files(training_tracks: int = _USUAL) -> list[CorpusFile]:
    """List every file of a corpus with so many training files per genre; a larger corpus begins as a smaller one."""
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
    progress: Progress | None = None,
    training_tracks: int = _USUAL,
) -> Path:
    """Render the corpus into a directory, unless it is there already.

    Every machine gets the same samples. A build that was interrupted goes on where it stopped. Files of another
    version are replaced; training files of a corpus of another size, and files of other origin, are left alone.

    Args:
        directory: gets the folders `training_folder()` and `paired`; made if need be.
        progress: called like `tqdm.tqdm` on the files to render; None is silent.
        training_tracks: training files of each genre.

    Returns:
        The directory.

    Raises:
        OSError: when the directory cannot be written to, or a process that renders was killed.
    """
    root = Path(directory)
    plan = files(training_tracks)
    wanted = {file.path for file in plan}
    marker = root / _MARKER
    found = _read_marker(marker)
    if (found.get("version"), found.get("seed")) != (VERSION, _SEED):
        for path in found.get("files", wanted):
            (root / path).unlink(missing_ok=True)
        found = {}
    known = sorted(wanted.union(found.get("files", ())))
    missing = [file for file in plan if not (root / file.path).is_file()]
    if not missing and found.get("complete"):
        return root
    _write_json(marker, {"version": VERSION, "seed": _SEED, "files": known, "complete": False})
    for folder in {(root / file.path).parent for file in missing}:
        sweep(folder)
    if missing:
        _render_all(root, missing, progress)
    for split, count in _PAIRED_FILES.items():
        tunes = {f"tune_{number:02}": describe(tune_of(split, number)) for number in range(count)}
        _write_json(root / "paired" / split / "tunes.json", tunes)
    _write_json(marker, {"version": VERSION, "seed": _SEED, "files": known, "complete": True})
    return root


def tune_of(split: str, number: int, genre: str = "") -> Tune:
    """Compose a tune of the corpus; a training tune belongs to a genre, a paired one (no genre) to all."""
    rng = _rng(split, number, "tune", genre)
    if split == "train":
        return compose(rng, _TRAINING_SECONDS, _ARRANGERS[genre].TEMPO_RANGE)
    return compose(rng, _PAIRED_SECONDS, _PAIRED_TEMPO)


def arrangement_of(file: CorpusFile) -> Arrangement:
    """Write the notes of a file, which do not depend on the genre that plays them."""
    tune = tune_of(file.split, file.tune, _owner(file))
    return _ARRANGERS[file.source].arrange(tune, _rng(file.split, file.tune, "arrangement", file.source))


def samples_of(file: CorpusFile, arrangement: Arrangement | None = None) -> np.ndarray:
    """Render a file, or other notes with its instruments: float32 [N, 2] at `render.SAMPLE_RATE`."""
    from gst_jax.corpus.render import render

    # The seats belong to the tune, so that an instrument has the same counterpart in every version of it.
    seats = draw_seats(_rng(file.split, file.tune, "seats", _owner(file)))
    mixing = _rng(file.split, file.tune, "mix", file.target)
    return render(arrangement or arrangement_of(file), orchestrate(file.target, seats, mixing), mixing)


def _owner(file: CorpusFile) -> str:
    """Return the genre whose own tune it is, or nothing for a tune that all genres play."""
    return file.source if file.split == "train" else ""


def _rng(*key: object) -> np.random.Generator:
    """Return the random numbers that belong to a key, the same ones on every machine."""
    return np.random.default_rng([_SEED, zlib.crc32("/".join(map(str, key)).encode())])


def _render_all(root: Path, missing: list[CorpusFile], progress: Progress | None) -> None:
    """Render files in several processes; when it is interrupted, these end at once, but never while they write."""
    calls = [(root, file) for file in missing]
    with workers.working(_render_file, calls, _PROCESSES, "rendered the corpus") as jobs:
        for job in jobs if progress is None else progress(jobs, total=len(jobs), desc="corpus", unit="file"):
            job.result()


def _render_file(root: Path, file: CorpusFile) -> None:
    from gst_jax.corpus.render import SAMPLE_RATE

    target = root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    samples = samples_of(file)
    with workers.WRITING:
        sound.write_wave(target, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or damaged: build anew
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1))
