"""Show what a run learned: samples to hear, pictures, a self-contained HTML page."""

from __future__ import annotations

import base64
import html
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gst_jax import audio, config, corpus, data
from gst_jax.config import Config, Run
from gst_jax.inference import Translator

_SECONDS = 10.0  # of each sample


@dataclass(frozen=True)
class Sample:
    """A stretch of sound with its name."""

    name: str  # as real_folk, fake_jazz_from_folk
    sound: audio.Sound


def write(run_dir: str | os.PathLike[str], progress: Any = None) -> Path:
    """Convert a sample in both directions, draw the pictures, then bind all into `report.html`.

    The samples come from tracks that the run did not train on, where there are any. Every file is replaced whole.

    Args:
        run_dir: of a run with a checkpoint.
        progress: called like `tqdm.tqdm` on the conversions.

    Returns:
        The path of `report.html`.
    """
    run_dir = Path(run_dir)
    run = config.read_run(run_dir)
    samples = _samples(run_dir, run, progress)
    (run_dir / "audio_samples").mkdir(exist_ok=True)
    (run_dir / "visualizations").mkdir(exist_ok=True)
    for sample in samples:
        audio.write_wave(
            run_dir / "audio_samples" / f"{sample.name}.wav", sample.sound.samples, sample.sound.sample_rate, "PCM_16"
        )
    entries = _entries(run_dir)
    curves = _save(draw_curves(entries, run.config), run_dir / "visualizations" / "training_curves.png")
    spectrograms = _save(draw_spectrograms(run, samples), run_dir / "visualizations" / "spectrograms.png")
    page = run_dir / "report.html"
    temporary = page.with_suffix(".tmp")
    temporary.write_text(_page(run, entries, samples, run_dir, curves, spectrograms), encoding="utf-8")
    temporary.replace(page)
    return page


def draw_curves(entries: list[dict[str, float]], settings: Config) -> Any:
    """Draw the losses of the entries of `metrics.jsonl` over micro-batches, as a matplotlib Figure."""
    from matplotlib.figure import Figure

    chance = math.log(2) if settings.loss.logistic else 0.25  # the loss of a discriminator that cannot tell

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, title, names in (
        (panels[0], "Adversarial (generators, both directions)", ["generator/adversarial"]),
        (panels[1], "There and back (mean absolute error)", ["generator/cycle", "generator/identity"]),
        (panels[2], "Discriminators (dotted: cannot tell)", ["discriminator/a", "discriminator/b"]),
    ):
        for name in names:
            if not entries or name in entries[-1]:  # no identity where it has no weight
                steps = [entry["step"] for entry in entries]
                panel.plot(steps, [entry[name] for entry in entries], label=name, linewidth=1.2)
        panel.set(title=title, xlabel="micro-batches")
        panel.title.set_fontsize(10)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[2].axhline(chance, linestyle=":", color="gray")
    return figure


def draw_spectrograms(run: Run, samples: list[Sample]) -> Any:
    """Draw source, conversion, target side by side for both directions, as a matplotlib Figure."""
    from matplotlib.figure import Figure

    settings = run.config.audio
    a, b = run.pair
    by_name = {sample.name: sample.sound for sample in samples}
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (source, target) in enumerate(((a, b), (b, a))):
        names = (f"real_{source}", f"fake_{target}_from_{source}", f"real_{target}")
        for panel, name in zip(panels[row], names, strict=True):
            sound = by_name[name]
            wave = audio.resample(audio.mono(sound.samples), sound.sample_rate, settings.sample_rate)
            log_mel = audio.log_mel(wave, settings)
            extent = (0, len(log_mel) / settings.frames_per_second, 0, settings.n_mels)
            panel.imshow(log_mel.T, origin="lower", aspect="auto", extent=extent, vmin=-40, vmax=40, cmap="magma")
            panel.set_title(name, fontsize=10)
        panels[row][0].set_ylabel("mel bin")
    for panel in panels[1]:
        panel.set_xlabel("seconds")
    figure.colorbar(panels[0][0].images[0], ax=panels, label="dB", shrink=0.8)
    return figure


def _samples(run_dir: Path, run: Run, progress: Any) -> list[Sample]:
    """Return the originals of both genres, each followed by its conversion."""
    a, b = run.pair
    directions: Iterable[tuple[str, str]] = ((a, b), (b, a))
    if progress is not None:
        directions = progress(directions, total=2, desc="samples", unit="direction")
    samples = []
    for source, target in directions:
        original = _excerpt(_sample_track(run, source))
        converted = Translator.from_run(run_dir, to=target)(original.samples, original.sample_rate)
        fake = audio.Sound(converted, original.sample_rate, original.format, original.subtype)
        samples += [Sample(f"real_{source}", original), Sample(f"fake_{target}_from_{source}", fake)]
    return samples


def _sample_track(run: Run, genre: str) -> Path:
    """Return a track that the run did not train on, else one that it did."""
    if run.audio_dir is None:
        return (
            corpus.build(corpus.default_directory()) / "paired" / "validation" / "rearranged" / genre / "tune_00.flac"
        )
    files = audio.find_audio(Path(run.audio_dir, genre))
    training, held_out = data.split_tracks(files, run.config.data.held_out_fraction)
    return (held_out or training)[0]


def _excerpt(path: Path) -> audio.Sound:
    """Read the middle of a track."""
    sound = audio.read_wave(path)
    length = int(_SECONDS * sound.sample_rate)
    start = max(0, (len(sound.samples) - length) // 2)
    return audio.Sound(sound.samples[start : start + length], sound.sample_rate, sound.format, sound.subtype)


def _entries(run_dir: Path) -> list[dict[str, float]]:
    """Return the lines of the log, none where training stopped before the first."""
    log = run_dir / "metrics.jsonl"
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def _save(figure: Any, path: Path) -> Path:
    temporary = path.with_suffix(".tmp")
    figure.savefig(temporary, format="png", dpi=110)
    temporary.replace(path)
    return path


def _page(
    run: Run, entries: list[dict[str, float]], samples: list[Sample], run_dir: Path, curves: Path, spectrograms: Path
) -> str:
    """Return the page, with every picture or sound inside it."""
    a, b = run.pair
    facts = _progress_facts(entries) | {
        "audio": run.audio_dir or "built-in corpus",
        "command": run.provenance.get("command", ""),
        "commit": run.provenance.get("commit", ""),
        "machine": f"{run.provenance.get('cpu')}, {run.provenance.get('cores')} cores",
    }
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
    players = "".join(
        f"<figure><figcaption>{html.escape(sample.name.replace('_', ' '))}</figcaption>"
        f'<audio controls src="{_data_url(run_dir / "audio_samples" / (sample.name + ".wav"), "audio/wav")}"></audio>'
        "</figure>"
        for sample in samples
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
these curves: <code>python -m gst_jax.evaluate</code> measures it.</p>
<img alt="training curves" src="{_data_url(curves, "image/png")}">
<h2>Settings</h2><details><summary>every setting</summary><pre>{settings}</pre></details>
</html>
"""


def _progress_facts(entries: list[dict[str, float]]) -> dict[str, str]:
    if not entries:
        return {"batches": "fewer than the first line of the log"}
    last = entries[-1]
    return {
        "batches": f"{last['step']:.0f} ({last['epoch']:.1f} epochs), {last['update']:.0f} updates",
        "stepping": f"{last['seconds'] / 60:.1f} minutes, {last['segments_per_second']:.1f} segments/s at the end",
    }


def _data_url(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
