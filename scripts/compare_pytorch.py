"""Compare a train step with PyTorch's: first that both compute the same, then how long each takes.

    pip install -e '.[bench]'
    python scripts/compare_pytorch.py --out=results/bench_pytorch.json
    python scripts/compare_pytorch.py --config=configs/pictures.toml --out=results/bench_pytorch_pictures.json

The networks, losses, batch, accumulation and optimizer are those of the config, written with torch.nn. PyTorch
competes in each way that may be its fastest: eager and compiled, in the layouts there are, in float32 and with
bfloat16 by autocast. Each contestant has a process of its own with the same threads. They make their updates in
turn, so that whatever else the machine does slows all of them alike.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import command
import numpy as np
from absl import flags

from gst_jax import config
from gst_jax.runs import provenance, startup, workers
from gst_jax.runs.atomic import write_text

CONTESTANTS = {
    "frames": (
        *("gst_jax", "eager", "eager products", "compiled products", "compiled products max-autotune"),
        *("gst_jax bfloat16", "eager bfloat16", "eager products bfloat16", "compiled products bfloat16"),
        "compiled products max-autotune bfloat16",
    ),
    "pictures": (
        *("gst_jax", "eager", "eager channels-last", "compiled", "compiled channels-last"),
        *("compiled max-autotune channels-last", "eager channels-last bfloat16", "compiled channels-last bfloat16"),
    ),
}
OURS, ROUNDED = "gst_jax", "bfloat16"
# Against PyTorch in float64, see `pytorch_step.errors`. A rectifier or an absolute error within rounding of zero
# turns one element's whole derivative around, in float32 PyTorch as well, so gradients come no closer than this.
TOLERANCES = {"outputs": 1e-5, "losses": 1e-5, "gradients": 2e-2}

_ROUNDS = flags.DEFINE_integer("rounds", 15, "updates of each contestant", lower_bound=1)
_CONFIG = flags.DEFINE_string("config", None, "TOML file of settings (default: frames)")
_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)
_WORKER = flags.DEFINE_string("worker", None, "for the script itself: be this contestant")
_FOLDER = flags.DEFINE_string("folder", None, "for the script itself: where contestants leave files for one another")


def main() -> None:
    """Let the contestants step in turn, or be one of them."""
    startup.prepare()
    settings = config.load(_CONFIG.value, ["training.precision=float32"])
    threads = workers.cores()
    if _WORKER.value:
        work(_WORKER.value, settings, Path(_FOLDER.value), threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        contestants = {name: Worker(name, folder) for name in CONTESTANTS[settings.model.architecture]}
        equality = json.loads((Path(folder) / "equality.json").read_text())
        show_equality(equality)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(_ROUNDS.value):
            for name, worker in contestants.items():
                times[name].append(worker.step())
        for worker in contestants.values():
            worker.stop()
    result = {"equality": equality, "threads": threads} | summary(times)
    result["first_step_s"] = {name: worker.first for name, worker in contestants.items()}
    result["provenance"] = provenance.collect()
    write_text(_OUT.value, json.dumps(result, indent=1) + "\n")


def show_equality(equality: dict) -> None:
    """Print the errors, and leave with status 1 when one is above its tolerance."""
    print("relative errors, against PyTorch in float64:")
    for kind, tolerance in TOLERANCES.items():
        ours, theirs = equality["ours"][kind], equality["torch"][kind]
        print(f"  {kind:10s} gst_jax {ours:.1e}   PyTorch float32 {theirs:.1e}   tolerance {tolerance:.1e}")
        if not ours < tolerance:
            sys.exit(f"gst_jax and PyTorch compute different {kind}")
        if "ours rounded" in equality:
            ours, theirs = equality["ours rounded"][kind], equality["torch rounded"][kind]
            print(f"  {'':10s} in {ROUNDED}: gst_jax {ours:.1e}   PyTorch {theirs:.1e}")


def summary(times: dict[str, list[tuple[float, float]]]) -> dict:
    """Print and return the medians of all contestants with the ratio of the best rival to ours.

    Other programs on the machine lengthen the time that passes more than the processor time spent.
    """
    rows = {}
    for name, values in times.items():
        (low, median, high), cpu = np.quantile(values, [0.1, 0.5, 0.9], axis=0)[:, 0], np.median(values, axis=0)[1]
        least = min(values)[0]
        rows[name] = {"median_ms": median, "p10_ms": low, "p90_ms": high, "min_ms": least, "median_cpu_ms": cpu}
        print(
            f"{name:24s} median {median:6.0f} ms   10-90 % {low:.0f}-{high:.0f}   least {least:.0f}   cpu {cpu:.0f}"
        )
    return {"step": rows, "ratios": {"float32": ratios(rows, (ROUNDED,)), "any precision": ratios(rows, ())}}


def ratios(rows: dict[str, dict[str, float]], without: tuple[str, ...]) -> dict:
    """Print and return how many times as fast our best is as PyTorch's, of the contestants without some words."""
    found = {}
    names = [name for name in rows if not set(without) & set(name.split())]
    for kind in ("median_ms", "min_ms", "median_cpu_ms"):
        ordered = sorted(names, key=lambda name, kind=kind: rows[name][kind])
        ours = next(name for name in ordered if is_ours(name))
        best = next(name for name in ordered if not is_ours(name))
        found[kind] = {"ours": ours, "best_rival": best, "ratio": rows[best][kind] / rows[ours][kind]}
        print(f"{kind:14s} {ours} is {found[kind]['ratio']:.2f} times as fast as PyTorch at its best ({best})")
    return found


def is_ours(name: str) -> bool:
    """Tell whether a contestant is not PyTorch."""
    return name.split()[0] == OURS


class Worker:
    """A contestant in its own process, which steps when told."""

    def __init__(self, name: str, folder: str) -> None:
        """Start it, and wait for its first step."""
        print(f"starting {name} ...", file=sys.stderr, flush=True)
        call = [sys.executable, *sys.argv, f"--worker={name}", f"--folder={folder}"]
        # Every contestant gets the same environment, large pages included.
        self.process = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        (self.first,) = self._answer()

    def step(self) -> tuple[float, float]:
        """Let it make one update; return the milliseconds of a micro-batch, passed and of processor time."""
        print("step", file=self.process.stdin, flush=True)
        passed, spent = self._answer()
        return passed, spent

    def stop(self) -> None:
        """End its process."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> list[float]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a contestant failed; its error stands above")
        return [float(word) for word in line.split()]


def work(name: str, settings: config.Config, folder: Path, threads: int) -> None:
    """Be one contestant: get ready, then make an update for every line of the standard input."""
    frames, mels = settings.audio.segment_frames, settings.audio.n_mels
    rng = np.random.default_rng(0)
    shape = (settings.training.batch_size, frames, mels)
    batch = {genre: rng.standard_normal(shape, np.float32) for genre in "ab"}
    batch |= {f"real_{genre}": segments for genre, segments in batch.items()}  # nothing is disturbed here
    prepare = prepare_ours if is_ours(name) else prepare_torch
    start = time.perf_counter()
    step = prepare(name, settings, batch, folder, threads)
    step()
    print(time.perf_counter() - start, flush=True)
    for _ in range(3):
        step()
    count = settings.training.accumulation_steps
    for _ in sys.stdin:
        step()  # does not count: it finds the caches, and on a virtual machine the memory, with the rival
        start, spent = time.perf_counter(), time.process_time()
        for _ in range(count):  # with one update
            step()
        passed, spent = time.perf_counter() - start, time.process_time() - spent
        print(1e3 * passed / count, 1e3 * spent / count, flush=True)


def prepare_ours(name, settings, batch, folder, threads):
    """Write down what the first state computes, then return the jitted step."""
    import flax
    import jax

    from gst_jax.learning import cyclegan

    if ROUNDED in name.split():
        settings = dataclasses.replace(settings, training=dataclasses.replace(settings.training, precision=ROUNDED))
    state = cyclegan.init_state(settings)
    generator, discriminator = state.parameters["generator"], state.parameters["discriminator"]

    @jax.jit
    def gradients(generator, discriminator, batch):
        (_, (metrics, fakes)), by_generator = jax.value_and_grad(cyclegan.generator_loss, has_aux=True)(
            generator, discriminator, batch, settings
        )
        (_, more), by_discriminator = jax.value_and_grad(cyclegan.discriminator_loss, has_aux=True)(
            discriminator, batch, fakes, settings
        )
        return metrics | more, fakes, {"generator": by_generator, "discriminator": by_discriminator}

    losses, fakes, gradient = gradients(generator, discriminator, batch)
    arrays = {f"parameter/{k}": v for k, v in flax.traverse_util.flatten_dict(state.parameters, sep="/").items()}
    arrays |= {f"gradient/{k}": v for k, v in flax.traverse_util.flatten_dict(gradient, sep="/").items()}
    arrays |= {f"loss/{k}": v for k, v in losses.items()} | {f"output/{k}": v for k, v in fakes.items()}
    file = folder / f"{name.replace(' ', '_')}.npz"
    np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})
    compiled = cyclegan.train_step.lower(state, batch, settings).compile()

    def step():
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    return step


def prepare_torch(name, settings, batch, folder, threads):
    """Return the step of a rival; the first one proves before that it computes what ours does."""
    import pytorch_step
    import torch

    torch.set_num_threads(threads)
    with np.load(folder / f"{OURS}.npz") as ours:
        arrays = dict(ours)
    if not (folder / "equality.json").exists():
        truth = pytorch_step.Trainer(settings, arrays, torch.float64).gradients(batch)
        single = pytorch_step.Trainer(settings, arrays, torch.float32).gradients(batch)
        errors = {"ours": pytorch_step.errors(arrays, truth), "torch": pytorch_step.errors(single, truth)}
        if (rounded := folder / f"{OURS}_{ROUNDED}.npz").exists():
            halves = pytorch_step.Trainer(settings, arrays, torch.float32, ROUNDED).gradients(batch)
            errors["torch rounded"] = pytorch_step.errors(halves, truth)
            with np.load(rounded) as ours:
                errors["ours rounded"] = pytorch_step.errors(ours, truth)
        (folder / "equality.json").write_text(json.dumps(errors))
    trainer = pytorch_step.Trainer(settings, arrays, torch.float32, name)
    return lambda: trainer.step(batch)


if __name__ == "__main__":
    command.run(main)
