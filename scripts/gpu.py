"""Train the default and the 28M model on a GPU; hold losses and conversions against those of the CPU. Ten minutes.

    python scripts/gpu.py --out=results/gpu.json
    python scripts/gpu.py --out=gpu.json --rehearse=1 --steps=3      a toy on the CPU: that the script itself works

The same batches of noise train on both. The GPU multiplies in TF32, so that losses may differ by 2 % in the first
steps and conversions by 1 % of their deviation; beyond that the script ends with status 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import command
import numpy as np
from absl import flags

from gst_jax import config
from gst_jax.config import Config
from gst_jax.runs import provenance, startup
from gst_jax.runs.atomic import write_text

_OUT = flags.DEFINE_string("out", None, "JSON file to write", required=True)
_STEPS = flags.DEFINE_integer("steps", 300, "micro-batches to train", lower_bound=1)
_REHEARSE = flags.DEFINE_integer("rehearse", 0, "1: run on the CPU, with a toy in place of both models", 0, 1)
_REFERENCE = flags.DEFINE_string("reference", None, "for the script itself: the work that the CPU repeats")

_EXACT = "training.precision=float32"
MODELS = {"frames": 64, "full": 16}  # with the segments of a genre in a batch that fills a GPU
COMPARED = 5  # micro-batches whose losses are
LOSSES, CONVERSIONS = 0.02, 0.01  # tolerances
_FRAMES = 504  # of a conversion, eight seconds


def main() -> None:
    """Train and compare each model, or be the CPU that repeats it."""
    startup.prepare()
    if _REFERENCE.value:
        repeat(Path(_REFERENCE.value))
        return
    import jax

    if jax.default_backend() == "cpu" and not _REHEARSE.value:
        sys.exit(
            "gpu.py: JAX finds no GPU here; on a machine with one: pip install 'jax[cuda12]'. To try the script on "
            "this CPU, add --rehearse=1 --steps=3"
        )
    made: dict[str, Any] = {"device": jax.devices()[0].device_kind, "rehearsal": bool(_REHEARSE.value), "models": {}}
    for name, batch in MODELS.items():
        made["models"][name] = compare("smoke" if _REHEARSE.value else name, batch)
        print(json.dumps({name: made["models"][name]}, indent=1), flush=True)
    write_text(_OUT.value, json.dumps(made | {"provenance": provenance.collect()}, indent=1) + "\n")
    apart = [name for name, model in made["models"].items() if not model["agrees"]]
    if apart:
        sys.exit(f"gpu.py: {' and '.join(apart)} did not agree with the CPU; see {_OUT.value}")


def compare(name: str, batch: int) -> dict[str, Any]:
    """Train a model here, then the first steps on the CPU; say how far apart they were, and how fast it was here."""
    settings = config.load(name, [_EXACT])
    losses, parameters, milliseconds, compile_s = train(settings, _STEPS.value)
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder, "name"), name)
        np.savez(Path(folder, "generator.npz"), *_leaves(parameters))
        call = [sys.executable, *sys.argv, f"--reference={folder}"]
        subprocess.run(call, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=True)
        with np.load(Path(folder, "reference.npz")) as reference:
            expected, converted = reference["losses"], reference["converted"]
    count = len(expected)
    loss = float(np.max(np.abs(losses[:count] - expected) / np.abs(expected)))
    conversion = float(np.sqrt(np.mean((convert(settings, parameters) - converted) ** 2)) / converted.std())
    larger = config.load(name, [_EXACT, f"training.batch_size={2 if _REHEARSE.value else batch}"])
    _, _, filled, _ = train(larger, _STEPS.value)
    return {
        "steps": _STEPS.value,
        "losses_apart": loss,
        "conversions_apart": conversion,
        "agrees": loss < LOSSES and conversion < CONVERSIONS and bool(np.isfinite(losses).all()),
        "step_ms": milliseconds,
        "batch": larger.training.batch_size,
        "step_ms_of_that_batch": filled,
        "compile_s": compile_s,
        "last_loss": float(losses[-1]),
    }


def repeat(folder: Path) -> None:
    """Do on this device what is compared; write it down."""
    settings = config.load(Path(folder, "name").read_text(encoding="utf-8"), [_EXACT])
    losses, _, _, _ = train(settings, min(COMPARED, _STEPS.value))
    import jax

    from gst_jax.learning import cyclegan

    shapes = jax.tree.structure(cyclegan.parameter_shapes(settings)["generator"]["ab"])
    with np.load(folder / "generator.npz") as stored:
        generator = jax.tree.unflatten(shapes, [stored[name] for name in stored.files])
    np.savez(folder / "reference.npz", losses=losses, converted=convert(settings, generator))


def train(settings: Config, steps: int) -> tuple[np.ndarray, Any, float, float]:
    """Train on noise: the generators' losses, the generator ab, the median ms of a step, the s of compilation."""
    import jax

    from gst_jax.learning import cyclegan, stepping

    shape = (settings.training.batch_size, settings.audio.segment_frames, settings.audio.n_mels)

    def batch_at(step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((0, step % 16))
        return {part: rng.standard_normal(shape, np.float32) for part in cyclegan.PARTS}

    placement = stepping.place(settings)
    step, compile_s = stepping.compile_step(settings, placement, batch_at(0))
    state = placement.state(cyclegan.init_state(settings))
    losses, times = [], []
    for number in range(steps):
        batch = placement.batch(batch_at(number))
        start = time.perf_counter()
        state, parts = step(state, batch)
        jax.block_until_ready((state, parts))
        times.append(time.perf_counter() - start)
        losses.append(float(parts["generator/total"]))
    generator = jax.tree.map(np.asarray, state.parameters["generator"]["ab"])
    return np.array(losses), generator, 1e3 * float(np.median(times[1:] or times)), compile_s


def convert(settings: Config, generator: Any) -> np.ndarray:
    """Translate eight seconds of noise, standardised: float32 [T, M]."""
    import jax

    from gst_jax.learning import cyclegan

    noise = np.random.default_rng(1).standard_normal((1, _FRAMES, settings.audio.n_mels), np.float32)
    translate = jax.jit(lambda parameters, log_mel: cyclegan.translate(parameters, settings.model, log_mel))
    return np.asarray(translate(generator, noise))[0]


def _leaves(tree: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


if __name__ == "__main__":
    command.run(main)
