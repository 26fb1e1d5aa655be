"""Make the page of examples: test tunes that no model has seen, converted by the bundled models.

    python scripts/examples.py --runs=folk_rock,folk_jazz --out=results/examples

Open results/examples/index.html.
"""

from __future__ import annotations

from pathlib import Path

import command
from absl import flags

from gst_jax import __version__, corpus
from gst_jax.presentation import listening, player, sections
from gst_jax.runs.atomic import write_text
from gst_jax.runs.directory import RunDirectory

TUNE = "tune_00.flac"
STRENGTHS = (0.5, 1.0)
HINTS = {
    ("folk", "rock"): "Do the plucked strings get the weight and the grit of amplified guitars? "
    "No drummer comes out of them: for that there is the band.",
    ("rock", "folk"): "Do guitars and drums lose their force, so that what is left could be played in a living room?",
    ("folk", "jazz"): "Do the strings become rounder and warmer, nearer to keys and a bass? "
    "With the band a trio walks along.",
    ("jazz", "folk"): "Do keys and cymbals step back behind something plucked? The swing of the players stays.",
}
INTRODUCTION = """<h1>Hear gst_jax</h1>
<p class="lead">Tunes that no model has seen, converted by the two bundled models, beside what learned nothing and
beside the truth: the same tune, arranged for the other genre.</p>
<p>Press <b>Play</b>, then switch while it plays: the place stays, and all versions are equally loud. Three things to
listen for. Is <b>Converted</b> more than the <b>Equaliser</b>, which only evens out levels? How far is it from the
<b>true</b> arrangement, where musicians play other notes? And are tune and rhythm of the <b>Original</b> still
there?</p>
"""
ENDING = f"""<p>Made with gst_jax {__version__} by <code>python scripts/examples.py --runs=folk_rock,folk_jazz
--out=results/examples</code>. The sounds are small MP3s in mono; what <code>gst_jax convert</code> writes is as good
as the song.</p>"""

_RUNS = flags.DEFINE_list("runs", None, "runs, by path or bundled name, separated by commas", required=True)
_OUT = flags.DEFINE_string("out", None, "folder to write into", required=True)


def main() -> None:
    """Write the page, with its sounds in it."""
    out = Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    root = corpus.build(corpus.default_directory()) / "paired" / "test" / "rearranged"
    players = []
    for name in _RUNS.value:
        run = RunDirectory.open(name)
        for source, target in (run.pair, run.pair[::-1]):
            song = listening.song("test tune", source, target, root / source / TUNE, root / target / TUNE)
            entries = [
                player.entry(version, f"{source}_to_{target}") for version in listening.versions(run, song, STRENGTHS)
            ]
            title = f"{source.capitalize()} to {target}"
            players.append(player.player(title, entries, target, HINTS[source, target]))
    body = INTRODUCTION + "<h2>Listen</h2>" + sections.KEYS + sections.played(players) + ENDING
    write_text(out / "index.html", player.page("Hear gst_jax", body))


if __name__ == "__main__":
    command.run(main)
