"""Turn analyses of waveforms into figures with intervals."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from gst_jax.evaluation.analysis import Analysis
from gst_jax.evaluation.metrics import bootstrap, closeness, content, style
from gst_jax.evaluation.metrics.bootstrap import Estimate
from gst_jax.types import Array

Figures = dict[str, Estimate]  # by measure
Tracks = Sequence[Array]  # windows [W_i, K] of each track

COLLAPSE_DB = 1.0  # less change than this is none
COLLAPSE_DIVERSITY = 0.5  # of the variety of the songs that went in


class StyleJudge:
    """The real music of two genres, to which conversions are compared."""

    def __init__(
        self, embedding: style.StyleEmbedding, source: str, target: str, reference: Mapping[str, Tracks]
    ) -> None:
        """Measure the reference tracks themselves once."""
        self._embedding, self._target = embedding, target
        self._width = style.bandwidth(np.concatenate([*reference[source], *reference[target]]))
        self._reference = {"target": _units(reference[target]), "source": _units(reference[source])}
        self._within = {name: style.kernel_means(part, part, self._width) for name, part in self._reference.items()}

    def measure(self, tracks: Tracks) -> Figures:
        """Return how far tracks are from the real music, and how often they are taken for the target."""
        units = _units(tracks)
        within = style.kernel_means(units, units, self._width)
        goal = np.concatenate(self._reference["target"])
        figures = {}
        for name, other in self._reference.items():
            means = (within, self._within[name], style.kernel_means(units, other, self._width))
            distance = functools.partial(style.kernel_distance, *means)
            figures[f"kernel distance to {name}"] = bootstrap.bootstrap(distance, len(units))
        figures["Frechet distance to target"] = bootstrap.bootstrap(
            lambda draw: style.frechet_distance(np.concatenate([units[index] for index in draw]), goal),
            len(units),
            repeats=200,
            recentre=True,
        )
        odds = [self._embedding.log_odds(windows, self._target) for windows in tracks]
        figures["songs called target"] = bootstrap.mean([float(song.mean() > 0) for song in odds])
        figures["windows called target"] = bootstrap.mean([float(np.mean(song > 0)) for song in odds])
        return figures


def closeness_figures(conversions: Sequence[Analysis], truths: Sequence[Analysis]) -> Figures:
    """Compare each conversion with its true arrangement, frame by frame."""
    pairs = list(zip(conversions, truths, strict=True))
    return {
        "log-mel distance (dB)": bootstrap.mean(
            [closeness.log_mel_distance(one.log_mel, truth.log_mel) for one, truth in pairs]
        ),
        "log-spectral distance (dB)": bootstrap.mean(
            [closeness.log_spectral_distance(one.spectrum, truth.spectrum) for one, truth in pairs]
        ),
        "MFCC distance": bootstrap.mean(
            [closeness.mfcc_distance(one.log_mel, truth.log_mel) for one, truth in pairs]
        ),
    }


def content_figures(sources: Sequence[Analysis], conversions: Sequence[Analysis]) -> Figures:
    """Compare what each conversion plays with what its source plays, chance subtracted."""
    agreements = content.above_chance(
        [source.transcription for source in sources], [conversion.transcription for conversion in conversions]
    )
    return {name: bootstrap.mean(values) for name, values in agreements.items()}


def findings(methods: Mapping[str, Sequence[Analysis]]) -> list[str]:
    """Name the ways in which the conversion failed to be one.

    Args:
        methods: analyses of each method's conversions, those of the untouched input and the equaliser among them.
    """
    found = []
    for rival, name in (("untouched input", "identity collapse"), ("equaliser", "equaliser collapse")):
        pairs = zip(methods["conversion"], methods[rival], strict=True)
        change = np.mean([closeness.log_mel_distance(one.log_mel, other.log_mel) for one, other in pairs])
        if change < COLLAPSE_DB:
            found.append(f"{name}: the conversion is only {change:.2f} dB from the {rival}")
    if len(methods["conversion"]) > 1:
        variety = [
            style.diversity([song.windows for song in methods[method]])
            for method in ("conversion", "untouched input")
        ]
        if variety[0] < COLLAPSE_DIVERSITY * variety[1]:
            found.append(
                f"mode collapse: the converted songs vary {variety[0] / variety[1]:.0%} as much as the songs put in"
            )
    return found


def _units(tracks: Tracks) -> list[Array]:
    """Return what is drawn by the bootstrap: tracks, or where there is but one track its windows."""
    return list(tracks) if len(tracks) > 1 else [window[None] for window in tracks[0]]
