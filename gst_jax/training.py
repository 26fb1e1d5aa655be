"""Run the training loop of one pair: resume, step, log, save, stop."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gst_jax import checkpoint, config, cyclegan, data, fine_structure, provenance, startup, transport
from gst_jax.config import Config, Run

try:
    import fcntl
except ImportError:  # not a Unix: two processes in one run directory are not noticed
    fcntl = None  # type: ignore[assignment]

Metrics = dict[str, float]


class TrainingError(ValueError):
    """A run that cannot start or go on; the message says why, and what to do."""


# Settings that a resumed run may change: its length, and what it writes on the way.
_FREE = ("training.epochs", "training.log_every", "training.checkpoint_every", "training.keep_checkpoints")


@dataclass(frozen=True)
class Summary:
    """How a call of `train` ended."""

    steps: int  # micro-batches seen since the run began
    total: int  # micro-batches of the whole run
    updates: int
    skipped: int  # micro-batches whose gradient was not finite
    seconds: float  # of stepping since the run began
    compile_seconds: float
    interrupted: bool  # by a signal
    peak_memory_mb: float  # of this process

    @property
    def finished(self) -> bool:
        """Whether every epoch was trained."""
        return self.steps >= self.total


def train(
    pair: tuple[str, str],
    settings: Config,
    run_dir: str | os.PathLike[str],
    *,
    audio_dir: str | os.PathLike[str] | None = None,
    init_from: str | os.PathLike[str] | None = None,
    minutes: float = math.inf,
    on_step: Callable[[int, int, Metrics], None] = lambda step, total, metrics: None,
    progress: Any = None,
) -> Summary:
    """Train one pair, going on where the run directory stands.

    Returns early, with everything saved, after `minutes` of stepping or at the first SIGINT or SIGTERM.

    Args:
        pair: names of the genres a and b.
        settings: of the run; only its length may differ from an earlier call's.
        run_dir: made if need be.
        audio_dir: holds one folder per genre; None is the built-in corpus.
        init_from: run directory whose newest parameters, but for the transport, a fresh run starts with.
        minutes: of stepping in this call, at most.
        on_step: called with the micro-batches seen, their total, and the metrics last logged.
        progress: called like `tqdm.tqdm` on the files to render or decode.

    Raises:
        TrainingError: when the run has other settings or another process, or a loss is not finite.
        checkpoint.CheckpointError, config.ConfigError, audio.AudioError: see there.
    """
    run_dir = Path(run_dir)
    settings = data.settings_for(audio_dir, settings)
    _refuse_other_run(run_dir, pair, settings)
    initial = None if init_from is None else _initial_parameters(init_from, settings)
    mesh = _mesh(settings)
    genre_a, genre_b = data.load_pair(pair, audio_dir, settings, progress)
    run = Run(
        pair=pair,
        config=settings,
        statistics={genre.name: genre.statistics for genre in (genre_a, genre_b)},
        audio_dir=None if audio_dir is None else str(Path(audio_dir).resolve()),
        provenance=provenance.collect(),
    )
    _refuse_other_audio(run_dir, run)
    batches = data.Batches(genre_a, genre_b, settings)
    run_dir.mkdir(parents=True, exist_ok=True)
    with (
        _only_process(run_dir),
        _stop_on_signal() as stop,
        checkpoint.open_checkpoints(run_dir, settings.training.keep_checkpoints) as checkpoints,
    ):
        abstract = cyclegan.abstract_state(settings, NamedSharding(mesh, PartitionSpec()))
        checkpoint.require_space(checkpoints, abstract)  # now, rather than after the first hundred batches
        state = checkpoint.restore(checkpoints, abstract)
        # A fresh state is made after the compilation, which takes the most memory.
        start = time.monotonic()
        train_step = cyclegan.train_step.lower(abstract, _put(batches.batch_at(0), mesh), settings).compile()
        startup.release_memory()
        compiled_in = time.monotonic() - start
        if state is None:
            first = cyclegan.init_parameters(settings) if initial is None else initial
            first |= {"generator": transport.begin(first["generator"], genre_a, genre_b)}
            state = jax.device_put(cyclegan.start_from(first, settings), NamedSharding(mesh, PartitionSpec()))
        fine_structure.write(run_dir, [genre.fine_structure for genre in (genre_a, genre_b)])
        config.write_run(run, run_dir)
        seen = _loop(train_step, state, batches, settings, mesh, run_dir, checkpoints, stop, minutes * 60, on_step)
    summary = Summary(**seen, compile_seconds=compiled_in, peak_memory_mb=provenance.peak_memory_mb())
    _replace(run_dir / "summary.json", json.dumps(asdict(summary) | {"provenance": run.provenance}, indent=1))
    return summary


def total_steps(steps_per_epoch: int, settings: Config) -> int:
    """Return the micro-batches of a run: its epochs, rounded up to whole updates so that the last ones count."""
    k = settings.training.accumulation_steps
    return -(-steps_per_epoch * settings.training.epochs // k) * k


def _loop(
    train_step: Callable[..., tuple[cyclegan.TrainState, dict[str, jax.Array]]],
    state: cyclegan.TrainState,
    batches: data.Batches,
    settings: Config,
    mesh: Mesh,
    run_dir: Path,
    checkpoints: Any,
    stop: threading.Event,
    seconds: float,
    on_step: Callable[[int, int, Metrics], None],
) -> dict[str, Any]:
    """Step until the last epoch, the time limit or a signal; save what was reached; return parts of the summary."""
    first, total = int(state.step), total_steps(batches.steps_per_epoch, settings)
    training = settings.training
    log = run_dir / "metrics.jsonl"
    metrics = _forget_after(log, first)
    before = metrics.get("seconds", 0.0)
    batch = _put(batches.batch_at(first), mesh)
    # A step under way holds its scratch memory. On a CPU wait for each, and lose a hundredth of the time.
    on_cpu = jax.default_backend() == "cpu"
    start = time.monotonic()
    window: list[dict[str, jax.Array]] = []
    logged_at = start
    step = first
    while step < total and not stop.is_set() and time.monotonic() - start < seconds:
        state, parts = train_step(state, batch)  # returns at once: XLA works on while Python goes on
        jax.block_until_ready(parts if on_cpu else window[-1:])  # never more than one step ahead
        step += 1
        batch = _put(batches.batch_at(step), mesh)
        window.append(parts)
        if step % training.log_every == 0 or step == total:
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
            _append(log, metrics)
            _refuse_not_finite(means, step, checkpoints)
        if step % training.checkpoint_every == 0:
            checkpoint.save(checkpoints, state)
        on_step(step, total, metrics)
    jax.block_until_ready(state)
    end = time.monotonic()
    checkpoint.save(checkpoints, state)
    return {
        "steps": step,
        "total": total,
        "updates": int(state.updates),
        "skipped": int(state.skipped),
        "seconds": before + end - start,
        "interrupted": stop.is_set(),
    }


def _mesh(settings: Config) -> Mesh:
    """Lay all devices along one axis, over which the batch is divided."""
    devices = jax.devices()
    if settings.training.batch_size % len(devices):
        raise TrainingError(
            f"training.batch_size {settings.training.batch_size} cannot be divided among {len(devices)} devices; "
            f"use --set=training.batch_size={len(devices)} or a multiple"
        )
    return Mesh(np.array(devices), ("data",))


def _put(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Give each device of each host its share of a batch, which every host can compute whole."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {
        name: jax.make_array_from_callback(part.shape, sharding, part.__getitem__) for name, part in batch.items()
    }


def _initial_parameters(init_from: str | os.PathLike[str], settings: Config) -> cyclegan.Parameters:
    """Load what another run learned, when it is of the same architecture."""
    other = config.read_run(init_from).config
    different = [text for text in config.differences(other, settings) if text.startswith(("model.", "audio."))]
    if different:
        raise TrainingError(f"--init_from={init_from} is of another model: {'; '.join(different)}")
    return checkpoint.load_parameters(init_from)


def _refuse_other_run(run_dir: Path, pair: Sequence[str], settings: Config) -> None:
    """Raise TrainingError when the run directory holds a run of another pair or other settings."""
    if not (run_dir / "config.json").exists():
        return
    old = config.read_run(run_dir)
    different = [text for text in config.differences(old.config, settings) if not text.startswith(_FREE)]
    if tuple(pair) != old.pair:
        different.insert(0, f"pair: {'_'.join(old.pair)} -> {'_'.join(pair)}")
    if different:
        raise TrainingError(
            f"{run_dir} holds a run with other settings: {'; '.join(different)}. Give the old settings to go on "
            "with it, or another --run_dir to start a new one"
        )


def _refuse_other_audio(run_dir: Path, run: Run) -> None:
    """Raise TrainingError when the audio changed since the run began: its levels are a part of the model."""
    if (run_dir / "config.json").exists() and config.read_run(run_dir).statistics != run.statistics:
        raise TrainingError(
            f"the audio is not what {run_dir} was trained on (files were added, removed or changed, or --audio_dir "
            "differs); put it back to go on with that run, or give another --run_dir to start a new one"
        )


def _refuse_not_finite(means: Metrics, step: int, checkpoints: Any) -> None:
    """Raise TrainingError when a loss is not finite: going on would only waste the user's time."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        saved = f"step {checkpoints.latest.step}" if checkpoints.latest else "none"
        raise TrainingError(
            f"{bad[0]} is not finite at step {step}; last good checkpoint: {saved}. Start a new run with a lower "
            "--set=training.learning_rate, or look at the audio with python -m gst_jax.prepare"
        )


def _forget_after(log: Path, step: int) -> Metrics:
    """Cut the log back to what a checkpoint knows; return its last entry, {} where there is none."""
    if not log.exists():
        return {}
    entries = []
    for line in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a line cut off by a kill: its step is trained again
            entries.append(json.loads(line))
    entries = [entry for entry in entries if entry["step"] <= step]
    _replace(log, "".join(json.dumps(entry) + "\n" for entry in entries))
    return entries[-1] if entries else {}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _append(log: Path, entry: Metrics) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


@contextlib.contextmanager
def _only_process(run_dir: Path) -> Iterator[None]:
    """Hold the run directory's lock, which the system releases however the process ends.

    Raises:
        TrainingError: when another process holds it.
    """
    with (run_dir / ".lock").open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(f"another process is training in {run_dir}; stop it first") from error
        yield


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Hand out an event that the first SIGINT or SIGTERM sets; the second acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python lets only the main thread handle signals
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.getsignal(number) for number in signals]

    def restore() -> None:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)

    def request(number: int, frame: Any) -> None:
        stop.set()
        restore()

    for number in signals:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
