"""Convert songs: python -m gst_jax.convert --run=runs/folk_jazz --to=jazz song.mp3 folder/ --out=converted."""

from __future__ import annotations

from pathlib import Path

from absl import app, flags, logging

_RUN = flags.DEFINE_string("run", None, "Run directory of gst_jax.train.", required=True)
_TO = flags.DEFINE_string("to", None, "Genre to convert to, one of the run's pair.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to; an input is never replaced.", required=True)
_STRENGTH = flags.DEFINE_list("strength", ["1"], "0 gives the input back, 1 converts wholly; several: a folder each.")
_ROUTE = flags.DEFINE_string("route", None, "How sound is made: filled (default), gain (closest to the source), ...")
_FORMAT = flags.DEFINE_string("format", None, "wav, flac, ogg, mp3 or aiff; default: as each input.")
_BYPASS_MODEL = flags.DEFINE_bool("bypass_model", False, "Leave the log-mel as it is: only analysis and resynthesis.")


def main(arguments: list[str]) -> None:
    """Check every input, load the generator, convert."""
    logging.set_verbosity(logging.WARNING)
    from gst_jax.runs import startup

    with startup.plain_messages():
        from tqdm import tqdm

        from gst_jax.conversion import jobs, synthesis
        from gst_jax.conversion.translator import Translator, check_strength

        strengths = [check_strength(text) for text in _STRENGTH.value]
        route = _ROUTE.value or synthesis.DEFAULT_ROUTE
        synthesis.check_route(route)
        several = len(strengths) > 1
        outs = [Path(_OUT.value, f"strength_{strength:g}") if several else Path(_OUT.value) for strength in strengths]
        plans = [jobs.plan(arguments[1:], out, _FORMAT.value) for out in outs]
        load = Translator.bypass if _BYPASS_MODEL.value else Translator.from_run
        translator = load(_RUN.value, to=_TO.value)
        for out, planned, strength in zip(outs, plans, strengths, strict=True):
            jobs.convert(planned, translator, out, strength, route, progress=tqdm)
            print(f"converted {len(planned)} file{'s' * (len(planned) != 1)} to {_TO.value}: {out}")


if __name__ == "__main__":
    app.run(main)
