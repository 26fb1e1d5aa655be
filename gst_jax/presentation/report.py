"""Write the page that shows a run: samples to hear, pictures, settings, all in one HTML file."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gst_jax import config, data, sound
from gst_jax.conversion.translator import Translator
from gst_jax.presentation.pictures import draw_curves, draw_spectrograms
from gst_jax.runs.atomic import replacing, write_text
from gst_jax.runs.directory import RunDirectory
from gst_jax.types import Progress

_SECONDS = 10.0  # of each sample


def write(run_dir: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Convert a sample in both directions, draw the pictures, then bind all into `report.html`.

    The samples come from tracks that the run did not train on, where there are any. Every file is replaced whole.

    Args:
        run_dir: of a run with a checkpoint.
        progress: called like `tqdm.tqdm` on the conversions.

    Returns:
        The path of `report.html`.

    Raises:
        ConfigError, AudioError: when there is no such run, or its audio changed.
    """
    run = RunDirectory.open(run_dir)
    samples = _samples(run, progress)
    run.samples.mkdir(exist_ok=True)
    run.pictures.mkdir(exist_ok=True)
    for name, sample in samples.items():
        sound.write_wave(_sample_file(run, name), sample.samples, sample.sample_rate, "PCM_16")
    entries, measures = _lines(run.log), _lines(run.measures)
    curves = _save(draw_curves(entries, measures, run.config), run.pictures / "training_curves.png")
    spectrograms = _save(draw_spectrograms(run, samples), run.pictures / "spectrograms.png")
    write_text(run.report, _page(run, _progress_facts(entries, measures), list(samples), curves, spectrograms))
    return run.report


def _samples(run: RunDirectory, progress: Progress | None) -> dict[str, sound.Sound]:
    """Return the originals of both genres, each followed by its conversion, by name."""
    a, b = run.pair
    tracks = data.sample_tracks(run)
    directions: Iterable[tuple[str, str]] = ((a, b), (b, a))
    if progress is not None:
        directions = progress(directions, total=2, desc="samples", unit="direction")
    samples = {}
    for source, target in directions:
        original = _excerpt(tracks[source])
        converted = Translator.from_run(run, to=target)(original.samples, original.sample_rate)
        samples[f"real_{source}"] = original
        samples[f"fake_{target}_from_{source}"] = sound.Sound(
            converted, original.sample_rate, original.format, original.subtype
        )
    return samples


def _excerpt(path: Path) -> sound.Sound:
    """Read the middle of a track."""
    track = sound.read_wave(path)
    length = int(_SECONDS * track.sample_rate)
    start = max(0, (len(track.samples) - length) // 2)
    return sound.Sound(track.samples[start : start + length], track.sample_rate, track.format, track.subtype)


def _sample_file(run: RunDirectory, name: str) -> Path:
    return run.samples / f"{name}.wav"


def _lines(log: Path) -> list[dict[str, float]]:
    """Return the lines of a log, none where nothing was written."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def _page(run: RunDirectory, progress: dict[str, str], samples: list[str], curves: Path, spectrograms: Path) -> str:
    """Return the page, with every picture or sound inside it."""
    a, b = run.pair
    provenance = run.history[-1] if run.history else {}
    facts = progress | {
        "audio": data.describe(run.audio_dirs),
        "command": provenance.get("command", ""),
        "commit": provenance.get("commit", ""),
        "machine": f"{provenance.get('cpu')}, {provenance.get('cores')} cores",
    }
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
    players = "".join(
        f"<figure><figcaption>{html.escape(name.replace('_', ' '))}</figcaption>"
        f'<audio controls src="{_data_url(_sample_file(run, name), "audio/wav")}"></audio>'
        "</figure>"
        for name in samples
    )
    settings = html.escape(json.dumps(config.to_dict(run.config), indent=1))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(a)} ⇄ {html.escape(b)}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
img {{ max-width: 100% }} th {{ text-align: left; padding-right: 1.5rem; font-weight: 600 }}
.players {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: .5rem }}
figure {{ margin: 0 }} audio {{ width: 100% }} pre {{ background: #f6f6f6; padding: 1rem; overflow: auto }}
</style>
<h1>{html.escape(a)} ⇄ {html.escape(b)}</h1>
<table>{rows}</table>
<h2>Listen</h2><div class="players">{players}</div>
<h2>Spectrograms</h2><p>Source, conversion, and a real piece of the target genre.</p>
<img alt="spectrograms" src="{_data_url(spectrograms, "image/png")}">
<h2>Training curves</h2>
<p>Two players compete, so neither loss falls to zero. A discriminator near the dotted line cannot tell converted
from real; near 0 it has won, and the generators learn little more. Cycle: how far a piece comes back from itself
after there and back. Identity: how much a generator changes what is of its target genre already. Quality is not in
the losses. So now and then a few held-out excerpts are converted: how near are they to real music of the target, and
how many of their notes are left? The generators that did best in both together convert.
<code>python -m gst_jax.evaluate</code> measures more.</p>
<img alt="training curves" src="{_data_url(curves, "image/png")}">
<h2>Settings</h2><details><summary>every setting</summary><pre>{settings}</pre></details>
</html>
"""


def _progress_facts(entries: list[dict[str, float]], measures: list[dict[str, float]]) -> dict[str, str]:
    if not entries:
        return {"batches": "none logged yet"}
    last = entries[-1]
    facts = {
        "batches": f"{last['step']:.0f} ({last['epoch']:.1f} epochs), {last['update']:.0f} updates",
        "stepping": f"{last['seconds'] / 60:.1f} minutes, {last['segments_per_second']:.1f} segments/s at the end",
    }
    if trained := [entry for entry in measures if entry["step"] > 0]:
        best = max(trained, key=lambda entry: entry["score"])
        facts["best"] = (
            f"at minute {best['seconds'] / 60:.1f}, on held-out music: style {best['style']:.2f}, notes "
            f"{best['notes']:.2f} (equaliser {measures[0]['style']:.2f}, {measures[0]['notes']:.2f}); it converts"
        )
    return facts


def _data_url(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
