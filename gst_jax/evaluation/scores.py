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

COLLAPSE_DB = 1.0  # a smaller mean change counts as none
COLLAPSE_DIVERSITY = 0.5  # conversions that vary less than this share of their sources sound alike


class StyleJudge:
    """Compare conversions with the real music of their source and target genre."""

    def __init__(
        self, embedding: style.StyleEmbedding, source: str, target: str, reference: Mapping[str, Tracks]
    ) -> None:
        """Measure the real music.

        Args:
            embedding: from `analysis.fit_embedding`.
            source: the genre of what is converted.
            target: the genre that it is converted to.
            reference: for both genres, the embedded windows [W_i, K] of real tracks.
        """
        self._embedding, self._target = embedding, target
        self._width = style.bandwidth(np.concatenate([*reference[source], *reference[target]]))
        self._reference = {"target": _units(reference[target]), "source": _units(reference[source])}
        self._within = {name: style.kernel_means(part, part, self._width) for name, part in self._reference.items()}

    def measure(self, tracks: Tracks) -> Figures:
        """Return how far tracks [W_i, K] are from the real music, and how often they are classified as the target."""
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
    """Compare the music of each conversion with that of its source; the agreement by chance is subtracted."""
    agreements = content.above_chance(
        [source.transcription for source in sources], [conversion.transcription for conversion in conversions]
    )
    return {name: bootstrap.mean(values) for name, values in agreements.items()}


def findings(methods: Mapping[str, Sequence[Analysis]]) -> list[str]:
    """Describe the ways in which the conversion collapsed: nothing changed, or everything sounds alike.

    Args:
        methods: what each method made of the songs; `conversion`, `untouched input` and `equaliser` are needed.

    Returns:
        A sentence for each collapse.
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
    """Return what the bootstrap draws: tracks or, where there is only one track, its windows."""
    return list(tracks) if len(tracks) > 1 else [window[None] for window in tracks[0]]
