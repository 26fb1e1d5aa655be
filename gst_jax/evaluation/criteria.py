"""Hold a conversion against what it must reach to be worth more than an equaliser."""

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
CLOSER = 0.17  # than the untouched input: the best published figure on a comparable paired test
NEARER_THAN_EQUALISER, NEARER_THAN_INPUT = 0.3, 0.5  # in style
CALLED_TARGET = 0.8


class Bar(NamedTuple):
    """One thing asked of the conversion."""

    name: str
    value: float
    wanted: float  # at least
    met: bool


def bars(rows: Mapping[str, Mapping[str, Any]]) -> list[Bar]:
    """Return every bar that can be judged from the figures of one direction's rows."""
    return [*_closeness_bars(rows), *_style_bars(rows), *_content_bars(rows)]


def _closeness_bars(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Bar]:
    for kind in ("rearranged", "reorchestrated"):
        if kind not in rows["conversion"]:
            continue
        for measure in ("log-mel distance (dB)", "log-spectral distance (dB)"):
            distance = {row: rows[row][kind][measure][0] for row in ("conversion", *RIVALS)}
            label = f"{kind}, {measure.removesuffix(' (dB)')}"
            if kind == "reorchestrated":
                yield _at_least(f"{label}: below the untouched input", _below(distance, "untouched input"), CLOSER)
                best = min(RIVALS, key=lambda row: distance[row])
                yield _at_least(f"{label}: below the best rival, {best}", _below(distance, best), 0)
            elif measure.startswith("log-mel"):
                yield _at_least(f"{label}: below the equaliser", _below(distance, "equaliser"), 0)


def _style_bars(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Bar]:
    estimates = {row: rows[row]["style"]["kernel distance to target"] for row in ("conversion", *RIVALS)}
    distance = {row: estimate[0] for row, estimate in estimates.items()}
    for rival, wanted in (("equaliser", NEARER_THAN_EQUALISER), ("untouched input", NEARER_THAN_INPUT)):
        value = _below(distance, rival)
        apart = estimates["conversion"][2] < estimates[rival][1]
        name = f"style, kernel distance: below the {rival}" + ("" if apart else " (intervals overlap)")
        yield Bar(name, value, wanted, value >= wanted and apart)
    called, rival = (rows[row]["style"]["songs called target"][0] for row in ("conversion", "equaliser"))
    yield _at_least(f"style, songs called target (equaliser {rival:.0%})", called, CALLED_TARGET)


def _content_bars(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Bar]:
    ceiling = rows.get("true target, rearranged", {}).get("content", {})
    for measure in (name for name in ("pitch", "chord", "beat") if name in ceiling):
        margin = rows["conversion"]["content"][measure][0] - ceiling[measure][0]
        yield _at_least(f"content, {measure}: above the true arrangement's", margin, 0)


def _below(distance: Mapping[str, float], rival: str) -> float:
    return 1 - distance["conversion"] / distance[rival] if distance[rival] > 0 else 0.0


def _at_least(name: str, value: float, wanted: float) -> Bar:
    return Bar(name, value, wanted, value >= wanted)
