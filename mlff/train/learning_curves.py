"""The picture of a run's learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from mlff.figure import BLUE, GREEN, GREY, GRID, ORANGE, dress, message, new_figure, save


def plot_learning_curves(columns: Mapping[str, np.ndarray], path: str | Path, *, best_epoch: int | None = None) -> Path:
    """Force and energy MAE and the learning rate against epoch (left) and time (right); vertical axes logarithmic.

    ``columns`` are those of ``metrics.csv``, each ``[epochs]``; a dotted line marks ``best_epoch``.
    """
    epoch = np.asarray(columns.get("epoch", ()), dtype=np.float64)
    if epoch.size == 0:
        return message("No epoch was completed: there are no learning curves to draw.", path)
    seconds = np.asarray(columns.get("time_s", np.full(epoch.shape, np.nan)), dtype=np.float64)
    longest = np.nanmax(seconds) if np.isfinite(seconds).any() else 0.0
    divisor, unit = (3600.0, "h") if longest > 7200 else (60.0, "min") if longest > 180 else (1.0, "s")
    rows = [
        ("Force MAE (meV/Å)", {"train": "train_forces_mae", "validation": "val_forces_mae"}),
        ("Energy MAE (meV)", {"train": "train_energy_mae", "validation": "val_energy_mae"}),
        ("Learning rate", {"learning rate": "learning_rate"}),
    ]
    figure = new_figure(10.0, 8.4)
    grid = figure.subplots(3, 2, sharey="row", sharex="col")
    for row, (label, curves) in enumerate(rows):
        for side, horizontal in enumerate((epoch, seconds / divisor)):
            axes = grid[row, side]
            for name, prefix in curves.items():
                colour = {"train": ORANGE, "validation": BLUE}.get(name, GREY)
                _curve(axes, horizontal, _column(columns, prefix), name, colour)
            if best_epoch is not None and best_epoch in epoch:
                where = horizontal[int(np.flatnonzero(epoch == best_epoch)[-1])]
                axes.axvline(where, color=GREEN, linestyle=":", linewidth=1.5, label="best")
            dress(axes, ylabel=label if side == 0 else "")
            _log_scale(axes)
            if row == 2 and axes.get_yscale() == "log":  # a cosine ends at zero, which would take all of a log axis
                axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-4 * axes.get_ylim()[1]))
            axes.set_xlim(left=0)
            if side == 0 and row < 2 and axes.get_legend_handles_labels()[0]:
                axes.legend(framealpha=0.9, edgecolor="none", fontsize=10)
    grid[2, 0].set_xlabel("Epoch", fontsize=11)
    grid[2, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[2, 1].set_xlabel(f"Time ({unit})", fontsize=11)
    return save(figure, path)


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray | None, name: str, colour: str) -> None:
    if y is None:
        return
    drawn = np.isfinite(x) & np.isfinite(y) & (y > 0)
    if drawn.any():
        marker = "o" if drawn.sum() <= 40 else ""
        axes.plot(x[drawn], y[drawn], color=colour, marker=marker, markersize=3.5, linewidth=1.7, label=name)


def _column(columns: Mapping[str, np.ndarray], prefix: str) -> np.ndarray | None:
    """The column of that name, whatever unit its name ends in."""
    return next((values for name, values in columns.items() if name == prefix or name.startswith(f"{prefix}_m")), None)


def _log_scale(axes: Axes) -> None:
    """Logarithmic vertical axis with plain numbers, and with labelled minor ticks where it spans under a decade."""
    if not axes.lines:
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 12:
        axes.grid(True, which="minor", axis="y", color=GRID, linewidth=0.7)
    elif high / low < 200:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    if low >= 1e-2 and high < 1e5:
        plain = ScalarFormatter()
        plain.set_scientific(False)
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain if high / low < 12 else NullFormatter())
        axes.tick_params(axis="y", which="minor", labelsize=8)
