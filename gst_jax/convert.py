"""Turn songs, and folders of songs, into another genre.

  gst_jax convert song.mp3 --to=jazz
  gst_jax convert my_music --run=runs/folk_metal --to=metal --out=metal

song.mp3 becomes converted/song.jazz.mp3: as long, as loud, of the same kind.
Nothing is replaced.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from gst_jax.runs import command_line, terminal

if TYPE_CHECKING:
    from gst_jax.conversion import planning
    from gst_jax.conversion.accompaniment import Band
    from gst_jax.conversion.translator import Translator

_TO = flags.DEFINE_string("to", None, "Genre to convert to, one of the run's pair.", required=True)
_RUN = flags.DEFINE_string("run", None, "Run of gst_jax train, or a bundled one by name; default: the one that fits.")
_OUT = flags.DEFINE_string("out", "converted", "Folder to write song.GENRE.mp3 and the like to.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist; else they are left as they are.")
_STRENGTH = flags.DEFINE_list("strength", ["1"], "0 gives the input back, 1 converts wholly; several: a file each.")
_BAND = flags.DEFINE_float(
    "band", 0.0, "How loud a band of that genre plays along: 0 not at all, 1 well, 2 twice that."
)
_STEMS = flags.DEFINE_string("stems", None, "Folder to write song and band to apart, and the band's part as MIDI.")
_ROUTE = flags.DEFINE_string("route", None, "How sound is made: filled (default), gain (closest to the source), ...")
_FORMAT = flags.DEFINE_string("format", None, "wav, flac, ogg, opus, mp3, m4a or aiff; default: as each input.")
_QUALITY = flags.DEFINE_integer("quality", 0, "kbit/s of lossy outputs; default: as each input's.", 0, 1000)
_JOBS = flags.DEFINE_integer("jobs", None, "Files converted at once; default: half the cores, up to 4.", 1)
_BYPASS_MODEL = flags.DEFINE_bool("bypass_model", False, "Leave the log-mel as it is: only analysis and resynthesis.")


def main(arguments: list[str]) -> None:
    """Check every input, load the generator, convert."""
    from gst_jax.runs import startup

    with startup.plain_messages("the files listed are done, and the same command goes on with the others"):
        from gst_jax.conversion import planning, synthesis
        from gst_jax.conversion.accompaniment import Band
        from gst_jax.conversion.translator import Translator, check_strength
        from gst_jax.runs.directory import RunDirectory, bundled_run

        run = RunDirectory.open(_RUN.value or bundled_run(_TO.value))
        if not _OUT.value or not _STRENGTH.value:
            raise ValueError("--out and --strength must not be empty; as in --out=converted --strength=1")
        strengths = [check_strength(text) for text in _STRENGTH.value]
        if numbers := [text for text in arguments if text.replace(".", "").isdigit() and not Path(text).exists()]:
            raise ValueError(f"{numbers[0]} does not exist; several strengths are --strength=0.3,0.6")
        route = _ROUTE.value or synthesis.DEFAULT_ROUTE
        synthesis.check_route(route)
        band = Band(_TO.value, _BAND.value) if _BAND.value else None
        if _STEMS.value and not band:
            raise ValueError("--stems writes song and band apart; ask for a band, too, as with --band=1")
        stems = planning.Stems(Path(_STEMS.value), _OVERWRITE.value) if _STEMS.value else None
        label = f"{_TO.value}_bypass" if _BYPASS_MODEL.value else _TO.value
        label += band.label if band else ""
        labels = [label if strength == 1 else f"{label}-{strength:g}" for strength in strengths]
        options = (_FORMAT.value, 1000 * _QUALITY.value, _OVERWRITE.value)
        plans = [planning.plan(arguments, _OUT.value, label, *options) for label in labels]
        load = Translator.bypass if _BYPASS_MODEL.value else Translator.from_run
        translator = load(run, to=_TO.value)
        band = band and band.from_run(run, terminal.Bar)
        _convert(plans, strengths, translator, route, band, stems)


def _convert(
    plans: list[planning.Plan],
    strengths: list[float],
    translator: Translator,
    route: str,
    band: Band | None,
    stems: planning.Stems | None,
) -> None:
    """Do what can be done, then list what could not."""
    from gst_jax.conversion import jobs

    failed = list(dict.fromkeys(message for plan in plans for message in plan.refused))
    for plan, strength in zip(plans, strengths, strict=True):
        if plan.jobs:
            more = (lambda job: terminal.say(str(job.target), sys.stdout), band, stems, _JOBS.value)
            failed += jobs.convert(plan.jobs, translator, _OUT.value, strength, route, terminal.Bar, *more)
    existing = [target for plan in plans for target in plan.existing]
    if existing:
        print(f"left as they are, {len(existing)} in all: {existing[0]} ...; --overwrite replaces them")
    if foreign := plans[0].foreign:
        print(f"left out, {len(foreign)} in all, which nothing here reads: {foreign[0]} ...")
    if failed:
        sys.exit("\n".join(["gst_jax: not converted:", *failed]))


if __name__ == "__main__":
    command_line.run(main, takes_files=True)
