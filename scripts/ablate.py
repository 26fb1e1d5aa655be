"""Compare recipes at equal time: each trains on one core for the same minutes, then converts the validation tunes.

    python scripts/ablate.py --minutes=3 --out=results/ablations.json --table=results/ablations.md

One recipe runs on each core. Rows already in --out are kept, so that an interrupted comparison goes on;
--minutes=10,30 --rows="default;default, seed 1" measures only some recipes at those times, the longer training going
on where the shorter one ended. --runs=FOLDER keeps what was trained, so that measuring it anew needs no training.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from variants import VARIANTS

from gst_jax.runs import provenance
from gst_jax.runs.directory import RunDirectory

RECIPES: dict[str, tuple[str, list[str]]] = {  # those of `variants.py` change the code, too
    "default": ("frames", []),
    "default, seed 1": ("frames", ["training.seed=1"]),
    "default, seed 2": ("frames", ["training.seed=2"]),
    "cpu.toml": ("cpu", []),
    "no transport": ("frames", ["model.transport_taps=0"]),
    "64 mel bins": ("frames", ["audio.n_mels=64", "model.channels=192"]),  # as many parameters
    "128 mel bins": ("frames", ["audio.n_mels=128", "model.channels=150"]),
    "cycle 10": ("frames", ["loss.cycle=10"]),
    "identity 0.5": ("frames", ["loss.identity=0.5"]),
    "no gradient penalty": ("frames", ["loss.gradient_penalty=0"]),
    "least squares": ("frames", ["loss.adversarial_loss=least_squares"]),
    "batch of 8": ("frames", ["training.batch_size=8"]),
    "learning rate 1e-4": ("frames", ["training.learning_rate=1e-4"]),
    "accumulation 4": ("frames", ["training.accumulation_steps=4"]),
    "segments of 4 s": ("frames", ["audio.segment_seconds=4"]),
    "averaged four times as long": ("frames", ["training.ema_decay=0.9995"]),
    "not residual": ("frames", ["model.residual=false"]),
    "transposed copies": ("frames", ["data.speed_semitones=2"]),
    "half an hour of music": ("frames", ["data.corpus_tracks=60"]),
    "two hours of music": ("frames", ["data.corpus_tracks=240"]),
    "hinge": ("frames", []),
    "spectral norm": ("frames", ["loss.gradient_penalty=0"]),
    "augmentation": ("frames", []),
    "two scales": ("frames", []),
    "PatchNCE": ("frames", []),
    "filling in": ("frames", []),
}
MEASURES = ("rearranged", "reorchestrated", "style", "called")
NOTHING_TRAINED = ("untouched input", "equaliser", "untrained generator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="folk_rock,folk_jazz")
    parser.add_argument("--minutes", default="3", help="of training, separated by commas")
    parser.add_argument("--runs", help="folder to keep the run directories in (default: none is kept)")
    parser.add_argument("--rows", help="recipes, separated by semicolons (default: all)")
    parser.add_argument("--out", required=True, help="JSON file of the figures")
    parser.add_argument("--table", help="Markdown file to write")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure), arguments.rows)))
        return
    out = Path(arguments.out)
    result = json.loads(out.read_text()) if out.exists() else {"pairs": {}, "commands": []}
    names = arguments.rows.split(";") if arguments.rows else list(RECIPES)
    minutes = sorted(float(text) for text in arguments.minutes.split(","))
    jobs = []
    for name in names:
        for pair in arguments.pairs.split(","):
            missing = [time for time in minutes if key(name, time) not in result["pairs"].get(pair, {})]
            if missing:
                jobs.append((pair, name, missing))
    free = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor(len(free)) as pool, tempfile.TemporaryDirectory() as scratch:
        runs = Path(arguments.runs or scratch)

        def work(job: tuple[str, str, list[float]]) -> list[tuple[str, str, float, dict]]:
            core = free.pop()
            try:
                return [(*job[:2], time, rows) for time, rows in train_and_measure(*job, runs, core)]
            finally:
                free.append(core)

        for pair, name, time, rows in itertools.chain.from_iterable(pool.map(work, jobs)):
            of_pair = result["pairs"].setdefault(pair, {})
            for row, figures in rows.items():
                if row == "conversion":
                    of_pair[key(name, time)] = figures
                else:
                    of_pair[row] = figures
            result["provenance"] = provenance.collect()
            result["commands"] = sorted({*result["commands"], result["provenance"]["command"]})
            temporary = out.with_name(out.name + ".tmp")
            temporary.write_text(json.dumps(result, indent=1) + "\n")
            temporary.replace(out)
            print(pair, table({key(name, time): of_pair[key(name, time)]}).splitlines()[-1], flush=True)
    if arguments.table:
        Path(arguments.table).write_text(document(result))


def key(name: str, minutes: float) -> str:
    """Name a row."""
    return f"{name} ({minutes:g} min)"


def train_and_measure(
    pair: str, name: str, minutes: Sequence[float], runs: Path, core: int
) -> Iterator[tuple[float, dict]]:
    """Train one recipe on one core, and measure it there whenever it has trained for one of the minutes."""
    path, changes = RECIPES[name]
    changes = ["training.epochs=1000000", "training.checkpoint_every=1000000", *changes]
    before, trained = None, 0.0
    for time in minutes:
        run = runs / pair / key(name, time)
        if not run.exists():
            unfinished = run.with_name(f"{run.name}.tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            if before:
                shutil.copytree(before, unfinished)
            program = (
                [str(Path(__file__).with_name("variants.py")), name] if name in VARIANTS else ["-m", "gst_jax.train"]
            )
            train = [sys.executable, *program, f"--pair={pair}", f"--config=configs/{path}.toml"]
            train += [f"--minutes={time - trained}", f"--run_dir={unfinished}"]
            on_core([*train, *(f"--set={change}" for change in changes)], core)
            unfinished.rename(run)
        before, trained = run, time
        look = [sys.executable, __file__, "--out=-", f"--measure={run}", f"--rows={name}"]
        yield time, json.loads(on_core(look, core).splitlines()[-1])


def on_core(command: Sequence[str], core: int) -> str:
    """Run a command on one core; return what it printed."""
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def measure(run_dir: Path, name: str) -> dict:
    """Measure a recipe's conversion on the validation tunes, beside the default's what needs no training."""
    from gst_jax.evaluation import hearing, scores
    from gst_jax.evaluation.methods import make_rows
    from gst_jax.evaluation.metrics import bootstrap, closeness
    from gst_jax.evaluation.songs import PAIRED, gather
    from gst_jax.sound import log_mel

    if name in VARIANTS:
        VARIANTS[name]()  # or a checkpoint would hold another network than the one expected
    run = RunDirectory.open(run_dir)
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
        rows = make_rows(run, source, target, material)
        for row in ("conversion", *(NOTHING_TRAINED if name == "default" else ())):
            made = [rows[row](song.source) for song in songs]
            figures = {
                kind: bootstrap.mean([distance(y, song.truths[kind]) for y, song in zip(made, songs, strict=True)])
                for kind in PAIRED
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
    for row in sorted(rows, key=place):
        figures = rows[row]
        cells = [cell(name, *figures[direction][name]) for direction in directions for name in MEASURES]
        lines.append(f"| {row} | {figures['batches']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def place(row: str) -> tuple[int, float]:
    """Order rows: what is not trained, then the recipes as they stand above, each by its minutes."""
    name, _, minutes = row.partition(" (")
    return (-1, 0.0) if row in NOTHING_TRAINED else (list(RECIPES).index(name), float(minutes.removesuffix(" min)")))


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
at a time; then its averaged generators converted the 4 *validation* tunes each way, measured on the waveforms with
95 % intervals over tunes. *default* is `configs/frames.toml`, and the others change one thing of it, but for
`cpu.toml`; those from *hinge* on are functions of `scripts/variants.py`, which tell what they do; the *untrained
generator* is the default's, so the Gaussian transport alone. *Rearranged*, *reorchestrated*: log-mel distance in dB
to the true arrangement, to the same notes played by the target's instruments. *Style*: kernel distance to real music
of the target. *Called*: share of four-second windows that the classifier takes for the target.

{tables}
"""


if __name__ == "__main__":
    main()
