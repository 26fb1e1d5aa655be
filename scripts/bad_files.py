"""Give 2,000 bad files to every reader: each must end in a result or in one line, within limits of time and memory.

    python scripts/bad_files.py --out=results/reliability_files.json

Needs `pip install 'gst_jax[studio]'` and Linux. Takes about half an hour on two cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import command
import guarded
import odd_files
from absl import flags
from guarded import Outcome, Reader

from gst_jax import config, data, sound
from gst_jax.data.cache import BadFiles
from gst_jax.runs import provenance
from gst_jax.runs.atomic import write_text

_OUT = flags.DEFINE_string("out", "results/reliability_files.json", "where the figures go")
_SHARE = flags.DEFINE_float("share", 1.0, "of the 2,000 files that are made")
_CONVERTED = flags.DEFINE_float("converted", 0.1, "of the files that are also converted")
_FOLDER = flags.DEFINE_integer("folder", 100_000, "files in one folder")

TRIAL = config.load("smoke")


def start() -> dict[str, Reader]:
    """Return the readers, in a process of their own, after each was used once."""
    from gst_jax.conversion.translator import Translator

    translator = Translator.from_run("folk_jazz", "jazz")
    scratch = Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"]))
    readers: dict[str, Reader] = {
        "reader": read,
        "training": lambda path: train_on(path, scratch),
        "conversion": lambda path: convert(path, translator, scratch),
    }
    ordinary = scratch / "ordinary.wav"
    for rate, channels in ((44_100, 2), (8_000, 1), (192_000, 2)):
        wave = odd_files.samples(3.0, rate, channels)
        sound.write_wave(ordinary, wave, rate, "FLOAT")
        for reader in readers.values():
            assert reader(ordinary) >= 2
    return readers


def read(path: Path) -> float:
    """Read header, tags and all samples -> seconds."""
    header = sound.read_header(path)
    sound.read_tags(path, header)
    return sum(map(len, sound.read_blocks(path))) / header.sample_rate


def train_on(path: Path, scratch: Path) -> float:
    """Load a file as the one recording of a genre, as `prepare` and `train` do -> seconds."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        genre = Path(folder, "genre")
        genre.mkdir()
        (genre / path.name).symlink_to(path)
        try:
            loaded = data.load_genre(genre, TRIAL.audio, TRIAL.data, folder)
        except BadFiles as error:
            (alone,) = error.errors  # which a second line follows, with the remedy
            raise alone from error
        return 60 * loaded.minutes


def convert(path: Path, translator: object, scratch: Path) -> float:
    """Convert a file, as the command does -> seconds; what comes out must be as long as the source."""
    from gst_jax.conversion import jobs

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        plan = jobs.plan([path], folder, "jazz")
        failed = plan.refused + jobs.convert(plan.jobs, translator, folder)
        if failed:
            raise ValueError("\n".join(failed))
        (job,) = plan.jobs
        seconds = read(job.target)
        assert abs(seconds - read(path)) < 0.1, "the output is not as long as the source"
        return seconds


def calls(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    """Yield which reader gets which file: all are read, trained on, and of each kind some converted."""
    seen: Counter[str] = Counter()
    for kind, path in files:
        yield "reader", path
        if kind == odd_files.HOURS:  # which take their time with the others
            continue
        if path.suffix.lower() in sound.SUFFIXES and path.is_file():
            yield "training", path
        before, seen[kind] = seen[kind], seen[kind] + 1
        if int(seen[kind] * _CONVERTED.value) > int(before * _CONVERTED.value) or kind == odd_files.SPECIAL:
            yield "conversion", path


def main() -> None:
    """Make the files, try them, write."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"], os.environ["GST_JAX_CACHE"] = folder, str(Path(folder, "cache"))
        files = list(odd_files.make(Path(folder, "files"), _SHARE.value))
        kind_of = {path: kind for kind, path in files}
        rows: dict[str, list[Outcome]] = {}
        for reader, path, outcome in guarded.try_all(start, calls(files), workers=2):
            rows.setdefault(f"{kind_of[path]}: {reader}", []).append(outcome)
            if outcome.fault or outcome.seconds > 3:
                print(f"{kind_of[path]}: {reader}: {path}: {outcome.seconds:.1f} {outcome.fault}", flush=True)
        print(json.dumps({what: len(found) for what, found in rows.items()}, indent=1))
        Path("/tmp/r2_rows.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    command.run(main)
