"""The tables of results/speed.md; used by tables.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layout import read, table


def bench() -> str:
    """The figures of `gst_jax.bench` for both architectures."""
    files = {"the default": "bench", "in float32": "bench_float32", "`configs/pictures.toml`": "bench_pictures"}
    columns = {title: read(f"{file}.json") for title, file in files.items()}
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "train step, ms, median (10 to 90 %)": lambda made: (
            "{median_ms:.0f} ({p10_ms:.0f} to {p90_ms:.0f})".format_map(made["train_step"])
        ),
        "segments of two seconds a second": lambda made: f"{made['train_step']['segments_per_second']:.0f}",
        "GFLOP of it as direct convolution": lambda made: f"{made['train_step']['direct_gflop']:.0f}",
        "GFLOP/s, share of a matrix product's": lambda made: "{gflops:.0f}, {share_of_sgemm:.0%}".format_map(
            made["train_step"]
        ),
        "compilation, from the cache": lambda made: "{compile_s:.1f} s, {compile_warm_s:.1f} s".format_map(
            made["train_step"]
        ),
        "first step done after the start, with a warm cache": lambda made: (
            "{first_step_cold_s:.1f} s, {first_step_warm_s:.1f} s".format_map(made["start"])
        ),
        "peak memory, when compiling": lambda made: (
            f"{made['memory']['peak_mb'] / 1000:.2f} GB, {made['memory']['peak_compiling_mb'] / 1000:.2f} GB"
        ),
        "3 minutes of 44.1 kHz stereo, file to file, times real time": lambda made: (
            f"{made['convert']['times_real_time']:.0f}"
        ),
    }
    return table(["", *columns], [[name, *map(show, columns.values())] for name, show in lines.items()])


def pytorch(file: str) -> str:
    """Our train step beside PyTorch's."""
    made = read(file)
    columns = ("median_ms", "p10_ms", "p90_ms", "min_ms", "median_cpu_ms")
    rows = [[name, *(f"{step[column]:.0f}" for column in columns)] for name, step in made["step"].items()]
    for precision, found in made["ratios"].items():
        cells = (f"{found[name]['ratio']:.2f}" if name in found else "" for name in columns)
        rows.append([f"PyTorch's best / ours, {precision}", *cells])
    return table(["ms a micro-batch", "median", "10 %", "90 %", "least", "processor time"], rows)


def layers() -> str:
    """Each convolution beside XLA's own."""
    parts = ("forward", "input_gradient", "kernel_gradient")
    rows = [
        [layer["layer"], *(f"{layer[part]['lax_ms']:.1f} -> {layer[part]['ours_ms']:.1f}" for part in parts)]
        for layer in read("bench_layers.json")["layers"]
    ]
    return table(["`lax.conv` -> ours, ms at batch 4", *(part.replace("_", " ") for part in parts)], rows)


def profile() -> str:
    """Where the time of a step goes, on one core."""
    made = read("step_profile.json")
    steps = made["steps"].values()
    kinds = next(iter(steps))["parts_ms"]

    def share(step: dict[str, Any], milliseconds: float) -> str:
        return f"{milliseconds:.0f} ({milliseconds / step['median_ms']:.0%})"

    rows = [[kind, *(share(step, step["parts_ms"][kind]) for step in steps)] for kind in kinds]
    rows.append(
        ["between them", *(share(step, step["median_ms"] - sum(step["parts_ms"].values())) for step in steps)]
    )
    rows.append(["the step", *(f"{step['median_ms']:.0f}" for step in steps)])
    rates = [1e3 * step["direct_gflop"] / step["parts_ms"][next(iter(kinds))] for step in steps]
    rows.append(["GFLOP/s of the products alone", *(f"{rate:.0f}" for rate in rates)])
    rows.append(["of that of a large float32 product", *(f"{rate / made['sgemm_gflops']:.0%}" for rate in rates)])
    return table(["ms on one core", *made["steps"]], rows)


def growth() -> str:
    """How the cost of a step grows with one thing at a time."""
    sweeps: dict[str, list[dict[str, Any]]] = {}
    for point in read("growth.json")["points"]:
        sweeps.setdefault(point["sweep"], []).append(point)
    columns = {"value": "g", "median_ms": ".0f", "segments_per_second": ".1f", "peak_mb": ".0f"}
    rows = []
    for sweep, points in sweeps.items():
        cells = (", ".join(format(point[key], form) for point in points) for key, form in columns.items())
        rows.append([sweep, *cells])
    return table(["what", "values", "ms a micro-batch", "segments/s", "peak MB"], rows)


def _worst(values: Sequence[float]) -> str:
    """Write the median of sorted values, with the last."""
    return f"{values[len(values) // 2]:.1f} ({values[-1]:.1f})"


def studio() -> str:
    """How soon a song is heard in the studio, and what many clients at once do to it."""
    found = read("studio.json")
    heard, memory = found["first_seconds_of_three_minutes"], found["peak_memory_mb"]
    rows = [
        ["first ten seconds of a three-minute song, s after its upload, median (most)", _worst(heard["waited"])],
        ["processor time until then, s, median (most)", _worst(heard["processor"])],
        [f"{found['clients']} clients, {found['seconds_each']:g} s each, all at once: lost", str(found["lost"])],
        [
            "until all of it is there, s, median (95 %)",
            f"{found['waited']['p50']:.0f} ({found['waited']['p95']:.0f})",
        ],
        ["peak memory, MB, when ready, after the long songs, after the crowd", ", ".join(map(str, memory.values()))],
    ]
    return table(["the studio", ""], rows)
