"""Convert files or whole folders of sound into an output folder that never touches its inputs."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gst_jax import sound
from gst_jax.config import ConfigError
from gst_jax.conversion import synthesis
from gst_jax.conversion.translator import Translator
from gst_jax.sound import AudioError, streams
from gst_jax.types import Array, Progress

_AHEAD = 16  # half seconds of sound that may wait for the encoder
FORMATS = ("wav", "flac", "ogg", "mp3", "aiff")


@dataclass(frozen=True)
class Job:
    """One file to convert."""

    source: Path
    target: Path
    header: sound.Header  # of the source
    kind: sound.Kind  # of the target


def plan(
    inputs: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str], format: str | None = None
) -> list[Job]:
    """Say what would be written where, after checking all of it by the files' headers.

    A file goes to `out/name`, a folder to `out/folder/...` with its tree kept. Where `out` lies within such a folder,
    what it holds is no input: the outputs of an earlier call are not converted again.

    Args:
        inputs: files or folders.
        out: folder to write to; it need not exist.
        format: suffix of every output (wav, flac, ...); None keeps each input's.

    Raises:
        ConfigError: when there is nothing to do, or an output would be an input or another's output.
        AudioError: when an input cannot be used.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"--format={format!r} is not one of {', '.join(FORMATS)}")
    jobs = [_job(path, under, Path(out), format) for path, under in _found(inputs, Path(out))]
    if not jobs:
        raise ConfigError("nothing to convert: name at least one file or folder, as in --out=converted song.mp3")
    taken: dict[Path, Path] = {}
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise ConfigError(
                f"the output {job.target} is an input; choose another --out, an input is never replaced"
            )
        if other := taken.get(target):
            raise ConfigError(f"{other} and {job.source} would both become {job.target}; convert them one by one")
        taken[target] = job.source
    return jobs


def convert(
    jobs: Iterable[Job],
    translator: Translator,
    out: str | os.PathLike[str],
    strength: float = 1.0,
    route: str = synthesis.DEFAULT_ROUTE,
    progress: Progress | None = None,
) -> None:
    """Do the jobs of `plan`: each output has its input's sample rate, channels and exact length.

    Args:
        jobs: from `plan`.
        translator: what converts.
        out: the folder given to `plan`.
        strength: 0 (the input) to 1.
        route: one of `synthesis.ROUTES`.
        progress: as `tqdm.tqdm`.

    Raises:
        AudioError: when an input turns out damaged, or its sound does not fit the output's format.
        OSError: when the folder cannot be written to, or the disk is full; files done before stay.
    """
    jobs = list(jobs)
    _check_writable(Path(out))
    passes = 4 if strength > 0 else 2  # each file is read three times or once, then written
    seconds = passes * sum(job.header.frames / job.header.sample_rate for job in jobs)
    bar = None if progress is None else progress(total=seconds, desc="converting", unit="s", unit_scale=1 / passes)
    for job in jobs:
        rate = job.header.sample_rate
        job.target.parent.mkdir(parents=True, exist_ok=True)
        converted = translator.stream(functools.partial(_read, job.source, rate, bar), rate, strength, route)
        with closing(streams.ahead(converted, _AHEAD)) as blocks:  # or a failed write would leave its thread at work
            shown = _shown(blocks, rate, bar)
            sound.write_blocks(
                job.target, shown, rate, job.header.channels, job.kind, sound.read_tags(job.source, job.header)
            )
    if bar is not None:
        bar.close()


def _read(path: Path, sample_rate: int, bar: Any) -> Iterator[Array]:
    return _shown(sound.read_blocks(path), sample_rate, bar)


def _shown(blocks: Iterable[Array], sample_rate: int, bar: Any) -> Iterator[Array]:
    """Pass blocks on, telling a progress bar their seconds."""
    for block in blocks:
        yield block
        if bar is not None:
            bar.update(len(block) / sample_rate)


def _found(inputs: Iterable[str | os.PathLike[str]], out: Path) -> list[tuple[Path, Path]]:
    """Return each file once, with its place under the output folder."""
    out = out.resolve()
    found: dict[Path, tuple[Path, Path]] = {}
    for given in map(Path, inputs):
        if given.is_dir():
            files = sound.find_audio(given)
            if out != given.resolve():
                files = [file for file in files if not file.resolve().is_relative_to(out)]
            if not files:
                raise AudioError(f"{given} holds no sound file; give a file, or a folder with {', '.join(FORMATS)}")
            places = [(file, Path(given.resolve().name) / file.relative_to(given)) for file in files]
        elif given.is_file():
            places = [(given, Path(given.name))]
        else:
            raise AudioError(f"{given} does not exist; check the spelling of the path")
        for file, place in places:
            found.setdefault(file.resolve(), (file, place))
    return list(found.values())


def _job(source: Path, place: Path, out: Path, format: str | None) -> Job:
    """Read the header of a file and see that its sound can be written."""
    header = sound.read_header(source)
    target = out / place.with_suffix(f".{format}" if format else sound.best_suffix(place, header))
    return Job(source, target, header, sound.kind_like(target, header))


def _check_writable(out: Path) -> None:
    """Raise the OSError that the first output would, before the work for it is done."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
