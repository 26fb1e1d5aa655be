"""Make the page of examples: a test tune, its conversion, the equaliser's, the true arrangement, ten seconds of each.

    python scripts/examples.py --runs=pretrained/folk_rock,pretrained/folk_jazz --out=results/examples

Open results/examples/index.html.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import command
from absl import flags

from gst_jax import corpus, sound
from gst_jax.conversion.translator import Translator
from gst_jax.evaluation import rivals
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

TUNE = "tune_00.flac"
SECONDS = slice(4, 14)

_RUNS = flags.DEFINE_list("runs", None, "run directories, separated by commas", required=True)
_OUT = flags.DEFINE_string("out", None, "folder to write into", required=True)


def main() -> None:
    """Write the sounds and the page that plays them."""
    out = Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    sections = []
    for run in _RUNS.value:
        pair = RunDirectory.open(run).pair
        for source, target in (pair, pair[::-1]):
            players = []
            for title, version in versions(run, source, target).items():
                name = f"{source}_to_{target}_{title.replace(' ', '_')}.mp3"
                part = version.samples[SECONDS.start * version.sample_rate : SECONDS.stop * version.sample_rate]
                sound.write_wave(out / name, part, version.sample_rate)
                players.append(f'<p>{title}<br><audio controls preload="none" src="{name}"></audio></p>')
            sections.append(f"<section><h2>{source} to {target}</h2>{''.join(players)}</section>")
    write_text(
        out / "index.html",
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>gst_jax examples</title>'
        "<style>body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "section{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}h2{grid-column:1/-1}</style>"
        "<h1>gst_jax examples</h1><p>Ten seconds of a tune that no model has seen. The equaliser learns nothing: "
        f"it matches each mel band's level and spread.</p>{''.join(sections)}</html>\n",
    )


def versions(run: str, source: str, target: str) -> dict[str, sound.Sound]:
    """Return the sounds of one direction by title."""
    settings = RunDirectory.open(run)
    root = corpus.build(corpus.default_directory()) / "paired" / "test" / "rearranged"
    original, truth = (sound.read_wave(root / genre / TUNE) for genre in (source, target))
    before, after = (settings.statistics[genre] for genre in (source, target))
    conversion = Translator.from_run(run, to=target)
    equaliser = dataclasses.replace(conversion, generator=lambda log_mel: rivals.equalise(log_mel, before, after))
    found = {"input": original.samples}
    for title, translator in (("conversion", conversion), ("equaliser", equaliser)):
        found[title] = translator(original.samples, original.sample_rate)
    found["true arrangement"] = truth.samples
    return {
        title: sound.Sound(samples, original.sample_rate, original.format, original.subtype)
        for title, samples in found.items()
    }


if __name__ == "__main__":
    command.run(main)
