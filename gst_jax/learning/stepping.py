"""Compile the train step for the devices that there are: one way for training, estimates and benchmarks."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gst_jax.config import Config, ConfigError
from gst_jax.learning import cyclegan
from gst_jax.runs import startup

Batch = dict[str, np.ndarray]
Step = Callable[[cyclegan.TrainState, dict[str, jax.Array]], tuple[cyclegan.TrainState, dict[str, jax.Array]]]


@dataclass(frozen=True)
class Placement:
    """How a state and a batch lie on the devices."""

    whole: NamedSharding  # every device holds all of it
    divided: NamedSharding  # every device holds a share of the segments
    size: int  # segments in a batch

    def state(self, state: cyclegan.TrainState) -> cyclegan.TrainState:
        """Copy a state to every device; of several processes, each has the same to give."""
        if self.whole.is_fully_addressable:
            return jax.device_put(state, self.whole)
        return jax.tree.map(
            lambda leaf: jax.make_array_from_callback(leaf.shape, self.whole, np.asarray(leaf).__getitem__), state
        )

    @property
    def rows(self) -> slice:
        """Which segments of a batch the devices of this process hold."""
        places = self.divided.addressable_devices_indices_map((self.size,)).values()
        bounds = [place[0].indices(self.size) for place in places if place is not None]
        return slice(min(first for first, _, _ in bounds), max(last for _, last, _ in bounds))

    def batch(self, batch: Batch) -> dict[str, jax.Array]:
        """Give each device its share of a batch `{"a", "b"}`, of which this process gives its `rows`, [b, T, M]."""
        return {name: jax.make_array_from_process_local_data(self.divided, part) for name, part in batch.items()}


def place(config: Config) -> Placement:
    """Lay devices along one axis over which a batch can be divided evenly: all of them, or as many as divide it.

    Warns when devices are left over.

    Raises:
        ConfigError: when they would be, and are of several processes.
    """
    devices, size = jax.devices(), config.training.batch_size
    count = math.gcd(size, len(devices))
    if count < len(devices) and jax.process_count() > 1:
        raise ConfigError(
            f"a batch of {size} cannot be divided among the {len(devices)} devices of {jax.process_count()} "
            f"processes; give --set=training.batch_size={len(devices)} or a multiple, or start fewer processes"
        )
    if count < len(devices):
        warnings.warn(
            f"training on {count} of {len(devices)} devices, as a batch of {size} can be divided among no more; "
            f"--set=training.batch_size={len(devices)} or a multiple uses all",
            stacklevel=2,
        )
    mesh = Mesh(np.array(devices[:count]), ("data",))
    return Placement(NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data")), size)


def compile_step(config: Config, placement: Placement, batch: Batch) -> tuple[Step, float]:
    """Compile the train step.

    Compiling takes more memory than training, so make the state afterwards.

    Args:
        config: of the run.
        placement: from `place`.
        batch: any one, for its shapes.

    Returns:
        The step, which takes a state and a batch of `placement` and gives the next state with metrics; and the
        seconds that compiling took, next to none when the compiled program was found on disk.
    """
    start = time.perf_counter()
    abstract = cyclegan.abstract_state(config, placement.whole)
    step = cyclegan.train_step.lower(abstract, placement.batch(batch), config).compile()
    startup.release_memory()
    return step, time.perf_counter() - start
