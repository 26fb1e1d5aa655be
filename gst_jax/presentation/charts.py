"""Draw curves as SVG that a page holds: its letters stay letters, on a phone and in the dark."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 8, 36  # margins

Points = Sequence[tuple[float, float]]


def chart(
    title: str,
    curves: Sequence[Points],
    x_label: str,
    flats: Sequence[tuple[str, float]] = (),
    best: tuple[float, float] | None = None,
    dots: bool = False,
    least: float = 0.0,
) -> str:
    """Draw curves over one axis, as a figure with its title.

    Args:
        title: of the figure, which says what is up.
        curves: the first in the page's colour, the second in its other one.
        x_label: what lies below.
        flats: level lines, each with the class that draws it: "flat" or "start".
        best: a point to be marked.
        dots: whether the points of the first curve are shown.
        least: span of what is up, so that chance does not look like a trend.
    """
    points = [point for curve in curves for point in curve]
    xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] + [y for _, y in flats] or [0.0]
    room = max(least - (max(ys) - min(ys)), 0.0) / 2
    right, ticks = max(xs) or 1.0, _ticks(min(ys) - room, max(ys) + room)
    low, high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / right
        return round(across, 1), round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / (high - low), 1)

    parts = []
    for tick in ticks:
        _, y = place(0, tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(0, right):
        if tick <= right:
            x, _ = place(tick, low)
            parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{html.escape(x_label)}</text>')
    for name, level in flats:
        _, y = place(0, level)
        parts.append(f'<line class="{name}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
    for number, curve in enumerate(curves):
        path = "L".join("{} {}".format(*place(*point)) for point in curve)
        parts.append(f'<path class="{"other" if number else "ours"}" d="M{path}"/>' if path else "")
    if dots and curves:
        parts += ['<circle cx="{}" cy="{}" r="2.5"/>'.format(*place(*point)) for point in curves[0]]
    if best is not None:
        parts.append('<circle class="best" cx="{}" cy="{}" r="6"/>'.format(*place(*best)))
    label = html.escape(title, quote=True)
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg class="chart" role="img" aria-label="{label}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}</svg></figure>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers around a range."""
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 4)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(step * number, 10) for number in range(first, last + 1)]
