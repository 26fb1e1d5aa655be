"""Draw how a run learned, and what."""

from __future__ import annotations

import math
from typing import Any

from gst_jax import sound
from gst_jax.config import Config
from gst_jax.runs.directory import RunDirectory


def draw_curves(entries: list[dict[str, float]], measures: list[dict[str, float]], config: Config) -> Any:
    """Draw the losses, and what was measured on held-out music, over micro-batches, as a matplotlib Figure.

    Args:
        entries: of `metrics.jsonl`.
        measures: of `measures.jsonl`; none where nothing was measured.
        config: of the run.
    """
    from matplotlib.figure import Figure

    cannot_tell = math.log(2) if config.loss.adversarial_loss == "logistic" else 0.25  # a discriminator's loss
    figure = Figure(figsize=(11, 3.4) if not measures else (11, 6.4), layout="constrained")
    panels = figure.subplots(1 if not measures else 2, 3, squeeze=False).ravel()
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
    panels[2].axhline(cannot_tell, linestyle=":", color="gray")
    if measures:
        _draw_measures(measures, panels[3:])
    return figure


def _draw_measures(measures: list[dict[str, float]], panels: Any) -> None:
    """Draw what was measured on held-out music into three panels, beside the equaliser and the start."""
    equaliser, *curve = measures
    best = max(curve[1:], key=lambda entry: entry["score"], default=None)
    titles = {"style": "Style: nearness to real music", "notes": "Notes kept", "score": "Score (best: dashed)"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        panel.plot([entry["step"] for entry in curve], [entry[name] for entry in curve], "o-", markersize=3)
        panel.axhline(equaliser[name], linestyle=":", color="gray", label="equaliser")
        if curve:
            panel.axhline(curve[0][name], linestyle="-.", color="tab:orange", label="before training")
        if best is not None:
            panel.axvline(best["step"], linestyle="--", color="tab:green", linewidth=0.8)
        panel.set(title=f"{title} (held out)", xlabel="micro-batches")
        panel.title.set_fontsize(10)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)


def draw_spectrograms(run: RunDirectory, samples: dict[str, sound.Sound]) -> Any:
    """Draw source, conversion, target side by side for both directions, as a matplotlib Figure.

    Args:
        run: of the pair (a, b).
        samples: `real_A`, `fake_B_from_A`, `real_B` and `fake_A_from_B`.
    """
    from matplotlib.figure import Figure

    audio = run.config.audio
    a, b = run.pair
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (source, target) in enumerate(((a, b), (b, a))):
        names = (f"real_{source}", f"fake_{target}_from_{source}", f"real_{target}")
        for panel, name in zip(panels[row], names, strict=True):
            sample = samples[name]
            wave = sound.resample(sound.mono(sample.samples), sample.sample_rate, audio.sample_rate)
            log_mel = sound.log_mel(wave, audio)
            extent = (0, len(log_mel) / audio.frames_per_second, 0, audio.n_mels)
            panel.imshow(log_mel.T, origin="lower", aspect="auto", extent=extent, vmin=-40, vmax=40, cmap="magma")
            panel.set_title(name, fontsize=10)
        panels[row][0].set_ylabel("mel bin")
    for panel in panels[1]:
        panel.set_xlabel("seconds")
    figure.colorbar(panels[0][0].images[0], ax=panels, label="dB", shrink=0.8)
    return figure
