"""Compare recipes at equal time: each trains on one core for the same minutes, then converts the validation tunes.

    python scripts/ablate.py --minutes=3 --out=results/ablations.json --table=results/ablations.md

One recipe runs on each core. Rows already in --out are kept, so that an interrupted comparison goes on;
--minutes=10,30 --rows="default;default, seed 1" measures only some recipes at those times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gst_jax import provenance
from gst_jax.config import read_run

RECIPES: dict[str, tuple[str, list[str]]] = {
    "default": ("frames", []),
    "default, seed 1": ("frames", ["training.seed=1"]),
    "default, seed 2": ("frames", ["training.seed=2"]),
    "cpu.toml": ("cpu", []),
    "no transport": ("frames", ["model.transport=0"]),
    "no transport, 64 mel bins": ("frames", ["model.transport=0", "audio.n_mels=64"]),
    "64 mel bins": ("frames", ["audio.n_mels=64"]),
    "cycle 10": ("frames", ["loss.cycle=10"]),
    "identity 0.5": ("frames", ["loss.identity=0.5"]),
    "gradient penalty 0.02, averaging 0.99": (
        "frames",
        ["loss.gradient_penalty=0.02", "training.ema_decay=0.99"],
    ),
    "no gradient penalty": ("frames", ["loss.gradient_penalty=0"]),
    "least squares": ("frames", ["loss.logistic=false"]),
    "batch of 8": ("frames", ["training.batch_size=8"]),
    "learning rate 1e-4": ("frames", ["training.learning_rate=1e-4"]),
    "not residual": ("frames", ["model.residual=false"]),
}
MEASURES = ("rearranged", "reorchestrated", "style", "called")
NOTHING_TRAINED = ("untouched input", "equaliser", "untrained generator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="folk_rock,folk_jazz")
    parser.add_argument("--minutes", default="3", help="of training, separated by commas")
    parser.add_argument("--rows", help="recipes, separated by semicolons (default: all)")
    parser.add_argument("--out", required=True, help="JSON file of the figures")
    parser.add_argument("--table", help="Markdown file to write")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure), NOTHING_TRAINED if arguments.rows == "default" else ())))
        return
    out = Path(arguments.out)
    result = json.loads(out.read_text()) if out.exists() else {"pairs": {}, "commands": []}
    names = arguments.rows.split(";") if arguments.rows else list(RECIPES)
    jobs = [
        (pair, name, float(minutes))
        for minutes in arguments.minutes.split(",")
        for name in names
        for pair in arguments.pairs.split(",")
    ]
    jobs = [job for job in jobs if key(*job[1:]) not in result["pairs"].get(job[0], {})]
    free = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor(len(free)) as pool:

        def work(job: tuple[str, str, float]) -> tuple[tuple[str, str, float], dict]:
            core = free.pop()
            try:
                return job, train_and_measure(*job, core)
            finally:
                free.append(core)

        for (pair, name, minutes), rows in pool.map(work, jobs):
            of_pair = result["pairs"].setdefault(pair, {})
            for row, figures in rows.items():
                if row == "conversion":
                    of_pair[key(name, minutes)] = figures
                else:
                    of_pair[row] = figures
            result["provenance"] = provenance.collect()
            result["commands"] = sorted({*result["commands"], result["provenance"]["command"]})
            temporary = out.with_name(out.name + ".tmp")
            temporary.write_text(json.dumps(result, indent=1) + "\n")
            temporary.replace(out)
            print(pair, table({key(name, minutes): of_pair[key(name, minutes)]}).splitlines()[-1], flush=True)
    if arguments.table:
        Path(arguments.table).write_text(document(result))


def key(name: str, minutes: float) -> str:
    """Name a row."""
    return f"{name} ({minutes:g} min)"


def train_and_measure(pair: str, name: str, minutes: float, core: int) -> dict:
    """Train one recipe on one core, then measure it there."""
    path, changes = RECIPES[name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        train = [
            sys.executable,
            "-m",
            "gst_jax.train",
            f"--pair={pair}",
            f"--config=configs/{path}.toml",
            f"--minutes={minutes}",
        ]
        train += [f"--run_dir={folder}/run", "--set=training.epochs=100000", "--set=training.checkpoint_every=100000"]
        train += [f"--set={change}" for change in changes]
        look = [sys.executable, __file__, "--out=-", f"--measure={folder}/run", f"--rows={name}"]
        for command in (train, look):
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
            if done.returncode:
                sys.exit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(run_dir: Path, also: Sequence[str]) -> dict:
    """Measure a run's conversion, with other rows of `evaluate`, on the validation tunes, without content."""
    from gst_jax.audio import log_mel
    from gst_jax.evaluation import hearing, scores
    from gst_jax.evaluation.rows import make_rows
    from gst_jax.evaluation.songs import PAIRED, gather
    from gst_jax.metrics import bootstrap, closeness

    run = read_run(run_dir)
    rate = run.config.audio.sample_rate
    material = gather(run, "validation")
    ear = hearing.train_ear(material.training, rate)
    steps = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])["step"]

    def distance(one, other):
        mels = (log_mel(hearing.common(waveform, rate), hearing.ANALYSIS) for waveform in (one, other))
        return closeness.log_mel_distance(*mels)

    reference = {
        genre: [hearing.hear_style(track, rate, ear) for track in tracks]
        for genre, tracks in material.reference.items()
    }
    found: dict = {}
    for (source, target), songs in material.songs.items():
        judge = scores.StyleJudge(ear, source, target, reference)
        rows = make_rows(run_dir, run, source, target, material.training)
        for row in ("conversion", *also):
            made = [rows[row](song.source) for song in songs]
            figures = {
                name: bootstrap.mean([distance(y, song.truths[name]) for y, song in zip(made, songs, strict=True)])
                for name in PAIRED
            }
            style = judge.measure([hearing.hear_style(waveform, rate, ear) for waveform in made])
            figures |= {"style": style["kernel distance to target"], "called": style["windows called target"]}
            found.setdefault(row, {})[f"{source} to {target}"] = figures
            found[row]["batches"] = 0 if row in NOTHING_TRAINED else steps
    return found


def table(rows: dict) -> str:
    """Lay rows out in Markdown."""
    directions = [name for name in next(iter(rows.values())) if name != "batches"]
    titles = [f"{direction}: {name}" for direction in directions for name in MEASURES]
    lines = ["| recipe | batches | " + " | ".join(titles) + " |", "|---" * (2 + len(titles)) + "|"]
    for row, figures in rows.items():
        cells = [cell(name, *figures[direction][name]) for direction in directions for name in MEASURES]
        lines.append(f"| {row} | {figures['batches']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(name: str, value: float, low: float, high: float) -> str:
    """Write a figure with its interval."""
    if name == "called":
        return f"{value:.0%} [{low:.0%}, {high:.0%}]"
    places = 2 if name == "style" else 1
    return f"{value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def document(result: dict) -> str:
    """Write the page."""
    commands = "\n".join(result["commands"])
    tables = "\n\n".join(f"## {pair}\n\n{table(rows)}" for pair, rows in result["pairs"].items())
    return f"""# Recipes at equal time

```bash
{commands}
```

Each recipe trained on one core of {result["provenance"]["cpu"]} for the minutes in brackets (compilation apart), two
at a time; then its averaged generators converted the 8 *validation* tunes, measured on the waveforms with 95 %
intervals over tunes. *default* is `configs/frames.toml`, and the others change one thing of it, but for
`cpu.toml`; the *untrained generator* is the default's, so the Gaussian transport alone. *Rearranged*,
*reorchestrated*: log-mel distance in dB to the true arrangement, to the same notes played by the target's
instruments. *Style*: kernel distance to real music of the target. *Called*: share of four-second windows that the
classifier takes for the target.

{tables}
"""


if __name__ == "__main__":
    main()
