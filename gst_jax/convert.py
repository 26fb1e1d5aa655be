"""Convert songs: python -m gst_jax.convert --run=runs/folk_jazz --to=jazz song.mp3 folder/ --out=converted."""

from __future__ import annotations

import sys

from absl import app, flags

_RUN = flags.DEFINE_string("run", None, "Run directory of gst_jax.train.", required=True)
_TO = flags.DEFINE_string("to", None, "Genre to convert to, one of the run's pair.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to; never one that would replace an input.", required=True)
_STRENGTH = flags.DEFINE_float("strength", 1.0, "0 gives the input back, 1 converts wholly.", 0.0, 1.0)
_ROUTE = flags.DEFINE_string("route", None, "How sound is made of the converted log-mel; default: gain.")
_FORMAT = flags.DEFINE_string("format", None, "wav, flac, ogg, mp3 or aiff; default: as each input.")
_BYPASS_MODEL = flags.DEFINE_bool("bypass_model", False, "Leave the log-mel as it is: only analysis and resynthesis.")


def main(arguments: list[str]) -> None:
    """Check every input, load the generator, convert."""
    try:
        from tqdm import tqdm

        from gst_jax import conversion, synthesis
        from gst_jax.inference import Translator

        route = _ROUTE.value or synthesis.DEFAULT_ROUTE
        synthesis.check_route(route)
        jobs = conversion.plan(arguments[1:], _OUT.value, _FORMAT.value)
        load = Translator.bypass if _BYPASS_MODEL.value else Translator.from_run
        translator = load(_RUN.value, to=_TO.value)
        conversion.convert(jobs, translator, _OUT.value, _STRENGTH.value, route, progress=tqdm)
        print(f"converted {len(jobs)} file{'s' * (len(jobs) != 1)} to {_TO.value}: {_OUT.value}")
    except (ValueError, OSError) as error:
        sys.exit(f"gst_jax: {error}")


if __name__ == "__main__":
    app.run(main)
