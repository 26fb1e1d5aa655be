"""Measure how fast this machine trains and converts.

For example:

  gst_jax bench --quick
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from absl import flags

from gst_jax.runs import command_line

_CONFIG = flags.DEFINE_string(
    "config", None, "TOML file of settings (or a bundled name: full, pictures, smoke; default: frames)"
)
_SET = flags.DEFINE_multi_string("set", [], "one setting, as model.channels=64; may be repeated")
_THREADS = flags.DEFINE_integer("threads", None, "cores to use (default: all)", lower_bound=1)
_QUICK = flags.DEFINE_bool("quick", False, "fewer repeats, a shorter song: under a minute after compiling")
_OUT = flags.DEFINE_string("out", None, "JSON file to write, as results/bench.json")


def main() -> None:
    """Measure the machine, the layers, the train step, a start from nothing, a conversion."""
    from gst_jax import config
    from gst_jax.runs import startup
    from gst_jax.runs.atomic import write_text

    with startup.plain_messages():
        settings = config.load(_CONFIG.value, _SET.value)
        target = Path(_OUT.value) if _OUT.value else None
        if target and not target.absolute().parent.is_dir():
            raise config.ConfigError(f"--out={target}: its folder does not exist; make it, or name another")
        startup.prepare(_THREADS.value)
        result = _measure(settings)
        _show(result)
        if target:
            write_text(target, json.dumps(result, indent=1) + "\n")
            print(f"written to {target}")


def _measure(settings: Any) -> dict[str, Any]:
    from gst_jax import config
    from gst_jax.runs import provenance
    from gst_jax.runs.terminal import Bar, say
    from gst_jax.speed import benchmark

    repeats, steps, song = (10, 10, 60.0) if _QUICK.value else (50, 60, 180.0)
    limit = benchmark.sgemm_gflops()
    step = benchmark.measure_step(settings, limit, steps, Bar)
    layers = benchmark.measure_layers(settings, limit, repeats, Bar)
    say("starting two processes from nothing, then converting a song")
    start = benchmark.measure_start(settings)
    return {
        "machine": {"sgemm_gflops": limit},
        "train_step": step | {"compile_s": start["cold"]["compile_s"], "compile_warm_s": start["warm"]["compile_s"]},
        "start": {f"first_step_{kind}_s": start[kind]["first_step_s"] for kind in start},
        "memory": {"peak_mb": start["warm"]["peak_mb"], "peak_compiling_mb": start["cold"]["peak_mb"]},
        "convert": benchmark.measure_conversion(settings, song),
        "layers": layers,
        "config": config.to_dict(settings),
        "provenance": provenance.collect(),
    }


def _show(result: dict[str, Any]) -> None:
    step, start, memory, convert = (result[name] for name in ("train_step", "start", "memory", "convert"))
    print(f"{'layer (ms, share of sgemm)':26s}{'forward':>16s}{'input gradient':>18s}{'kernel gradient':>18s}")
    for row in result["layers"]:
        parts = [row[part] for part in ("forward", "input_gradient", "kernel_gradient")]
        cells = "".join(f"{part['ms']:11.2f} {part['share_of_sgemm']:5.0%}" for part in parts)
        print(f"{row['layer']:25s}{cells}")
    print(
        f"sgemm        {result['machine']['sgemm_gflops']:.0f} GFLOP/s\n"
        f"train step   {step['median_ms']:.0f} ms ({step['p10_ms']:.0f}-{step['p90_ms']:.0f}), "
        f"{step['segments_per_second']:.1f} segments/s, {step['gflops']:.0f} GFLOP/s as direct convolution, "
        f"{step['share_of_sgemm']:.0%} of sgemm\n"
        f"compilation  {step['compile_s']:.1f} s, from the cache {step['compile_warm_s']:.1f} s\n"
        f"first step   {start['first_step_cold_s']:.1f} s after the start, from the cache "
        f"{start['first_step_warm_s']:.1f} s\n"
        f"peak memory  {memory['peak_mb']:.0f} MB, {memory['peak_compiling_mb']:.0f} MB when compiling\n"
        f"conversion   {convert['times_real_time']:.0f} times real time; the model alone "
        f"{convert['model_times_real_time']:.0f}"
    )


if __name__ == "__main__":
    command_line.run(main)
