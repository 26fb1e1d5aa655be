"""Train a recipe with three seeds, measure each on the test tunes, keep the figures in one JSON file for the pair.

    python scripts/seeds.py --pair=folk_rock                       what gst_jax.train does without settings
    python scripts/seeds.py --pair=folk_rock --recipe=pretrained --recordings=DIR   what pretrained/ holds

DIR holds a folder for each genre with the recordings that pretrained/README.md lists.

Writes results/evaluation_PAIR.json and runs/PAIR_RECIPE_seed0, 1, 2. The same command goes on where it was stopped;
a seed that the JSON file already holds is left as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import command
from absl import app, flags

RECIPES = {
    "default": [],
    "batches_of_four": ["training.batch_size=4", "training.learning_rate=6e-4", "training.ema_decay=0.996"]
    + ["training.measure_every=200"],
    "sixty_epochs": ["training.epochs=60", "training.precision=float32"],  # what the default was
    "half_hour": ["data.corpus_tracks=60", "training.epochs=14"],
    # Half an hour of the corpus a genre, with real recordings.
    "pretrained": ["data.corpus_tracks=60", "data.held_out_fraction=0", "training.epochs=14"]
    + ["training.measure_every=2500", "training.patience=0"],
}
SEEDS = (0, 1, 2)

_PAIR = flags.DEFINE_string("pair", None, "two genres of the built-in corpus, as folk_rock", required=True)
_RECIPE = flags.DEFINE_enum("recipe", "default", list(RECIPES), "settings to train with")
_RECORDINGS = flags.DEFINE_string("recordings", None, "folder of recordings to train on beside the corpus")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in SEEDS], "which to train")


def main() -> None:
    """Train and measure what is missing."""
    from gst_jax.runs import startup

    startup.prepare()
    if (_RECIPE.value == "pretrained") != bool(_RECORDINGS.value):
        raise app.UsageError("--recordings goes with --recipe=pretrained")
    with startup.plain_messages():
        complete(
            Path("results", f"evaluation_{_PAIR.value}.json"),
            _PAIR.value,
            _RECIPE.value,
            [int(seed) for seed in _SEEDS.value],
        )


def complete(out: Path, pair: str, recipe: str, seeds: Sequence[int] = SEEDS) -> None:
    """Train, measure and write down each seed of a recipe that a JSON file lacks."""
    from gst_jax.runs.atomic import write_text

    tree = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"pair": pair, "recipes": {}}
    runs = tree["recipes"].setdefault(recipe, {"settings": RECIPES[recipe], "runs": []})["runs"]
    for seed in seeds:
        if all(run["seed"] != seed for run in runs):
            run_dir = Path("runs", f"{pair}_{recipe}_seed{seed}")
            train(pair, [*RECIPES[recipe], f"training.seed={seed}"], run_dir)
            runs.append({"seed": seed, **measure(run_dir)})
            write_text(out, json.dumps(tree, indent=1) + "\n")


def train(pair: str, settings: list[str], run_dir: Path) -> None:
    """Train one seed to its end."""
    from tqdm import tqdm

    from gst_jax import config, data
    from gst_jax.evaluation import held_out
    from gst_jax.learning import loop

    with tqdm(desc=run_dir.name, unit="batch") as bar:
        summary = loop.train(
            config.parse_pair(pair),
            config.load(None, settings),
            run_dir,
            audio_dirs=(data.CORPUS, _RECORDINGS.value) if _RECORDINGS.value else (),
            listen=held_out.prepare,
            on_step=shown(bar),
            progress=tqdm,
        )
    if summary.interrupted:
        sys.exit(130)


def shown(bar: Any) -> Callable[[int, int, dict[str, float]], None]:
    """Return what moves a progress bar at each step."""

    def on_step(step: int, total: int, _: dict[str, float]) -> None:
        bar.total = total
        bar.update(step - bar.n)

    return on_step


def measure(run_dir: Path) -> dict[str, Any]:
    """Measure one seed on the test tunes."""
    from tqdm import tqdm

    from gst_jax import evaluation
    from gst_jax.runs import provenance

    return {"provenance": provenance.collect(), **evaluation.evaluate(run_dir, "test", progress=tqdm)}


if __name__ == "__main__":
    command.run(main)
