"""Write an evaluation as a table, as JSON or as a picture."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

from gst_jax.evaluation.metrics.content import MEASURES
from gst_jax.runs.atomic import replacing, write_text

Report = dict[str, Any]

_TITLES = {
    "rearranged": "closeness to the true arrangement",
    "reorchestrated": "closeness to the same notes played by the target's instruments",
    "style": "style",
    "content": "agreement with the input, chance subtracted",
}


def table(report: Report) -> str:
    """Write the figures as text, one line per method: value [low, high]."""
    accuracy = ", ".join(f"{genre} {share:.0%}" for genre, share in report["classifier"].items())
    lines = [f"real tracks that the genre classifier recognises: {accuracy}"]
    for direction, part in report["directions"].items():
        lines += ["", f"{direction.replace('_', ' ')}, {report['split']}, {len(part['songs'])} songs"]
        lines += part["findings"]
        for kind in dict.fromkeys(kind for method in part["methods"].values() for kind in method):
            methods = {method: figures[kind] for method, figures in part["methods"].items() if kind in figures}
            measures = list(next(iter(methods.values())))
            places = 2 if kind in ("style", "content") else 1
            lines += ["", _TITLES[kind], " " * 29 + "".join(f"{measure:>27}" for measure in measures)]
            for method, figures in methods.items():
                cells = (_cell(figures[measure], places) for measure in measures)
                lines.append(f"{method:29}" + "".join(f"{cell:>27}" for cell in cells))
        lines += ["", "criteria"] + [
            f"{'met  ' if met else 'short'} {value:7.0%} of {wanted:4.0%}  {name}"
            for name, value, wanted, met in part["criteria"]
        ]
    return "\n".join(lines)


def _cell(estimate: tuple[float, float, float], places: int) -> str:
    value, low, high = (f"{number:.{places}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def write_json(report: Report, provenance: dict[str, Any], path: Path) -> None:
    """Write the figures and their provenance, whole or not at all."""
    text = json.dumps(_without_nan({"provenance": provenance, **report}), indent=1, allow_nan=False)
    write_text(path, text)


def _without_nan(value: Any) -> Any:
    """Replace nan, the figure of too few tracks, by None, since JSON has no nan."""
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def read_json(path: Path) -> Report:
    """Read the figures that `write_json` wrote."""

    def with_nan(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_nan(part) for key, part in value.items()}
        return [math.nan if part is None else with_nan(part) for part in value] if isinstance(value, list) else value

    return with_nan(json.loads(path.read_text(encoding="utf-8")))


def write_plot(report: Report, path: Path) -> None:
    """Draw style against content: the conversion at strengths from 0 to 1 as a line, its rivals as points."""
    from matplotlib.figure import Figure

    directions = report["directions"]
    figure = Figure(figsize=(6 * len(directions), 5), layout="constrained")
    panels = figure.subplots(1, len(directions), squeeze=False)[0]
    for axes, (direction, part) in zip(panels, directions.items(), strict=True):
        points = {method: _point(figures) for method, figures in part["methods"].items() if "content" in figures}
        line = [
            "untouched input",
            *sorted(method for method in points if method.startswith("conversion at ")),
            "conversion",
        ]
        axes.plot(
            *zip(*(points[method] for method in line), strict=True), "o-", color="tab:red", label="strength 0 to 1"
        )
        rivals = [method for method in points if method not in line]
        for method, marker in zip(rivals, itertools.cycle("sDv^P*X")):
            axes.plot(*points[method], marker, linestyle="none", label=method, markersize=8, alpha=0.8)
        axes.axhline(0, color="black", linewidth=0.5)
        axes.set(
            title=direction.replace("_", " "),
            xlabel="content kept: mean agreement with the input above chance",
            ylabel="kernel distance to the target's style (lower is better)",
        )
        axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _point(figures: dict[str, Any]) -> tuple[float, float]:
    content = [figures["content"][name][0] for name in MEASURES]
    return sum(content) / len(content), figures["style"]["kernel distance to target"][0]
