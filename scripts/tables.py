"""Write the tables of docs/ and results/ from the JSON files in results/.

    python scripts/tables.py

A page says `<!-- table: NAME -->` where a table begins and `<!-- end -->` where it ends; what stands between is what
the function TABLES[NAME] returns. To add a table, write a function, name it in TABLES, put the two lines into a page.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import band_tables
import caution_tables
import command
import judge_tables
import reliability_tables
import speed_tables
from layout import METHODS, RESULTS, ROOT, STYLE, Directions, across, interval, read, table

from gst_jax.runs.atomic import write_text

PAGES = (
    ROOT / "docs/measures.md",
    *(
        RESULTS / page
        for page in ("README.md", "elsewhere.md", "band.md", "training.md", "speed.md", "reliability.md")
    ),
)
PAIRS = ("folk_rock", "folk_jazz")

MAIN = ("conversion", "untrained generator", "equaliser", "untouched input", "true target, rearranged")
REAL_METHODS = (*METHODS[:7], "true target, training tracks")
CLOSENESS, CALLED = "log-mel distance (dB)", "songs called target"
MARKED = re.compile(r"(<!-- table: (.+?) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Rewrite every page."""
    for page in PAGES:
        write_text(page, filled(page.read_text(encoding="utf-8")))


def filled(text: str) -> str:
    """Return a page with each of its tables as the JSON files have it."""
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def directions(recipe: str) -> Directions:
    """Return the figures of a recipe's first seed, in all four directions."""
    runs = [read(f"evaluation_{pair}.json")["recipes"][recipe]["runs"][0] for pair in PAIRS]
    return by_direction(runs)


def real_directions() -> Directions:
    """Return the figures of the recordings in all four directions."""
    return by_direction([read(f"evaluation_real_{pair}.json") for pair in PAIRS])


def by_direction(runs: Iterable[dict[str, Any]]) -> Directions:
    """Put the directions of several evaluations side by side."""
    return {name.replace("_", " "): part for run in runs for name, part in run["directions"].items()}


def style_cell(figures: dict[str, Any]) -> str:
    return f"{interval(figures['style'][STYLE], 2)}, {figures['style'][CALLED][0]:.0%}"


def style() -> str:
    """Style distance with the songs called the target, of every method."""
    return across(directions("pretrained"), METHODS, style_cell)


def closeness() -> str:
    """Distance in dB to the same notes re-orchestrated with the notes kept, of every method."""

    def cell(figures: dict[str, Any]) -> str:
        kept = figures["content"]["note"]
        return f"{interval(figures['reorchestrated'][CLOSENESS], 1)}, {interval(kept, 2)}"

    return across(directions("pretrained"), METHODS, cell)


def summary_of_style() -> str:
    """The main methods without intervals, with what the untrained generator does better in words."""

    def cell(figures: dict[str, Any]) -> str:
        return f"{figures['style'][STYLE][0]:.2f}, {figures['style'][CALLED][0]:.0%}"

    found = directions("pretrained")
    return across(found, MAIN, cell) + "".join(f"\n\n{sentence}" for sentence in untrained_nearer(found))


def untrained_nearer(found: Directions) -> Iterator[str]:
    """Say for each direction in which the untrained generator is nearer in style than the trained one that it is."""
    for name, part in found.items():
        trained, untrained = (part["methods"][row]["style"][STYLE][0] for row in MAIN[:2])
        if untrained < trained:
            yield (
                f"From {name} the untrained generator is nearer in style than the trained model: {untrained:.2f} "
                f"against {trained:.2f}."
            )


def summary_of_closeness() -> str:
    """Distance to the re-orchestrated notes with the notes kept, of the main methods without intervals."""

    def cell(figures: dict[str, Any]) -> str:
        return f"{figures['reorchestrated'][CLOSENESS][0]:.1f} dB, {figures['content']['note'][0]:.2f}"

    return across(directions("pretrained"), MAIN, cell)


def criteria() -> str:
    """What is asked of a conversion, and how far it meets that."""
    found = directions("pretrained")
    rows = []
    for same in zip(*(part["criteria"] for part in found.values()), strict=True):
        label = re.sub(r"(best rival), .*| \(.*", r"\1", same[0][0])
        cells = (f"{value:.1%}" if met else f"**{value:.1%}**" for _, value, _, met in same)
        rows.append([label, f"{same[0][2]:.0%}", *cells])
    return table(["criterion", "at least", *found], rows)


def recipes() -> str:
    """The two recipes beside one another, each with its seeds."""

    def values(kind: str, measure: str, form: str, method: str = "conversion") -> str:
        return ", ".join(format(part["methods"][method][kind][measure][0], form) for part in parts)

    rows = []
    for pair in PAIRS:
        of_pair = read(f"evaluation_{pair}.json")["recipes"]
        for name in of_pair["pretrained"]["runs"][0]["directions"]:
            for recipe, tree in of_pair.items():
                parts = [run["directions"][name] for run in tree["runs"]]
                rows.append(
                    [
                        *(name.replace("_", " "), f"`{recipe}`"),
                        *(values("style", STYLE, ".2f"), values("style", STYLE, ".2f", "untrained generator")),
                        *(values("style", CALLED, ".0%"), values("reorchestrated", CLOSENESS, ".1f")),
                        values("content", "note", ".2f"),
                    ]
                )
    return table(
        ["direction", "recipe", "style", "style, untrained", "called target", "dB re-orchestrated", "notes"], rows
    )


def seeds() -> str:
    """What made each seed's figures."""
    rows = []
    for pair in PAIRS:
        for recipe, tree in read(f"evaluation_{pair}.json")["recipes"].items():
            made = {
                run["seed"]: f"{run['provenance']['date']}, commit {run['provenance']['commit'][:7]}"
                for run in tree["runs"]
            }
            rows.append([pair, f"`{recipe}`", *(made.get(seed, "") for seed in range(3))])
    return table(["pair", "recipe", "seed 0", "seed 1", "seed 2"], rows)


def ceiling() -> str:
    """What the same generator reaches when pairs teach it."""
    found = {name.replace("_", " "): part for name, part in read("ceiling.json")["directions"].items()}
    rows = []
    for method in ("taught by pairs", "conversion", "untouched input"):
        cells = (", ".join(interval(estimate, 1) for estimate in part[method].values()) for part in found.values())
        rows.append([method, *cells])
    return table(["log-mel, log-spectral distance in dB", *found], rows)


def real() -> str:
    """Style, songs called the target and notes on recordings."""

    def cell(figures: dict[str, Any]) -> str:
        kept = f", {figures['content']['note'][0]:.2f}" if "content" in figures else ""
        return style_cell(figures) + kept

    return across(real_directions(), REAL_METHODS, cell)


def training() -> str:
    """What training by the main command takes."""
    rows = []
    for pair in PAIRS:
        made = read(f"training_{pair}.json")
        rows.append(
            [
                *(pair, f"{made['steps']}", f"{made['updates']}", f"{made['skipped']}"),
                *(f"{made['seconds'] / 60:.1f} min", f"{made['compile_seconds']:.0f} s"),
                f"{made['measuring_seconds'] / made['seconds']:.1%}, best at minute {made['best_seconds'] / 60:.1f}",
                f"{made['peak_memory_mb'] / 1000:.1f} GB",
            ]
        )
    head = ["pair", "batches", "updates", "skipped", "stepping", "compilation", "of it measuring", "peak memory"]
    return table(head, rows)


def longer() -> str:
    """What held-out music says of one run as it goes on: every fourth measurement, and the best."""
    trained = [entry for entry in read("training_longer.json")["measures"] if entry["step"] > 0]
    best = max(trained, key=lambda entry: entry["score"])
    rows = [
        [
            f"{entry['step']}{', the best' if entry is best else ''}",
            *(f"{entry[key]:.3f}" for key in ("style", "notes", "score")),
        ]
        for entry in trained
        if entry is best or entry["step"] % 1600 == 0
    ]
    return table(["batches", "style", "notes", "score"], rows)


def treble() -> str:
    """The error above the mel bands, and the distance to the genre's mean there."""
    found = {name.replace("_", " to "): part for name, part in read("treble.json")["directions"].items()}
    methods = {"untouched": "untouched", "held gain": "gain of the highest band, held", "treble": "filled"}
    methods |= {"true target": "*true target*"}
    rows = [
        [title, *("{:.1f}, {:.1f}".format(*part[method]) for part in found.values())]
        for method, title in methods.items()
    ]
    return table(["dB", *found], rows)


TABLES: dict[str, Callable[[], str]] = {
    "summary of style": summary_of_style,
    "summary of closeness": summary_of_closeness,
    "style": style,
    "closeness": closeness,
    "criteria": criteria,
    "recipes": recipes,
    "seeds": seeds,
    "ceiling": ceiling,
    **{
        f"outside judge, {kind}": functools.partial(judge_tables.outside_judge, kind)
        for kind in ("own tunes", "bank", "mma", "real")
    },
    **{f"with a band, {kind}": functools.partial(judge_tables.with_a_band, kind) for kind in ("real", "bank", "mma")},
    "outside judge, seeds": judge_tables.seeds,
    "real": real,
    "reliability": reliability_tables.all_parts,
    "treble": treble,
    "band_hearing": band_tables.hearing,
    "band_hearing, by genre": band_tables.hearing_by_genre,
    "band_silent": band_tables.silent,
    "band_recordings": band_tables.joined,
    "band_content, alone": functools.partial(band_tables.content, "alone"),
    "band_content, mix": functools.partial(band_tables.content, "mix"),
    "band_cost": band_tables.cost,
    "borrowed, called": band_tables.borrowed_called,
    "borrowed, fit": band_tables.borrowed_fit,
    "borrowed, copying": band_tables.borrowed_copying,
    "borrowed, lengths": band_tables.borrowed_lengths,
    "training": training,
    "training, longer": longer,
    "bench": speed_tables.bench,
    "pytorch frames": functools.partial(speed_tables.pytorch, "bench_pytorch.json"),
    "pytorch pictures": functools.partial(speed_tables.pytorch, "bench_pytorch_pictures.json"),
    "profile": speed_tables.profile,
    "layers": speed_tables.layers,
    "growth": speed_tables.growth,
    "studio": speed_tables.studio,
    "cautions, songs": caution_tables.songs,
    "cautions, folders": caution_tables.folders,
    "cautions, copies": caution_tables.copies,
}

if __name__ == "__main__":
    command.run(main)
