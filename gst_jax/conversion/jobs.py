"""Convert files and whole folders of sound into an output folder, where nothing is replaced."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gst_jax import sound
from gst_jax.band import midi as scores
from gst_jax.config import ConfigError
from gst_jax.conversion import accompaniment, synthesis
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.translator import Translator
from gst_jax.runs.atomic import sweep
from gst_jax.runs.workers import cores
from gst_jax.sound import AudioError, AudioWarning, loudness, streams
from gst_jax.types import Array, Progress

FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "m4a", "aiff")
_AHEAD = 16  # half seconds of sound that may wait for the encoder
_NAME_BYTES = 255  # of a file's name, at most


@dataclass(frozen=True)
class Job:
    """One file to convert."""

    source: Path
    target: Path
    header: sound.Header  # of the source
    kind: sound.Kind  # of the target


@dataclass(frozen=True)
class Plan:
    """What would be done, and what not."""

    jobs: list[Job]
    existing: list[Path]  # targets that are there already, and stay
    refused: list[str]  # a message for each file that cannot be converted
    foreign: list[Path]  # files of music in the folders that nothing here reads


@dataclass(frozen=True)
class Stems:
    """A folder for song and band apart, as float WAV, and the band's part as MIDI where it was arranged."""

    folder: Path
    overwrite: bool = False

    def of(self, jobs: list[Job], out: Path, midi: bool) -> list[dict[str, Path]]:
        """Return for each job the paths of the stems that may be written; those that exist are left, and said.

        Args:
            jobs: of a plan.
            out: the folder given to `plan`.
            midi: whether there are notes to write.

        Raises:
            ConfigError: when a stem would be an input or another output.
        """
        places = [self._places(job, out, midi) for job in jobs]
        stems = [(job.source, path) for job, found in zip(jobs, places, strict=True) for path in found.values()]
        _check_targets([*((job.source, job.target) for job in jobs), *stems])
        left = [] if self.overwrite else [path for _, path in stems if path.exists()]
        for path in left:
            warnings.warn(f"{path} exists and is left; --overwrite replaces it", AudioWarning, stacklevel=2)
        return [{name: path for name, path in found.items() if path not in left} for found in places]

    def _places(self, job: Job, out: Path, midi: bool) -> dict[str, Path]:
        place = self.folder / job.target.relative_to(out).with_suffix("")
        endings = {"song": ".song.wav", "band": ".band.wav"} | ({"midi": ".band.mid"} if midi else {})
        return {name: place.with_name(_shortened(place.name, ending)) for name, ending in endings.items()}


def plan(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    label: str,
    format: str | None = None,
    bit_rate: int = 0,
    overwrite: bool = False,
) -> Plan:
    """Say what would be written where, after checking all of it by the files' headers.

    `song.mp3` goes to `out/song.LABEL.mp3`, a folder to `out/folder/...` with its tree kept. Where `out` lies within
    such a folder, what it holds is no input: the outputs of an earlier call are not converted again.

    Args:
        inputs: files or folders.
        out: folder to write to; it need not exist.
        label: what the outputs are called by, as the genre.
        format: suffix of every output (wav, flac, ...); None keeps each input's, or takes the next best.
        bit_rate: bits per second of lossy outputs; 0: as many as the source's.
        overwrite: whether to replace files that exist.

    Raises:
        ConfigError: when there is nothing to do, or an output would be an input or another's output.
        AudioError: when an input does not exist, or a folder holds no sound.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"--format={format!r} is not one of {', '.join(FORMATS)}")
    found, foreign = _found(inputs, Path(out))
    if not found:
        raise ConfigError("nothing to convert: name at least one file or folder, as in --out=converted song.mp3")
    jobs: list[Job] = []
    refused = []
    for source, place in found:
        try:
            jobs.append(_job(source, Path(out, place), label, format, bit_rate))
        except AudioError as error:
            refused.append(str(error))
    _check_targets([(job.source, job.target) for job in jobs])
    existing = [] if overwrite else [job.target for job in jobs if job.target.exists()]
    return Plan([job for job in jobs if job.target not in set(existing)], existing, refused, foreign)


def convert(
    jobs: Iterable[Job],
    translator: Translator,
    out: str | os.PathLike[str],
    strength: float = 1.0,
    route: str = synthesis.DEFAULT_ROUTE,
    progress: Progress | None = None,
    on_written: Callable[[Job], None] = lambda job: None,
    band: Band | None = None,
    stems: Stems | None = None,
    at_once: int | None = None,
) -> list[str]:
    """Do the jobs of a plan: each output has its input's sample rate, channels and exact length.

    Args:
        jobs: of a plan.
        translator: what converts.
        out: the folder given to `plan`.
        strength: 0 (the input) to 1.
        route: one of `synthesis.ROUTES`.
        progress: as `tqdm.tqdm`.
        on_written: called after each file.
        band: who plays along.
        stems: where song and band go apart.
        at_once: files that are converted at one time, each in a thread; by default half as many as cores, 4 at most.

    Returns:
        A message for each file that could not be converted after all; the others are done.

    Raises:
        ConfigError: when a stem would be an input or another output.
        OSError: when the folder cannot be written to, or the disk is full; files done before stay.
    """
    jobs, failed = list(jobs), []
    midi = band is not None and band.is_arranged
    places = [{} for _ in jobs] if stems is None else stems.of(jobs, Path(out), midi)
    _make_ready(Path(out), [*(job.target for job in jobs), *(path for apart in places for path in apart.values())])
    bar = None if progress is None else _bar(progress, jobs, strength, band)
    stop = threading.Event()

    def count(seconds: float) -> None:
        if stop.is_set():
            raise CancelledError
        if bar is not None:
            bar.update(seconds)

    def work(job: Job, apart: dict[str, Path]) -> None:
        _convert(job, translator, strength, route, count, band, apart)

    with closing(_in_threads(work, list(zip(jobs, places, strict=True)), at_once, stop)) as finished:
        for job, error in finished:
            if error is None:
                on_written(job)
            else:
                failed.append(str(error) if isinstance(error, AudioError) else f"{job.source}: {error}")
    if bar is not None:
        bar.close()
    return failed


def _bar(progress: Progress, jobs: list[Job], strength: float, band: Band | None) -> Any:
    passes = (4 if strength > 0 else 2) + (2 if band else 0)  # read thrice or once, written; heard, played along with
    seconds = passes * sum(job.header.frames / job.header.sample_rate for job in jobs)
    return progress(total=seconds, desc="converting", unit="s", unit_scale=1 / passes)


def _in_threads(
    work: Callable[[Job, dict[str, Path]], None],
    calls: list[tuple[Job, dict[str, Path]]],
    at_once: int | None,
    stop: threading.Event,
) -> Generator[tuple[Job, ValueError | None], None, None]:
    """Work on several jobs at a time; yield each that has ended, with what is wrong with its file.

    When the taker leaves early, or another error ends one, `stop` is set, and all that are under way are waited for.
    """
    with ThreadPoolExecutor(at_once or min(cores() // 2 or 1, 4)) as pool:
        under_way = {pool.submit(work, *call): call[0] for call in calls}
        try:
            for done in as_completed(under_way):
                error = done.exception()
                if not (error is None or isinstance(error, ValueError)):
                    raise error
                yield under_way[done], error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _convert(
    job: Job,
    translator: Translator,
    strength: float,
    route: str,
    count: Callable[[float], None],
    band: Band | None,
    apart: dict[str, Path],
) -> None:
    rate = job.header.sample_rate
    gain = _gain_into(job)

    def read() -> Iterator[Array]:
        return (gain * block for block in _shown(sound.read_blocks(job.source), rate, count))

    ceiling = loudness.CEILING if job.kind.clips else None
    converted = translator.stream(read, rate, strength, route, ceiling, str(job.source))
    if band is None:
        _write(job, converted, count)
        return
    sheet = accompaniment.hear(read(), rate)
    if reason := band.why_silent(sheet):
        warnings.warn(f"{job.source}: {reason}", AudioWarning, stacklevel=2)
        count(job.header.frames / rate)  # that nobody will play
        _write(job, converted, count)
        return
    with closing(streams.Spool()) as song, closing(streams.Spool()) as part:
        stems = (song, part) if apart else None
        _write(job, band.along(converted, sheet, rate, ceiling, stems, lambda made: _shown(made, rate, count)), count)
        for name, spool in (("song", song), ("band", part)):
            if path := apart.get(name):
                kind = sound.choose_kind(path, rate, job.header.channels, "FLOAT")
                sound.write_blocks(path, spool.blocks(), rate, job.header.channels, kind)
    if path := apart.get("midi"):
        scores.write(path, sheet, band.genre)


def _write(job: Job, made: Iterator[Array], count: Callable[[float], None]) -> None:
    with closing(streams.ahead(made, _AHEAD)) as blocks:  # or a failed write would leave its thread at work
        shown, tags = _shown(blocks, job.header.sample_rate, count), sound.read_tags(job.source, job.header)
        sound.write_blocks(job.target, shown, job.header.sample_rate, job.header.channels, job.kind, tags)


def _gain_into(job: Job) -> np.float32:
    """Return the one factor by which float samples above full scale fit into a file of integers; else 1."""
    peak = 1.0
    if job.kind.clips and job.header.subtype in ("FLOAT", "DOUBLE"):
        peak = max(float(np.abs(block).max()) for block in sound.read_blocks(job.source))
    if peak <= 1.0:
        return np.float32(1)
    gain = loudness.CEILING / peak
    message = f"{job.target} is {-20 * np.log10(gain):.1f} dB quieter: it cannot hold samples above full scale"
    warnings.warn(message, AudioWarning, stacklevel=2)
    return np.float32(gain)


def _shown(blocks: Iterable[Array], sample_rate: int, count: Callable[[float], None]) -> Iterator[Array]:
    """Pass blocks on, counting their seconds."""
    for block in blocks:
        count(len(block) / sample_rate)
        yield block


def _found(inputs: Iterable[str | os.PathLike[str]], out: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return each file once, with its place under the output folder, and the foreign files."""
    out = out.resolve()
    found: dict[Path, tuple[Path, Path]] = {}
    foreign: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            files, others = (_outside(sound.find_audio(given, kind), given, out) for kind in _KINDS)
            if not files:
                raise AudioError(f"{given} holds no sound file; give a file, or a folder with {', '.join(FORMATS)}")
            places = [(file, Path(given.resolve().name) / file.relative_to(given)) for file in files]
            foreign += others
        elif given.exists():
            places = [(given, Path(given.name))]
        else:
            raise AudioError(f"{given} does not exist; check the spelling of the path")
        for file, place in places:
            found.setdefault(file.resolve(), (file, place))
    return list(found.values()), foreign


_KINDS = (sound.SUFFIXES, sound.FOREIGN_SUFFIXES)


def _outside(files: list[Path], folder: Path, out: Path) -> list[Path]:
    """Leave out the outputs of earlier calls, where they lie within the folder that is converted."""
    if out == folder.resolve():
        return files
    return [file for file in files if not file.resolve().is_relative_to(out)]


def _job(source: Path, place: Path, label: str, format: str | None, bit_rate: int) -> Job:
    """Read the header of a file and see that its sound can be written."""
    header = sound.read_header(source)
    suffix = f".{format}" if format else sound.best_suffix(place, header)
    if format is None and suffix != place.suffix:
        message = f"{place.suffix or header.format} cannot be written as it is; the output is {suffix}"
        warnings.warn(message, AudioWarning, stacklevel=2)
    target = place.with_name(_shortened(place.stem, f".{label}{suffix}"))
    return Job(source, target, header, sound.kind_like(target, header, bit_rate))


def _shortened(stem: str, ending: str) -> str:
    """Return a name with an ending that a file system takes."""
    while len(os.fsencode(stem + ending)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + ending


def _check_targets(pairs: list[tuple[Path, Path]]) -> None:
    """Raise a ConfigError where an output would replace an input or another output; each input with its output."""
    taken: dict[Path, Path] = {}
    sources = {source.resolve() for source, _ in pairs}
    for source, path in pairs:
        target = path.resolve()
        if target in sources:
            raise ConfigError(f"the output {path} is an input; choose another folder, an input is never replaced")
        if other := taken.get(target):
            raise ConfigError(f"{other} and {source} would both become {path}; convert them one by one")
        taken[target] = source


def _make_ready(out: Path, targets: list[Path]) -> None:
    """Make the folders for outputs, or raise the OSError that the first would before the work for it is done."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    for folder in {path.parent for path in targets}:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
