"""Convert files and whole folders of sound into an output folder, where nothing is replaced."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gst_jax import sound
from gst_jax.band import midi as scores
from gst_jax.conversion import accompaniment, synthesis
from gst_jax.conversion.accompaniment import Band
from gst_jax.conversion.planning import Job, Stems
from gst_jax.conversion.translator import Translator
from gst_jax.runs.atomic import sweep
from gst_jax.runs.workers import cores
from gst_jax.sound import AudioError, AudioWarning, loudness, streams
from gst_jax.types import Array, Progress

_AHEAD = 16  # half seconds of sound that may wait for the encoder


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

    calls = list(zip(jobs, places, strict=True))
    # The limit is of the whole process: conversions that set it apart would take it from one another.
    with threadpool_limits(limits=1, user_api="blas"), closing(_in_threads(work, calls, at_once, stop)) as finished:
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


def _make_ready(out: Path, targets: list[Path]) -> None:
    """Make the folders for outputs, or raise the OSError that the first would before the work for it is done."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    for folder in {path.parent for path in targets}:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
