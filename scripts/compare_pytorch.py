"""Compare the train step with PyTorch's: first that both compute the same, then how long each takes.

    pip install -e '.[bench]'
    python scripts/compare_pytorch.py --out=results/bench_pytorch.json

PyTorch's networks, losses, batch, accumulation and optimizer are ours, written with torch.nn; its rivals are eager
and torch.compile, in default and channels-last layout. Each contestant has its own process with the same threads, and
they make an update in turn, so that whatever else the machine does hits all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gst_jax import config
from gst_jax.runs import provenance, startup

RIVALS = ("eager", "eager channels-last", "compiled", "compiled channels-last")
OURS = "gst_jax"
# Against PyTorch in float64, see `pytorch_step.errors`. A rectifier or an absolute error within rounding of zero
# turns one element's whole derivative around, in float32 PyTorch as well, so gradients come no closer than this.
TOLERANCES = {"outputs": 1e-5, "losses": 1e-5, "gradients": 2e-2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/pictures.toml", help="TOML file of settings of 2-D networks")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=15, help="updates of each contestant")
    parser.add_argument("--no_compile", action="store_true", help="leave out torch.compile, which takes minutes")
    parser.add_argument("--out", help="JSON file to write")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    startup.prepare(arguments.threads)
    settings = config.load(arguments.config)
    if arguments.worker:
        work(arguments.worker, settings, Path(arguments.folder), arguments.threads)
        return
    rivals = [name for name in RIVALS if not (arguments.no_compile and name.startswith("compiled"))]
    with tempfile.TemporaryDirectory() as folder:
        contestants = {name: Worker(name, arguments, folder) for name in (OURS, *rivals)}
        equality = json.loads((Path(folder) / "equality.json").read_text())
        show_equality(equality)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(arguments.rounds):
            for name, worker in contestants.items():
                times[name].append(worker.step())
        for worker in contestants.values():
            worker.stop()
    result = {"equality": equality, "threads": arguments.threads} | summary(times)
    result["first_step_s"] = {name: worker.first for name, worker in contestants.items()}
    result["provenance"] = provenance.collect()
    if arguments.out:
        target = Path(arguments.out)
        temporary = target.with_name(target.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=1))
        temporary.replace(target)


def show_equality(equality: dict) -> None:
    """Print the errors, and leave with status 1 when one is above its tolerance."""
    print("relative errors, against PyTorch in float64:")
    for kind, tolerance in TOLERANCES.items():
        ours, theirs = equality["ours"][kind], equality["torch"][kind]
        print(f"  {kind:10s} gst_jax {ours:.1e}   PyTorch float32 {theirs:.1e}   tolerance {tolerance:.1e}")
        if not ours < tolerance:
            sys.exit(f"gst_jax and PyTorch compute different {kind}")


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
    rivals = [name for name in rows if name != OURS]
    ratios = {}
    for kind in ("median_ms", "min_ms", "median_cpu_ms"):
        best = min(rivals, key=lambda name, kind=kind: rows[name][kind])
        ratios[kind] = {"best_rival": best, "ratio": rows[best][kind] / rows[OURS][kind]}
        print(f"{kind:14s} gst_jax is {ratios[kind]['ratio']:.2f} times as fast as PyTorch at its best ({best})")
    return {"step": rows, "ratios": ratios}


class Worker:
    """A contestant in its own process, which steps when told."""

    def __init__(self, name: str, arguments: argparse.Namespace, folder: str) -> None:
        print(f"starting {name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, "--worker", name, "--folder", folder]
        command += ["--threads", str(arguments.threads)]
        command += ["--config", arguments.config] if arguments.config else []
        # Every contestant gets the same environment, large pages included.
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        (self.first,) = self._answer()

    def step(self) -> tuple[float, float]:
        """Let it make one update; return the milliseconds of a micro-batch, passed and of processor time."""
        print("step", file=self.process.stdin, flush=True)
        passed, spent = self._answer()
        return passed, spent

    def stop(self) -> None:
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
    prepare = prepare_ours if name == OURS else prepare_torch
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
    np.savez(folder / "ours.npz", **{key: np.asarray(value) for key, value in arrays.items()})
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
    with np.load(folder / "ours.npz") as ours:
        arrays = dict(ours)
    if not (folder / "equality.json").exists():
        truth = pytorch_step.Trainer(settings, arrays, torch.float64).gradients(batch)
        single = pytorch_step.Trainer(settings, arrays, torch.float32).gradients(batch)
        errors = {"ours": pytorch_step.errors(arrays, truth), "torch": pytorch_step.errors(single, truth)}
        (folder / "equality.json").write_text(json.dumps(errors))
    trainer = pytorch_step.Trainer(
        settings, arrays, torch.float32, channels_last="channels-last" in name, compile="compiled" in name
    )
    return lambda: trainer.step(batch)


if __name__ == "__main__":
    main()
