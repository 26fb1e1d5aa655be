"""Check a conversion against acceptance thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

RIVALS = (
    "untouched input",
    "equaliser",
    "equaliser, a filter alone",
    "musaicing",
    "distortion",
    "untrained generator",
)
# By what share a distance must be smaller than a rival's.
CLOSER = 0.17  # to the truth, than the untouched input: the best published figure on a comparable paired test
NEARER_THAN_EQUALISER, NEARER_THAN_INPUT = 0.3, 0.5  # in style
CALLED_TARGET = 0.8  # share of the songs that must be classified as the target genre


class Criterion(NamedTuple):
    """A threshold and what the conversion reached, both as shares of 1."""

    name: str
    value: float
    wanted: float  # the least that meets it
    met: bool


def criteria(methods: Mapping[str, Mapping[str, Any]]) -> list[Criterion]:
    """Judge the conversion of one direction.

    Args:
        methods: `{method: {kind: {measure: (value, low, high)}}}`, as in the report of `evaluate`.

    Returns:
        Every criterion for which there are figures: those of closeness and content need paired songs.
    """
    return [*_closeness_criteria(methods), *_style_criteria(methods), *_content_criteria(methods)]


def _closeness_criteria(methods: Mapping[str, Mapping[str, Any]]) -> Iterator[Criterion]:
    for kind in ("rearranged", "reorchestrated"):
        if kind not in methods["conversion"]:
            continue
        for measure in ("log-mel distance (dB)", "log-spectral distance (dB)"):
            distance = {method: methods[method][kind][measure][0] for method in ("conversion", *RIVALS)}
            label = f"{kind}, {measure.removesuffix(' (dB)')}"
            if kind == "reorchestrated":
                yield _at_least(f"{label}: below the untouched input", _below(distance, "untouched input"), CLOSER)
                best = min(RIVALS, key=lambda method: distance[method])
                yield _at_least(f"{label}: below the best rival, {best}", _below(distance, best), 0)
            elif measure.startswith("log-mel"):
                yield _at_least(f"{label}: below the equaliser", _below(distance, "equaliser"), 0)


def _style_criteria(methods: Mapping[str, Mapping[str, Any]]) -> Iterator[Criterion]:
    estimates = {method: methods[method]["style"]["kernel distance to target"] for method in ("conversion", *RIVALS)}
    distance = {method: estimate[0] for method, estimate in estimates.items()}
    for rival, wanted in (("equaliser", NEARER_THAN_EQUALISER), ("untouched input", NEARER_THAN_INPUT)):
        value = _below(distance, rival)
        apart = estimates["conversion"][2] < estimates[rival][1]
        name = f"style, kernel distance: below the {rival}" + ("" if apart else " (intervals overlap)")
        yield Criterion(name, value, wanted, value >= wanted and apart)
    called, rival = (methods[method]["style"]["songs called target"][0] for method in ("conversion", "equaliser"))
    yield _at_least(f"style, songs called target (equaliser {rival:.0%})", called, CALLED_TARGET)


def _content_criteria(methods: Mapping[str, Mapping[str, Any]]) -> Iterator[Criterion]:
    ceiling = methods.get("true target, rearranged", {}).get("content", {})
    for measure in (name for name in ("pitch", "chord", "beat") if name in ceiling):
        margin = methods["conversion"]["content"][measure][0] - ceiling[measure][0]
        yield _at_least(f"content, {measure}: above the true arrangement's", margin, 0)


def _below(distance: Mapping[str, float], rival: str) -> float:
    return 1 - distance["conversion"] / distance[rival] if distance[rival] > 0 else 0.0


def _at_least(name: str, value: float, wanted: float) -> Criterion:
    return Criterion(name, value, wanted, value >= wanted)
