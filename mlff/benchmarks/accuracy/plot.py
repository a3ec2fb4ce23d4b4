"""Accuracy against cost: the test error of the forces over the time of an MD step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from mlff.figure import BLUE, ORANGE, dress, new_figure, readable, save

from .table import Summary, sections

OURS, THEIRS = BLUE, ORANGE
WIDTH, HEIGHT = 7.5, 5.0


def plot_accuracy(summaries: Sequence[Summary], path: Path) -> Path | None:
    """Draw a panel for each data set and budget, a point a model; None where no model has both a time and an error."""
    panels = {
        title: points
        for title, group in sections(summaries).items()
        if (points := [each for each in group if each.values("md_milliseconds") and each.values("test_forces_mae")])
    }
    if not panels:
        return None
    figure = new_figure(WIDTH, HEIGHT * len(panels))
    for axes, (title, points) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True):
        dress(axes, xlabel="time of an MD step, ms", ylabel="test force error (MAE), meV/Å")
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for point in points:
            times, errors = point.values("md_milliseconds"), point.values("test_forces_mae")
            x, y = mean(times), mean(errors)
            colour = OURS if point.first.package == "mlff" else THEIRS
            filled = point.md_mode == "compiled"
            axes.errorbar(x, y, yerr=[[y - min(errors)], [max(errors) - y]], fmt="o", color=colour, capsize=3, markersize=7,
                          markerfacecolor=colour if filled else "white")  # fmt: skip
            axes.annotate(point.name, (x, y), xytext=(8, 4), textcoords="offset points", fontsize=9)
        _ticks(axes, "x", [mean(point.values("md_milliseconds")) for point in points])
        _ticks(axes, "y", [mean(point.values("test_forces_mae")) for point in points])
        axes.text(0.99, 0.98, "filled: compiled, open: eager\nbars: lowest to highest of the seeds", ha="right", va="top",
                  fontsize=8, transform=axes.transAxes)  # fmt: skip
    return save(figure, path)


def _ticks(axes: object, which: str, values: list[float]) -> None:
    """Limits with room for names, and ticks at 1, 2, 5 of each power of ten, written as plain numbers."""
    low, high = min(values) / 1.5, max(values) * 1.8
    ticks = [base * 10.0**power for power in range(-4, 7) for base in (1, 1.5, 2, 3, 5, 7) if low <= base * 10.0**power <= high]
    getattr(axes, f"set_{which}lim")(low, high)
    getattr(axes, f"set_{which}ticks")(ticks, labels=[readable(tick).rstrip("0").rstrip(".") if "." in readable(tick) else
                                                     readable(tick) for tick in ticks])  # fmt: skip
    getattr(axes, f"set_{which}ticks")([], minor=True)
