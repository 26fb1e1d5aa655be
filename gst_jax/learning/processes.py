"""Train in several processes as in one: who is first, what all agree on, how they end together.

Everything between processes is JAX's own: its runtime finds them, notices a dead one and carries what they tell each
other. With one process, nothing here starts or waits for anything.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import importlib.util
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import filelock
import jax
import numpy as np
from jax.experimental import multihost_utils

from gst_jax import data
from gst_jax.config import ConfigError
from gst_jax.learning.resuming import TrainingError
from gst_jax.runs.directory import RunDirectory

_DEAD = 30  # seconds without a sign of life after which JAX ends the other processes
_LOST = ("Gloo", "NCCL", "CoordinationService")  # what JAX's errors name when a process does not answer
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # as of some network file systems
_GONE = "another process of this training has ended, see what it said; the same command goes on with what was saved"


@contextlib.contextmanager
def joined(coordinator: str | None, processes: int | None, process_id: int | None) -> Iterator[None]:
    """Be one of the processes that train together; call it before anything asks JAX for its devices.

    A process that fails leaves at once, so that the others, which wait for it, end too.

    Args:
        coordinator: host and port on which process 0 is met.
        processes: how many there are; 1 is a process on its own, whatever the environment says.
        process_id: of this one, from 0. What is None is for JAX to find in the environment (Slurm, Open MPI,
            Kubernetes, TPU pods); where all three are and the environment tells of no others, there are none.

    Raises:
        ConfigError: when the processes cannot be found, or not reached.
        TrainingError: when another process ended.
    """
    if processes == 1 or ((coordinator, processes, process_id) == (None, None, None) and not _has_others()):
        yield
        return
    try:
        jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from the loop
        jax.distributed.initialize(coordinator, processes, process_id, heartbeat_timeout_seconds=_DEAD)
        wait("all are there")
    except (RuntimeError, ValueError) as error:
        atexit.register(_leave, 1)
        raise ConfigError(
            f"the processes of this training do not come together: {str(error).splitlines()[0]} Give each of them "
            "--coordinator=HOST:PORT --processes=N --process_id=0 to N-1, or --processes=1 to train in one"
        ) from error
    try:
        yield
        wait("all are done")  # the first may still be writing its report
    except BaseException as error:
        status = error.code if isinstance(error, SystemExit) else 130 if isinstance(error, KeyboardInterrupt) else 1
        atexit.register(_leave, status if isinstance(status, int) else 1)
        if isinstance(error, (RuntimeError, ValueError)) and any(name in str(error) for name in _LOST):
            raise TrainingError(_GONE) from error
        raise


def is_first() -> bool:
    """Tell whether this is the process that speaks, logs, measures and reports for all."""
    return jax.process_index() == 0


def wait(what: str) -> None:
    """Wait until all processes have come to the same place."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def agree(wishes: Sequence[bool]) -> list[bool]:
    """Return which of some wishes any process has; all must ask at the same step."""
    if jax.process_count() == 1:
        return list(wishes)
    return [bool(wish) for wish in np.any(multihost_utils.process_allgather(np.array(wishes)), axis=0)]


def of_first(tree: Any) -> Any:
    """Return the arrays that the first process has, since machines may differ in the last bit."""
    return multihost_utils.broadcast_one_to_all(tree) if jax.process_count() > 1 else tree


def team() -> data.Team:
    """Return all processes, for what they decode together."""
    return data.Team(jax.process_index(), jax.process_count(), wait)


@contextlib.contextmanager
def holding(run: RunDirectory) -> Iterator[None]:
    """Make the run directory, and hold its lock, which the system releases however the process ends.

    The first of several processes holds it for all.

    Raises:
        TrainingError: when another training holds it.
        OSError: when the directory is not one that all processes share.
    """
    if not is_first():
        wait("the run is held")
        team().require(run.lock, "name one by --run_dir")
        yield
        return
    run.path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(filelock.FileLock(run.lock, timeout=0))
        except filelock.Timeout as error:
            raise TrainingError(f"another process is training in {run.path}; stop it first") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(f"the disk of {run.path} has no locks: start no second training there", stacklevel=2)
        run.sweep()
        wait("the run is held")
        yield


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
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


def _has_others() -> bool:
    """Tell whether the environment is one in which JAX finds several processes by itself."""
    counts = (os.environ.get(name, "1") for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    pods = "JOB_COMPLETION_INDEX" in os.environ and importlib.util.find_spec("kubernetes") is not None
    return any(count != "1" for count in counts) or pods or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")


def _leave(status: int) -> None:
    """End without waiting for the other processes, as JAX would."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
