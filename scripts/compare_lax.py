"""Compare each convolution of configs/pictures.toml with XLA's own.

    python scripts/compare_lax.py --repeats=40 --out=results/bench_layers.json

Times the forward pass and the gradients of input and kernel at the batch of the train step (4 segments), ours and
`lax.conv_general_dilated` in turn. Each figure is the least of many times: other programs can only make them longer.
"""

from __future__ import annotations

import json
import time

import command
from absl import flags

from gst_jax import config
from gst_jax.runs import provenance, startup
from gst_jax.runs.atomic import write_text

_REPEATS = flags.DEFINE_integer("repeats", 60, "times that each is run", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)


def main() -> None:
    """Measure every layer."""
    startup.prepare()
    from gst_jax.speed import benchmark

    settings = config.load("configs/pictures.toml")
    limit = benchmark.sgemm_gflops(30)
    print(f"sgemm {limit:.0f} GFLOP/s")
    print(f"{'ms: lax -> ours':24s}{'forward':>20s}{'input gradient':>20s}{'kernel gradient':>20s}")
    batch = 2 * settings.training.batch_size
    rows = [measure(layer, batch, _REPEATS.value) for layer in benchmark.layers(settings)]
    result = {"sgemm_gflops": limit, "layers": rows, "provenance": provenance.collect()}
    write_text(_OUT.value, json.dumps(result, indent=1) + "\n")


def measure(layer: tuple, batch: int, repeats: int) -> dict:
    """Measure both ways through one layer; print a line."""
    import jax
    import numpy as np
    from jax import lax

    from gst_jax.learning import convolution
    from gst_jax.speed import benchmark

    name, size, kernel_size, stride = layer
    rng = np.random.default_rng(0)
    x, kernel = (jax.numpy.asarray(rng.standard_normal(s, np.float32)) for s in ((batch, *size), kernel_size))

    def ours(x, kernel):
        return convolution.conv2d(x, kernel, stride) if stride else convolution.upsample_conv2d(x, kernel)

    def theirs(x, kernel):
        if stride == 0:
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        pads = [((side - 1) // 2,) * 2 for side in kernel.shape[:2]]
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, (stride or 1,) * 2, pads, dimension_numbers=layout)

    gradient = theirs(x, kernel)
    runs = {}
    for who, convolve in (("lax", theirs), ("ours", ours)):
        runs["forward", who] = jax.jit(convolve), (x, kernel)
        for part, index in (("input_gradient", 0), ("kernel_gradient", 1)):

            def pull(x, kernel, gradient, convolve=convolve, index=index):
                return jax.vjp(convolve, x, kernel)[1](gradient)[index]

            runs[part, who] = jax.jit(pull), (x, kernel, gradient)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(repeats + 2):  # the first two compile and warm up
        for key, (run, given) in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run(*given))
            times[key].append(time.perf_counter() - start)
    row: dict = {"layer": name, "gflop": batch * benchmark.layer_gflop(layer)}
    cells = ""
    for part in ("forward", "input_gradient", "kernel_gradient"):
        least = {who: 1e3 * min(times[part, who][2:]) for who in ("lax", "ours")}
        row[part] = {f"{who}_ms": ms for who, ms in least.items()} | {"gflops": 1e3 * row["gflop"] / least["ours"]}
        cells += f"{least['lax']:11.2f} -> {least['ours']:5.2f}"
    print(f"{name:24s}{cells}", flush=True)
    return row


if __name__ == "__main__":
    command.run(main)
