"""Compare recipes at equal time: each trains on one core for the same minutes, then converts the validation tunes.

    python scripts/ablate.py --pair=folk_jazz --minutes=3 --out=results/ablations.json --table=results/ablations.md

Two recipes run at once, on a core each. Rows already in --out are kept, so that an interrupted comparison goes on;
--minutes=10,30 measures only the recipes named by --rows at those times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gst_jax import provenance
from gst_jax.config import read_run

FRAMES = "configs/frames.toml"
RECIPES: dict[str, tuple[str, list[str]]] = {
    "cpu.toml": ("configs/cpu.toml", []),
    "cpu.toml, an update each batch at 3e-4": (
        "configs/cpu.toml",
        ["training.accumulation_steps=1", "training.learning_rate=3e-4"],
    ),
    "frames.toml": (FRAMES, []),
    "frames.toml, no gradient penalty": (FRAMES, ["loss.gradient_penalty=0", "training.learning_rate=2e-4"]),
    "frames.toml, least squares": (FRAMES, ["loss.logistic=false"]),
    "frames.toml, cycle 10, identity 5": (FRAMES, ["loss.cycle=10", "loss.identity=5"]),
    "frames.toml, batch of 8": (FRAMES, ["training.batch_size=8"]),
    "frames.toml, not residual": (FRAMES, ["model.residual=false"]),
    "frames.toml, seed 1": (FRAMES, ["training.seed=1"]),
    "frames.toml, seed 2": (FRAMES, ["training.seed=2"]),
}
MEASURES = ("rearranged", "reorchestrated", "style", "called")
NOTHING_TRAINED = ("untouched input", "equaliser")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="folk_jazz")
    parser.add_argument("--minutes", default="3", help="of training, separated by commas")
    parser.add_argument("--rows", help="recipes, separated by semicolons (default: all)")
    parser.add_argument("--out", required=True, help="JSON file of the figures")
    parser.add_argument("--table", help="Markdown file to write")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure), first=arguments.rows == "first")))
        return
    out = Path(arguments.out)
    result = json.loads(out.read_text()) if out.exists() else {"pair": arguments.pair, "rows": {}}
    if result["pair"] != arguments.pair:
        sys.exit(f"{out} is of {result['pair']}; name another --out for {arguments.pair}")
    names = arguments.rows.split(";") if arguments.rows else list(RECIPES)
    jobs = [(name, float(minutes)) for minutes in arguments.minutes.split(",") for name in names]
    jobs = [job for job in jobs if key(*job) not in result["rows"]]
    cores = sorted(os.sched_getaffinity(0))
    free = list(cores)
    with ThreadPoolExecutor(len(cores)) as pool:

        def work(job: tuple[str, float]) -> tuple[tuple[str, float], dict]:
            core = free.pop()
            try:
                return job, train_and_measure(*job, arguments.pair, core, first=not result["rows"])
            finally:
                free.append(core)

        for (name, minutes), rows in pool.map(work, jobs):
            for row, figures in rows.items():
                result["rows"][row if row in NOTHING_TRAINED else key(name, minutes)] = figures
            result["provenance"] = provenance.collect()
            temporary = out.with_name(out.name + ".tmp")
            temporary.write_text(json.dumps(result, indent=1) + "\n")
            temporary.replace(out)
            print(table({key(name, minutes): result["rows"][key(name, minutes)]}).splitlines()[-1], flush=True)
    if arguments.table:
        Path(arguments.table).write_text(document(result))


def key(name: str, minutes: float) -> str:
    """Name a row."""
    return f"{name} ({minutes:g} min)"


def train_and_measure(name: str, minutes: float, pair: str, core: int, first: bool) -> dict:
    """Train one recipe on one core, then measure it there."""
    path, changes = RECIPES[name]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        train = [sys.executable, "-m", "gst_jax.train", f"--pair={pair}", f"--config={path}", f"--minutes={minutes}"]
        train += [f"--run_dir={folder}/run", "--set=training.epochs=100000", "--set=training.checkpoint_every=100000"]
        train += [f"--set={change}" for change in changes]
        look = [sys.executable, __file__, "--out=-", f"--measure={folder}/run", f"--rows={'first' if first else ''}"]
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


def measure(run_dir: Path, first: bool) -> dict:
    """Measure a run on the validation tunes as `evaluate` does, without content; with what needs no training too."""
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
        for row in ("conversion", *(NOTHING_TRAINED if first else ())):
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
    made = result["provenance"]
    return f"""# Recipes at equal time

```bash
{made["command"]}
```

Each recipe trained on one core of {made["cpu"]} for the minutes in brackets (compilation apart), two at a time,
on `{result["pair"]}`; then its averaged generators converted the 8 *validation* tunes, measured on the waveforms with
95 % intervals over tunes. *Rearranged*, *reorchestrated*: log-mel distance in dB to the true arrangement, to the same
notes played by the target's instruments. *Style*: kernel distance to real music of the target. *Called*: share of
four-second windows that the classifier takes for the target.

{table(result["rows"])}
"""


if __name__ == "__main__":
    main()
