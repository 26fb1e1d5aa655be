"""Measure what training, conversion, compilation cost on the machine at hand."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gst_jax import config, sound
from gst_jax.config import Config
from gst_jax.conversion import jobs, planning
from gst_jax.conversion.translator import Translator
from gst_jax.learning import cyclegan, stepping
from gst_jax.learning.convolution import conv2d, upsample_conv2d
from gst_jax.learning.convolution_1d import conv1d
from gst_jax.runs import provenance
from gst_jax.sound import fine_structure
from gst_jax.types import Progress

Layer = tuple[str, tuple[int, ...], tuple[int, ...], int]  # name, input [..., C], kernel, stride (0: upsampled)
BatchAt = Callable[[int], dict[str, np.ndarray[Any, Any]]]
_SONG_SECONDS, _SONG_RATE = 180, 44_100


def sgemm_gflops(repeats: int = 10) -> float:
    """Return the best rate of a float32 matrix product, in GFLOP/s: the limit that layers are held against."""
    size = 1536
    x = jnp.ones((size, size))
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    return 2 * size**3 / min(_times(lambda: product(x, x), repeats)) / 1e9


def layers(settings: Config) -> Iterator[Layer]:
    """Yield every different convolution of the networks, with the size of one segment's input."""
    frames, mels = settings.audio.segment_frames, settings.audio.n_mels
    c, d = settings.model.channels, settings.model.discriminator_channels
    if settings.model.architecture == "frames":
        half = (frames + 1) // 2
        if taps := settings.model.transport_taps:
            yield "transport", (frames, mels), (taps, mels, mels), 1
        yield "generator input", (2 * half, mels), (5, mels, c), 1
        yield "generator down", (2 * half, c), (4, c, c), 2
        yield "generator residual", (half, c), (3, c, c), 1
        yield "generator up", (half, c), (3, c, 2 * c), 1
        yield "generator output", (2 * half, c), (5, c, mels), 1
        yield "discriminator 1", (frames, mels), (5, mels, d), 2
        yield "discriminator 2", (-(-frames // 2), d), (5, d, 2 * d), 2
        yield "discriminator 3", (-(-frames // 4), 2 * d), (5, 2 * d, 2 * d), 2
        yield "discriminator output", (-(-frames // 8), 2 * d), (3, 2 * d, 1), 1
        return
    t, m = frames + -frames % 4, mels
    yield "generator input 7x7", (t, m, 1), (7, 7, 1, c), 1
    yield "generator down 1", (t, m, c), (3, 3, c, 2 * c), 2
    yield "generator down 2", (t // 2, m // 2, 2 * c), (3, 3, 2 * c, 4 * c), 2
    yield "generator residual", (t // 4, m // 4, 4 * c), (3, 3, 4 * c, 4 * c), 1
    yield "generator up 1", (t // 4, m // 4, 4 * c), (3, 3, 4 * c, 2 * c), 0
    yield "generator up 2", (t // 2, m // 2, 2 * c), (3, 3, 2 * c, c), 0
    yield "generator output 7x7", (t, m, c), (7, 7, c, 1), 1
    yield "discriminator 1", (frames, m, 1), (4, 4, 1, d), 2
    yield "discriminator 2", (frames // 2, m // 2, d), (4, 4, d, 2 * d), 2
    yield "discriminator 3", (frames // 4, m // 4, 2 * d), (4, 4, 2 * d, 4 * d), 2
    yield "discriminator 4", (frames // 8, m // 8, 4 * d), (4, 4, 4 * d, 8 * d), 1
    yield "discriminator output", (frames // 8 - 1, m // 8 - 1, 8 * d), (4, 4, 8 * d, 1), 1


def layer_gflop(layer: Layer) -> float:
    """Count a layer's direct arithmetic for one segment, in units of 1e9 multiplications and additions."""
    _, (*size, _), (*kernel, inputs, outputs), stride = layer
    if len(size) == 1:
        pixels = -(-size[0] // stride)
    elif stride == 0:
        pixels = 4 * math.prod(size)
    else:
        pixels = math.prod(
            (length + 2 * ((taps - 1) // 2) - taps) // stride + 1 for length, taps in zip(size, kernel, strict=True)
        )
    return 2e-9 * pixels * math.prod(kernel) * inputs * outputs


def step_gflop(settings: Config) -> float:
    """Count the direct arithmetic of the convolutions of one micro-batch, in GFLOP."""
    batch = settings.training.batch_size
    counts = {layer[0]: layer_gflop(layer) for layer in layers(settings)}
    counts["generator residual"] *= 2 * settings.model.residual_blocks
    generator = sum(count for name, count in counts.items() if name.startswith("generator"))
    discriminator = sum(count for name, count in counts.items() if name.startswith("discriminator"))
    calls = 3 if settings.loss.identity > 0 else 2
    # The transport is not trained, and only the cycle needs the gradient of its input. Each generator makes fakes,
    # cycles, perhaps identities: forward with two gradients. Each discriminator scores fakes with the gradient of its
    # input, then reals with fakes with the gradient of its kernels too.
    fixed = counts.get("transport", 0.0)
    return 2 * batch * ((calls + 1) * fixed + 3 * calls * generator + (2 + 2 * 3) * discriminator)


def measure_layers(
    settings: Config, limit: float, repeats: int, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Measure each convolution with its gradients at the batch of the step: ms, GFLOP/s, share of the limit."""
    rows = []
    found = list(layers(settings))
    for layer in found if progress is None else progress(found, desc="layers", unit="layer"):
        name, size, kernel_size, stride = layer
        batch = 2 * settings.training.batch_size
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.standard_normal((batch, *size), np.float32))
        kernel = jnp.asarray(rng.standard_normal(kernel_size, np.float32))

        def convolve(x: jax.Array, kernel: jax.Array, stride: int = stride) -> jax.Array:
            if x.ndim == 3:
                return conv1d(x, kernel, stride)
            return conv2d(x, kernel, stride) if stride else upsample_conv2d(x, kernel)

        def input_gradient(x: jax.Array, kernel: jax.Array, g: jax.Array, convolve: Any = convolve) -> jax.Array:
            return jax.vjp(lambda x: convolve(x, kernel), x)[1](g)[0]

        def kernel_gradient(x: jax.Array, kernel: jax.Array, g: jax.Array, convolve: Any = convolve) -> jax.Array:
            return jax.vjp(lambda kernel: convolve(x, kernel), kernel)[1](g)[0]

        gradient = convolve(x, kernel)
        row: dict[str, Any] = {"layer": name, "input": [batch, *size], "kernel": list(kernel_size)}
        gflop = batch * layer_gflop(layer)
        for part, function, arguments in (
            ("forward", convolve, (x, kernel)),
            ("input_gradient", input_gradient, (x, kernel, gradient)),
            ("kernel_gradient", kernel_gradient, (x, kernel, gradient)),
        ):
            compiled = jax.jit(function).lower(*arguments).compile()
            seconds = min(_times(lambda run=compiled, given=arguments: run(*given), repeats))  # type: ignore[misc]
            row[part] = {"ms": 1e3 * seconds, "gflops": gflop / seconds, "share_of_sgemm": gflop / seconds / limit}
        rows.append(row)
    return rows


def measure_step(
    settings: Config, limit: float, steps: int, progress: Progress | None = None, batch_at: BatchAt | None = None
) -> dict[str, Any]:
    """Measure the train step once compiled: median and spread of the milliseconds of a micro-batch.

    Args:
        settings: of the run.
        limit: GFLOP/s to hold it against.
        steps: to measure.
        progress: called like `tqdm.tqdm` on the steps.
        batch_at: as `data.Batches.batch_at`; None is noise.
    """
    run, compile_s = _stepper(settings, batch_at)
    for _ in range(3):
        run()
    bar = range(steps) if progress is None else progress(range(steps), desc="train step", unit="batch")
    times = [seconds for _ in bar for seconds in _times(run, 1, warm=0)]
    low, median, high = np.quantile(times, [0.1, 0.5, 0.9])
    gflop = step_gflop(settings)
    return {
        "median_ms": 1e3 * median,
        "p10_ms": 1e3 * low,
        "p90_ms": 1e3 * high,
        "min_ms": 1e3 * min(times),
        "compile_s": compile_s,  # or less, when the program was compiled before
        "steps": steps,
        "segments_per_second": 2 * settings.training.batch_size / median,
        "direct_gflop": gflop,
        "gflops": gflop / median,
        "share_of_sgemm": gflop / median / limit,
    }


def measure_start(settings: Config) -> dict[str, dict[str, float]]:
    """Start two processes that train a few steps, the first with an empty cache of compiled programs.

    Returns:
        For `cold` and `warm`: seconds from process start to the first step done, seconds of compilation, peak MB.
    """
    results = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        code = "from gst_jax.speed import benchmark; benchmark.print_start()"
        for kind in ("cold", "warm"):
            command = [sys.executable, "-c", code, json.dumps(config.to_dict(settings)), str(time.time())]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            results[kind] = json.loads(done.stdout.splitlines()[-1])
    return results


def print_start() -> None:
    """Be the process that `measure_start` starts."""
    settings, started = config.from_dict(json.loads(sys.argv[1])), float(sys.argv[2])
    run, compile_s = _stepper(settings, None)
    run()
    first = time.time() - started
    for _ in range(5):
        run()
    print(json.dumps({"first_step_s": first, "compile_s": compile_s, "peak_mb": provenance.peak_memory_mb()}))


def measure_conversion(settings: Config, seconds: float = _SONG_SECONDS) -> dict[str, float]:
    """Convert a stereo song from file to file with an untrained generator, compiled before."""
    parameters = cyclegan.init_state(settings).parameters["generator"]["ab"]
    translate = jax.jit(lambda log_mel: cyclegan.translate(parameters, settings.model, log_mel[None])[0])
    in_model = 0.0

    def generator(log_mel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal in_model
        start = time.perf_counter()
        result = np.asarray(translate(log_mel))
        in_model += time.perf_counter() - start
        return result

    translator = Translator(settings.audio, generator, fine_structure.flat(settings.audio))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, length in (("warm", 10.0), ("song", seconds)):
            path = Path(folder, f"{name}.wav")
            noise = 0.1 * rng.standard_normal((int(length * _SONG_RATE), 2), np.float32)
            sound.write_wave(path, noise, _SONG_RATE)
            in_model, start = 0.0, time.perf_counter()
            planned = planning.plan([path], folder, "converted")
            jobs.convert(planned.jobs, translator, folder)
            total = time.perf_counter() - start
    return {
        "song_seconds": seconds,
        "seconds": total,
        "times_real_time": seconds / total,
        "model_seconds": in_model,
        "model_times_real_time": seconds / in_model,
    }


def _stepper(settings: Config, batch_at: BatchAt | None) -> tuple[Callable[[], None], float]:
    """Return a function that trains one micro-batch to its end, as the training loop does; seconds to compile it."""
    shape = (settings.training.batch_size, settings.audio.segment_frames, settings.audio.n_mels)
    rng = np.random.default_rng(0)
    batch_at = batch_at or (lambda step: {part: rng.standard_normal(shape, np.float32) for part in cyclegan.PARTS})
    placement = stepping.place(settings)
    train_step, compile_s = stepping.compile_step(settings, placement, batch_at(0))
    state = placement.state(cyclegan.init_state(settings))
    steps = itertools.count()

    def run() -> None:
        nonlocal state
        state, metrics = train_step(state, placement.batch(batch_at(next(steps))))
        jax.block_until_ready((state, metrics))

    return run, compile_s


def _times(function: Callable[[], Any], repeats: int, warm: int = 1) -> list[float]:
    """Return the seconds of each of some calls, after others that do not count."""
    times = []
    for _ in range(warm + repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return times[warm:]
