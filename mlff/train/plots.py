"""Pictures of predictions against references: parity and error distributions, written as PNG files.

Predictions come as ``{split: arrays}``, the arrays as a run folder's ``predictions_SPLIT.npz`` holds them: ``energy``,
``energy_ref`` ``[B,S]`` in eV, ``forces``, ``forces_ref`` ``[N,S,3]`` in eV/Å and, for periodic data, ``stress``,
``stress_ref`` ``[B,S,6]`` in eV/Å³; couplings, dipoles and spin-orbit couplings as `mlff.train.metrics.Metrics` says. A
reference that is NaN is missing and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from scipy.ndimage import gaussian_filter

from mlff.figure import GREY, SKY, STATE_COLOURS, VERMILION, dress, message, new_figure, readable, save

Arrays = Mapping[str, np.ndarray]
Predictions = Mapping[str, Arrays]

SCATTER_LIMIT = 4000  # more points than this are drawn as a density map instead of one by one
DENSITY = LogNorm(vmin=1e-3, vmax=1.0, clip=True)


@dataclass(frozen=True)
class Quantity:
    """How one predicted quantity is named and in which unit its errors (a thousandth of its own unit) are told."""

    name: str
    label: str
    unit: str
    error_unit: str


QUANTITIES = {
    "energy": Quantity("energy", "Energy", "eV", "meV"),
    "forces": Quantity("forces", "Force component", "eV/Å", "meV/Å"),
    "stress": Quantity("stress", "Stress component", "eV/Å³", "meV/Å³"),
}
PAIR_QUANTITIES = {
    "interstate_coupling": Quantity("interstate_coupling", "Interstate coupling", "eV/Å", "meV/Å"),
    "dipole": Quantity("dipole", "Dipole component", "e Å", "10⁻³ e Å"),
    "soc_magnitude": Quantity("soc_magnitude", "Spin-orbit coupling", "eV", "meV"),
}
"""Quantities of pairs of states, all of which are drawn in one panel."""
LARGE_ERROR = 20_000.0  # thousandths: axes of larger errors are in the unit itself


def pairs(arrays: Arrays, quantity: str, state: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reference and predicted values ``[K]``, ``[K]`` (float64) of one state, or of all, without missing references."""
    reference = np.asarray(arrays[f"{quantity}_ref"], dtype=np.float64)
    prediction = np.asarray(arrays[quantity], dtype=np.float64)
    if reference.shape != prediction.shape:
        raise ValueError(
            f"`{quantity}` has the shape {prediction.shape} but `{quantity}_ref` has {reference.shape}; "
            "give predictions and references of the same frames and states"
        )
    if state is not None:
        reference, prediction = reference[:, state], prediction[:, state]
    present = np.isfinite(reference)
    return reference[present], prediction[present]


def has(arrays: Arrays, quantity: str) -> bool:
    """Whether the quantity was predicted and at least one reference value of it exists."""
    reference = arrays.get(f"{quantity}_ref")
    return quantity in arrays and reference is not None and bool(np.isfinite(reference).any())


def num_states(predictions: Predictions) -> int:
    """The number of states S in the arrays (1 where there are none)."""
    sizes = [arrays[name].shape[1] for arrays in predictions.values() for name in QUANTITIES if name in arrays]
    return max(sizes, default=1)


def name_states(labels: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Labels of the states, numbered from 0 where none are given."""
    if labels and len(labels) == count:
        return tuple(str(label) for label in labels)
    return tuple(f"state {state}" for state in range(count))


def plot_parity(
    predictions: Predictions,
    path: str | Path,
    *,
    quantity: str = "energy",
    state_labels: Sequence[str] | None = None,
) -> Path:
    """Predicted against reference values, and the errors below: a column per split, a row per state (one for all pairs).

    Energies are relative to the mean of the reference of their panel. Colour is the density of the points.
    """
    known = QUANTITIES | PAIR_QUANTITIES
    if quantity not in known:
        raise ValueError(f"`quantity` is {quantity!r}; choose one of {', '.join(known)}")
    shown = {split: arrays for split, arrays in predictions.items() if has(arrays, quantity)}
    described = known[quantity]
    if not shown:
        return message(f"No reference values: no {described.label.lower()} to compare.", path)
    of_pairs = quantity in PAIR_QUANTITIES
    labels = ("all pairs",) if of_pairs else name_states(state_labels, num_states(shown))
    side, error_height, cell_width, cell_height = 3.9, 1.15, 5.05, 6.2  # inches; `side` is the square parity panel
    width, height = cell_width * len(shown) + 1.15, cell_height * len(labels)
    figure = new_figure(width, height, layout=None)

    def place(left: float, top: float, wide: float, tall: float, **options: Any) -> Axes:
        return figure.add_axes((left / width, 1 - (top + tall) / height, wide / width, tall / height), **options)

    for column, (split, arrays) in enumerate(shown.items()):
        for row, label in enumerate(labels):
            left, top = cell_width * column + 0.95, cell_height * row + 0.4
            upper = place(left, top, side, side)
            lower = place(left, top + side + 0.13, side, error_height, sharex=upper)
            title = _split_name(split) if len(labels) == 1 else f"{_split_name(split)}, {label}"
            upper.set_title(title, fontsize=12, fontweight="bold", loc="left")
            _parity_panel(upper, lower, *pairs(arrays, quantity, None if of_pairs else row), described)
    bar = figure.colorbar(ScalarMappable(DENSITY, "viridis"), cax=place(cell_width * len(shown) + 0.1, 0.4, 0.16, side))
    bar.set_label("Density of points (densest = 1)", fontsize=11)
    bar.ax.tick_params(labelsize=9)
    return save(figure, path)


def plot_error_distribution(
    predictions: Predictions, path: str | Path, *, state_labels: Sequence[str] | None = None
) -> Path:
    """Histograms of force-component and energy errors with lines at ±MAE and ±RMSE: a row per split."""
    quantities = [name for name in ("forces", "energy") if any(has(arrays, name) for arrays in predictions.values())]
    shown = {split: a for split, a in predictions.items() if any(has(a, name) for name in quantities)}
    if not shown:
        return message("No reference values: no errors to show.", path)
    labels = name_states(state_labels, num_states(shown))
    figure = new_figure(0.6 + 5.0 * len(quantities), 3.9 * len(shown))
    grid = figure.subplots(len(shown), len(quantities), squeeze=False, sharex="col")
    for column, name in enumerate(quantities):
        widest = max(_robust_range(_errors(arrays, name)) for arrays in shown.values() if has(arrays, name))
        for row, (split, arrays) in enumerate(shown.items()):
            axes = grid[row, column]
            heading = f"{_split_name(split)}: {QUANTITIES[name].label.lower()}"
            axes.set_title(heading, fontsize=12, fontweight="bold", loc="left")
            if has(arrays, name):
                _error_histogram(axes, arrays, name, labels, widest)
            else:
                axes.text(0.5, 0.5, "no reference values", ha="center", va="center", transform=axes.transAxes)
            last = row == len(shown) - 1
            unit = QUANTITIES[name].unit if widest > LARGE_ERROR else QUANTITIES[name].error_unit
            horizontal = f"Prediction − reference ({unit})" if last else ""
            dress(axes, xlabel=horizontal, ylabel="Count per bin" if column == 0 else "")
    return save(figure, path)


def _parity_panel(upper: Axes, lower: Axes, reference: np.ndarray, prediction: np.ndarray, quantity: Quantity) -> None:
    """One parity panel and its errors below, sharing the horizontal axis."""
    relative = " − mean" if quantity.name == "energy" else ""
    dress(upper, ylabel=f"Predicted{relative} ({quantity.unit})")
    dress(lower, xlabel=f"Reference{relative} ({quantity.unit})", ylabel=f"Error ({quantity.error_unit})")
    upper.tick_params(labelbottom=False)
    for axes in (upper, lower):
        axes.yaxis.set_label_coords(-0.165, 0.5)
    if reference.size == 0:
        upper.text(0.5, 0.5, "no reference values", ha="center", va="center", transform=upper.transAxes, fontsize=11)
        return
    errors = 1000.0 * (prediction - reference)
    mae, rmse = readable(np.abs(errors).mean()), readable(math.sqrt(np.square(errors).mean()))
    summary = f"MAE {mae} {quantity.error_unit}\nRMSE {rmse} {quantity.error_unit}\n{reference.size:,} values"
    upper.text(0.03, 0.97, summary, ha="left", va="top", transform=upper.transAxes, fontsize=10, linespacing=1.4)
    centre = reference.mean() if quantity.name == "energy" else 0.0
    finite = np.isfinite(prediction)
    x, y, errors = reference[finite] - centre, prediction[finite] - centre, errors[finite]
    if x.size == 0:
        return
    low, high = _padded(min(x.min(), y.min()), max(x.max(), y.max()))
    if np.abs(errors).max() > LARGE_ERROR:
        errors = errors / 1000.0
        lower.set_ylabel(f"Error ({quantity.unit})", fontsize=11)
    span = 1.15 * float(np.abs(errors).max()) or 1.0
    upper.plot([low, high], [low, high], color=GREY, linewidth=1.0, zorder=0)
    lower.axhline(0.0, color=GREY, linewidth=1.0, zorder=0)
    _density(upper, x, y, (low, high), (low, high), 180)
    _density(lower, x, errors, (low, high), (-span, span), 56)  # cells as tall as wide on the page
    for axis, most in ((upper.xaxis, 8), (upper.yaxis, 8), (lower.yaxis, 4)):
        axis.set_major_locator(MaxNLocator(most, steps=(1, 2, 5, 10), symmetric=axis is lower.yaxis))
        formatter = ScalarFormatter()
        formatter.set_powerlimits((-3, 5))
        axis.set_major_formatter(formatter)


def _density(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    num_rows: int,
) -> None:
    """Points coloured by their local density; a map of the density in ``num_rows`` rows where the points are many."""
    few = x.size <= SCATTER_LIMIT
    bins = (50, 50) if few else (180, num_rows)
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=bins, range=(xlim, ylim))
    if few:
        smooth = gaussian_filter(counts, 1.0)
        column = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, bins[0] - 1)
        row = np.clip(np.searchsorted(y_edges, y, side="right") - 1, 0, bins[1] - 1)
        local = smooth[column, row] / smooth.max()
        order = np.argsort(local, kind="stable")
        axes.scatter(x[order], y[order], c=local[order], s=9, linewidths=0, cmap="viridis", norm=DENSITY)
    else:
        cells = np.ma.masked_equal(counts.T / counts.max(), 0.0)
        axes.pcolormesh(x_edges, y_edges, cells, cmap="viridis", norm=DENSITY, rasterized=True)
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)


def _error_histogram(axes: Axes, arrays: Arrays, quantity: str, labels: tuple[str, ...], widest: float) -> None:
    errors = _errors(arrays, quantity)
    if errors.size == 0:
        axes.text(0.5, 0.5, "no finite prediction", ha="center", va="center", transform=axes.transAxes)
        return
    num_bins = int(np.clip(1.5 * math.sqrt(errors.size / len(labels)), 15, 81))
    edges = np.linspace(-widest, widest, num_bins + 1)
    peak = 1.0
    for state, label in enumerate(labels):
        # what lies beyond the axis is counted in the outermost bins
        counts, _ = np.histogram(np.clip(_errors(arrays, quantity, state), -widest, widest), edges)
        peak = max(peak, float(counts.max()))
        if len(labels) == 1:
            axes.stairs(counts, edges, fill=True, color=SKY, alpha=0.75)
        else:
            axes.stairs(counts, edges, color=STATE_COLOURS[state % len(STATE_COLOURS)], linewidth=1.6, label=label)
    columns = min(len(labels) + 2, 3) if len(labels) > 1 else 2
    filled = 0.95 - 0.085 * math.ceil((len(labels) * (len(labels) > 1) + 2) / columns)  # the legend stands above
    axes.set_yscale("log")
    axes.set_ylim(0.7, 0.7 * (1.6 * peak / 0.7) ** (1 / filled))
    axes.set_xlim(-widest, widest)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=(1, 2, 5, 10)))
    if widest > LARGE_ERROR:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}".replace("-", "−"))
    mae, rmse = np.abs(errors).mean(), math.sqrt(np.square(errors).mean())
    unit = QUANTITIES[quantity].error_unit
    for value, style, colour, name in ((mae, "-", VERMILION, "MAE"), (rmse, "--", "#1A1A1A", "RMSE")):
        for sign, text in ((1, f"±{name} {readable(value)} {unit}"), (-1, None)):
            axes.axvline(sign * value, ymax=filled, color=colour, linestyle=style, linewidth=1.4, label=text)
    entries = axes.get_legend_handles_labels()
    handles, texts = (list(part[-2:]) + list(part[:-2]) for part in entries)  # MAE and RMSE before the states
    placing: dict[str, Any] = {"loc": "upper left", "ncols": columns, "columnspacing": 1.4, "handlelength": 1.6}
    axes.legend(handles, texts, frameon=False, fontsize=9.5, **placing)


def _errors(arrays: Arrays, quantity: str, state: int | None = None) -> np.ndarray:
    """Prediction - reference in thousandths of the quantity's unit, finite ones only: ``[K]``."""
    if not has(arrays, quantity):
        return np.empty(0)
    reference, prediction = pairs(arrays, quantity, state)
    errors = 1000.0 * (prediction - reference)
    return errors[np.isfinite(errors)]


def _robust_range(errors: np.ndarray) -> float:
    """Half-width of an error axis: all of it, but not more than eight RMSE."""
    if errors.size == 0 or not np.any(errors):
        return 1.0
    return float(min(1.05 * np.abs(errors).max(), 8.0 * math.sqrt(np.square(errors).mean())))


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.04 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _split_name(split: str) -> str:
    return {"val": "Validation", "test": "Test", "train": "Training"}.get(split, split)
