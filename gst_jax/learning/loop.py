"""Run the training loop of one pair: resume, step, log, save, stop."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gst_jax import data
from gst_jax.config import AudioConfig, Config
from gst_jax.learning import checkpoint, cyclegan, processes, stepping, transport
from gst_jax.learning.best import Best, Listener, Metrics, Watcher
from gst_jax.learning.resuming import (
    TrainingError,
    as_begun,
    initial_parameters,
    refuse_other_run,
    refuse_unfit,
)
from gst_jax.runs import provenance, seals
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.runs.refusals import naming
from gst_jax.types import Progress


@dataclass(frozen=True)
class _Caller:
    """How the caller of `train` bounds and watches its loop."""

    stop: threading.Event  # set to end it
    seconds: float  # of stepping, at most
    say: Callable[[str], None]
    on_step: Callable[[int, int, Metrics], None]
    listen: Listener  # makes what the generators are measured by
    on_measure: Watcher


@dataclass(frozen=True)
class Summary:
    """How a call of `train` ended."""

    steps: int  # micro-batches seen since the run began
    total: int  # micro-batches of the whole run
    updates: int
    skipped: int  # micro-batches whose gradient was not finite
    seconds: float  # of stepping since the run began
    compile_seconds: float  # 0 when there was nothing left to train
    interrupted: bool  # by a signal
    peak_memory_mb: float  # of this process
    best_seconds: float | None  # of stepping after which the generators measured best; None: nothing was measured
    measuring_seconds: float  # that measuring took since the run began
    finished: bool  # every epoch was trained, or the generators no longer got better


def train(
    pair: tuple[str, str],
    settings: Config,
    run_dir: str | os.PathLike[str],
    *,
    audio_dirs: data.AudioDirs = (),
    init_from: str | os.PathLike[str] | None = None,
    minutes: float = math.inf,
    say: Callable[[str], None] = lambda text: None,
    on_step: Callable[[int, int, Metrics], None] = lambda step, total, metrics: None,
    listen: Listener = lambda run, genres: None,
    on_measure: Watcher = lambda run, generators, step, seconds: None,
    progress: Progress | None = None,
) -> Summary:
    """Train one pair; where the run directory holds a run, go on with it.

    Returns early, all saved, after `minutes` or at the first SIGINT or SIGTERM. A finished run is left as it is.

    Args:
        pair: names of the genres a and b.
        settings: of the run; a later call may change only its length and how often it logs and saves.
        run_dir: made where it does not exist.
        audio_dirs: each holds one folder per genre, or is `data.CORPUS`; none is the built-in corpus alone.
        init_from: run directory whose newest parameters a new run starts with; the transport is computed anew.
        minutes: of stepping in this call, at most.
        say: called with a sentence before each part that may take long.
        on_step: called after each micro-batch with how many were seen, how many there are, and the newest metrics.
        listen: makes what measures the generators, as `evaluation.held_out.prepare`; without it the newest convert.
        on_measure: called after each measurement: run, averaged generators, batches seen, seconds of stepping.
        progress: called like `tqdm.tqdm` on the files to render or decode.

    Raises:
        TrainingError: when the run has other settings or another process, or a loss is not finite.
        checkpoint.CheckpointError, config.ConfigError, sound.AudioError: see there.
    """
    old = RunDirectory.open(run_dir) if RunDirectory.exists(run_dir) else None
    audio_dirs = data.find_audio_dirs(audio_dirs)
    if old is not None:
        refuse_unfit(old, audio_dirs)
    settings = data.settings_for(audio_dirs, settings)
    settings = as_begun(old, settings, *processes.agree([cyclegan.precision(settings) == jnp.float32]))
    run = RunDirectory(
        path=Path(run_dir),
        pair=pair,
        config=settings,
        statistics={},  # known once the audio is read
        audio_dirs=audio_dirs,
        init_from=None if init_from is None else str(Path(init_from).resolve()),
        history=() if old is None else old.history,
    )
    if old is not None:
        refuse_other_run(old, run)
    is_new = old is None or checkpoint.newest(old) is None
    initial = initial_parameters(init_from, settings) if init_from is not None and is_new else None
    say(f"{' and '.join(pair)}: reading {data.describe(audio_dirs)}")
    genres = data.load_pair(pair, audio_dirs, settings, progress, processes.team())
    genres = genres if old is None else data.as_trained(genres, old)
    run = dataclasses.replace(run, statistics={genre.name: genre.statistics for genre in genres})
    with processes.holding(run), processes.stop_on_signal() as stop:
        return _train(run, genres, initial, _Caller(stop, minutes * 60, say, on_step, listen, on_measure))


def _train(
    run: RunDirectory, genres: tuple[data.Genre, data.Genre], initial: cyclegan.Parameters | None, caller: _Caller
) -> Summary:
    """Train in a run directory that this process has for itself."""
    settings, batches = run.config, data.Batches(*genres, run.config)
    placement = stepping.place(settings)
    abstract = cyclegan.abstract_state(settings, placement.whole)
    with checkpoint.open_checkpoints(run) as checkpoints:
        state = checkpoint.restore(checkpoints, abstract)
        if state is not None and _is_over(run, int(state.step), batches, Best(run, None)):
            return _summary(run, state, batches, _forget_after(run.log, int(state.step)).get("seconds", 0.0))
        checkpoint.require_space(checkpoints, abstract)  # before an hour of training is lost to a full disk
        # A fresh state is made after the compilation, which takes the most memory.
        caller.say(f"{_counted(genres, settings.audio)}; compiling, 7 to 14 s the first time")
        step, compile_seconds = stepping.compile_step(settings, placement, batches.batch_at(0, placement.rows))
        if state is None:
            first = cyclegan.init_parameters(settings) if initial is None else initial
            first |= {"generator": transport.begin(first["generator"], *genres)}
            state = placement.state(processes.of_first(cyclegan.start_from(first, settings)))
        run = dataclasses.replace(run, history=(*run.history, provenance.collect()))
        if processes.is_first():
            run.write_fine_structures([genre.fine_structure for genre in genres])
            run.write()
        best = Best(run, caller.listen(run, genres))
        at = f"going on at batch {int(state.step)}" if int(state.step) else "starting"
        caller.say(f"compiled in {compile_seconds:.0f} s; {at}")
        if int(state.step) == 0:
            _measure(run, state, 0.0, best, caller)
        state, stepped = _loop(step, state, batches, run, placement, checkpoints, caller, best)
    summary = _summary(run, state, batches, stepped, compile_seconds, caller.stop.is_set())
    if processes.is_first():
        write_text(run.summary, json.dumps(asdict(summary) | {"provenance": run.history[-1]}, indent=1))
    return summary


def total_steps(steps_per_epoch: int, settings: Config) -> int:
    """Return the micro-batches of a run: its epochs, rounded up to whole updates so that the last ones count."""
    k = settings.training.accumulation_steps
    return -(-steps_per_epoch * settings.training.epochs // k) * k


def _loop(
    train_step: stepping.Step,
    state: cyclegan.TrainState,
    batches: data.Batches,
    run: RunDirectory,
    placement: stepping.Placement,
    checkpoints: Any,
    caller: _Caller,
    best: Best,
) -> tuple[cyclegan.TrainState, float]:
    """Step until the end of the last epoch or of all progress, the time limit or a signal; save the state reached.

    Returns:
        The last state, and the seconds of stepping since the run began.
    """
    training = run.config.training
    step, total = int(state.step), total_steps(batches.steps_per_epoch, run.config)
    metrics = _forget_after(run.log, step)
    before = metrics.get("seconds", 0.0)
    batch = placement.batch(batches.batch_at(step, placement.rows))
    # Each step under way holds its own scratch memory, so on a CPU wait for each, at a cost of 1 % of the time.
    on_cpu = jax.default_backend() == "cpu"
    window: list[dict[str, jax.Array]] = []
    start = logged_at = time.monotonic()
    asks = True  # whether to end: of several processes not at each step, as asking takes as long as a small one
    while not (asks and _ends(time.monotonic() - start, run, step, batches, best, caller)):
        state, parts = train_step(state, batch)  # returns at once: XLA works on while Python goes on
        step += 1
        batch = placement.batch(batches.batch_at(step, placement.rows))  # meanwhile
        jax.block_until_ready(parts if on_cpu else window[-1:])  # never more than one step ahead
        window.append(parts)
        logs, measures = (
            step % every == 0 or step == total for every in (training.log_every, training.measure_every)
        )
        asks = logs or measures or jax.process_count() == 1
        if logs:
            means = {name: float(np.mean([part[name] for part in window])) for name in window[0]}
            now = time.monotonic()
            metrics = {
                "step": step,
                "update": int(state.updates),
                "epoch": step / batches.steps_per_epoch,
                "seconds": before + now - start,
                "segments_per_second": 2 * training.batch_size * len(window) / (now - logged_at),
            } | means
            window, logged_at = [], now
            _append(run.log, metrics)
            _refuse_not_finite(means, step, checkpoints)
        if measures:
            measuring = time.monotonic()
            _measure(run, state, before + measuring - start, best, caller)
            logged_at += time.monotonic() - measuring  # not a part of the speed
        if step % training.checkpoint_every == 0:  # last, or a run killed while it measures would never do so here
            checkpoint.save(checkpoints, state)
        caller.on_step(step, total, metrics | _shown(best, step))
    jax.block_until_ready(state)
    stepped = before + time.monotonic() - start
    checkpoint.save(checkpoints, state)
    return state, stepped


def _measure(run: RunDirectory, state: cyclegan.TrainState, seconds: float, best: Best, caller: _Caller) -> None:
    """Measure the averaged generators, and show them; of several processes the first does."""
    if processes.is_first():
        ema = jax.tree.map(lambda leaf: leaf.addressable_data(0), state.ema)  # on a device of this process alone
        best.measure(ema, int(state.step), seconds)
        caller.on_measure(run, ema, int(state.step), seconds)


def _ends(seconds: float, run: RunDirectory, step: int, batches: data.Batches, best: Best, caller: _Caller) -> bool:
    """Tell whether training ends here, after so many seconds, in all processes; a signal to one of them stops all."""
    is_over = _is_over(run, step, batches, best) or seconds >= caller.seconds
    over, stopped = processes.agree([is_over, caller.stop.is_set()])
    if stopped:
        caller.stop.set()
        caller.say(f"stopping: keeping what was learned in {step} batches in {run.path}")
    return over or stopped


def _is_over(run: RunDirectory, step: int, batches: data.Batches, best: Best) -> bool:
    """Tell whether a run is at the end of its epochs, or of all progress."""
    patience = run.config.training.patience
    return step >= total_steps(batches.steps_per_epoch, run.config) or 0 < patience <= best.since(step)


def _shown(best: Best, step: int) -> Metrics:
    """Return what the caller is told of the measurements of trained generators: the best, and the newest."""
    found, newest = best.best(step), best.newest(step)
    if found is None or newest is None:
        return {}
    return {"best/score": found["score"], "best/minute": found["seconds"] / 60, "newest/score": newest["score"]}


def _counted(genres: tuple[data.Genre, data.Genre], audio: AudioConfig) -> str:
    """Say how much music there is, and what to think of it."""
    tracks = sum(len(genre.recordings) for genre in genres)
    counted = f"{tracks} tracks, {sum(genre.minutes for genre in genres):.1f} minutes"
    return "\n".join([*data.cautions(*genres, audio), counted])


def _summary(
    run: RunDirectory,
    state: cyclegan.TrainState,
    batches: data.Batches,
    seconds: float,
    compile_seconds: float = 0.0,
    interrupted: bool = False,
) -> Summary:
    step, best = int(state.step), Best(run, None)
    found = best.best(step)
    return Summary(
        steps=step,
        total=total_steps(batches.steps_per_epoch, run.config),
        updates=int(state.updates),
        skipped=int(state.skipped),
        seconds=seconds,
        compile_seconds=compile_seconds,
        interrupted=interrupted,
        peak_memory_mb=provenance.peak_memory_mb(),
        best_seconds=None if found is None else found["seconds"],
        measuring_seconds=best.seconds,
        finished=_is_over(run, step, batches, best),
    )


def _refuse_not_finite(means: Metrics, step: int, checkpoints: Any) -> None:
    """Raise TrainingError when a loss is not finite: such a run does not recover."""
    if bad := [name for name, value in means.items() if not math.isfinite(value)]:
        saved = f"step {checkpoints.latest.step}" if checkpoints.latest else "none"
        raise TrainingError(
            f"{bad[0]} is not finite at step {step}; last good checkpoint: {saved}. Start a new run with a lower "
            "--set=training.learning_rate, or look at the audio with gst_jax prepare"
        )


def _forget_after(log: Path, step: int) -> Metrics:
    """Remove from the log what came after a step; return its last entry, {} where there is none."""
    entries = [entry for entry in seals.read_lines(log)[0] if entry["step"] <= step]
    if log.exists() and processes.is_first():
        write_text(log, "".join(map(seals.line, entries)))
    return entries[-1] if entries else {}


def _append(log: Path, entry: Metrics) -> None:
    if processes.is_first():
        with naming(log), log.open("a", encoding="utf-8") as file:
            file.write(seals.line(entry))
