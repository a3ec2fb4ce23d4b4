"""Accuracy against cost: the test error of the forces over the time of an MD step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Literal

from matplotlib.axes import Axes

from mlff.figure import BLUE, ORANGE, dress, new_figure, save

from .table import Summary, sections

OURS, THEIRS = BLUE, ORANGE
WIDTH, HEIGHT = 7.5, 5.0
TICKS = tuple(base * 10.0**power for power in range(-4, 7) for base in (1, 1.5, 2, 3, 5, 7))
NEAR = (0.3, 0.06)
"""Points this near, as parts of the axes, have their names on different sides."""


def plot_accuracy(summaries: Sequence[Summary], path: Path) -> Path | None:
    """Draw a panel for each data set and budget, a point a model; None where no model has both a time and an error."""
    panels = {
        title: points
        for title, group in sections(summaries).items()
        if (points := [each for each in group if each.values("md_step") and each.values("test_forces_mae")])
    }
    if not panels:
        return None
    figure = new_figure(WIDTH, HEIGHT * len(panels))
    for axes, (title, points) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True):
        dress(axes, xlabel="time of an MD step, ms", ylabel="test force error (MAE), meV/Å")
        axes.set_title(title, fontsize=11, loc="left")
        places = [(mean(point.values("md_step")), mean(point.values("test_forces_mae"))) for point in points]
        limits = _logarithmic(axes, "x", [x for x, _ in places]), _logarithmic(axes, "y", [y for _, y in places])
        named: list[tuple[float, float]] = []
        for point, (x, y) in zip(points, places, strict=True):
            errors = point.values("test_forces_mae")
            colour = OURS if point.first.package == "mlff" else THEIRS
            axes.errorbar(
                x, y, yerr=[[y - min(errors)], [max(errors) - y]], fmt="o", color=colour, capsize=3, markersize=7,
                markerfacecolor=colour if point.md_mode == "compiled" else "white",
            )  # fmt: skip
            where = _part(x, limits[0]), _part(y, limits[1])
            crowded = any(abs(where[0] - other[0]) < NEAR[0] and abs(where[1] - other[1]) < NEAR[1] for other in named)
            named.append(where)
            right = where[0] > 0.6
            axes.annotate(
                point.name, (x, y), xytext=(-8 if right else 8, 5 if crowded else -11), textcoords="offset points", fontsize=9,
                ha="right" if right else "left",
            )  # fmt: skip
        axes.text(0.99, 0.98, "filled: compiled, open: eager\nbars: lowest to highest of the seeds", ha="right", va="top",
                  fontsize=8, transform=axes.transAxes)  # fmt: skip
    return save(figure, path)


def _logarithmic(axes: Axes, which: Literal["x", "y"], values: list[float]) -> tuple[float, float]:
    """Make an axis logarithmic, with room around the values and ticks written as plain numbers; gives its limits."""
    low, high = min(values) / 1.4, max(values) * 1.4
    axis = axes.xaxis if which == "x" else axes.yaxis
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)
    return low, high


def _part(value: float, limits: tuple[float, float]) -> float:
    """Where on a logarithmic axis a value lies: 0 at its beginning, 1 at its end."""
    return math.log(value / limits[0]) / math.log(limits[1] / limits[0])
