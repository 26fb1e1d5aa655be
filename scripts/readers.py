"""Read, train on and convert one file, as the commands do; used by bad_files.py."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import odd_files
from guarded import Reader

from gst_jax import config, data, sound
from gst_jax.data.cache import BadFiles

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
    from gst_jax.conversion import jobs, planning

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        plan = planning.plan([path], folder, "jazz")
        failed = plan.refused + jobs.convert(plan.jobs, translator, folder)
        if failed:
            raise ValueError("\n".join(failed))
        (job,) = plan.jobs
        seconds = read(job.target)
        assert abs(seconds - read(path)) < 0.1, "the output is not as long as the source"
        return seconds
