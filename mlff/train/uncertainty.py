"""What the spread of a committee says about its errors: predictions of all members, and calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import spearmanr

from mlff.data import HDF5Dataset, HDF5View
from mlff.data.batch import PAIR_AXES
from mlff.figure import BLUE, GREY, dress, message, new_figure, readable, save
from mlff.potential.potential import Potential
from mlff.train.metrics import Arrays, Metrics, evaluate

QUANTITIES = {"energy": "meV", "forces": "meV/Å"}
_BINS = 12


def evaluate_committee(
    potentials: Sequence[Potential],
    dataset: HDF5Dataset | HDF5View,
    indices: np.ndarray | Sequence[int] | None = None,
    batch_size: int = 32,
    *,
    states: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Metrics:
    """As `mlff.train.metrics.evaluate`, of the members' mean; the predictions hold ``energy_uncertainty`` ``[B,S]`` and
    ``forces_uncertainty`` ``[N,S,3]``, standard deviations (with M - 1) over the M members, too.

    Raises:
        ValueError: fewer than two members, and whatever `evaluate` raises.
    """
    if len(potentials) < 2:
        raise ValueError(f"the spread of {len(potentials)} model is not defined; give two or more")
    means: Arrays = {}
    squares: Arrays = {}
    first: Arrays = {}
    for number, potential in enumerate(potentials):
        predicted = evaluate(potential, dataset, indices, batch_size, states=states, progress=progress).predictions
        first = first or predicted
        for name in ("energy", "forces", "stress", *PAIR_AXES):
            if name in predicted:  # mean and sum of squares as they come (Welford, Technometrics 4, 419, 1962)
                values = predicted[name].astype(np.float64)
                means.setdefault(name, np.zeros_like(values))
                squares.setdefault(name, np.zeros_like(values))
                change = values - means[name]
                means[name] = means[name] + change / (number + 1)
                squares[name] = squares[name] + change * (values - means[name])
    spread = {f"{name}_uncertainty": np.sqrt(each / (len(potentials) - 1)) for name, each in squares.items()}
    return Metrics({**first, **means, **{f"{name}_uncertainty": spread[f"{name}_uncertainty"] for name in QUANTITIES}})


def calibration(predictions: Arrays, quantity: str, bins: int = _BINS) -> dict[str, Any]:
    """How the spread of ``energy`` or ``forces`` compares with the error, over all states.

    Returns:
        ``num_values``; ``spread`` and ``error``, root mean squares in meV or meV/Å; ``ratio``, error over spread, by which the
        spread is to be multiplied (1: calibrated); ``rank_correlation`` (Spearman) of spread and absolute error, None where
        it is not defined; ``bins``, from the smallest spread on, each of as many values: ``spread``, ``error``, ``num_values``.
    """
    reference = predictions[f"{quantity}_ref"].astype(np.float64)
    known = np.isfinite(reference)
    errors = 1000.0 * (predictions[quantity] - reference)[known]
    spread = 1000.0 * predictions[f"{quantity}_uncertainty"][known]
    if not errors.size:
        return {"num_values": 0, "spread": None, "error": None, "ratio": None, "rank_correlation": None, "bins": []}
    order = np.argsort(spread, kind="stable")
    rows = [
        {"spread": _rms(spread[chosen]), "error": _rms(errors[chosen]), "num_values": len(chosen)}
        for chosen in np.array_split(order, min(bins, len(order)))
    ]
    constant = np.ptp(spread) == 0 or np.ptp(np.abs(errors)) == 0
    total = _rms(spread)
    return {
        "num_values": int(errors.size),
        "spread": total,
        "error": _rms(errors),
        "ratio": _rms(errors) / total if total else None,
        "rank_correlation": None if constant else float(spearmanr(spread, np.abs(errors)).statistic),
        "bins": rows,
    }


def calibration_text(predictions: Arrays) -> list[str]:
    """A line for energies and one for forces."""
    lines = []
    for quantity, unit in QUANTITIES.items():
        figures = calibration(predictions, quantity)
        if figures["num_values"]:
            ratio, rank = ("–" if figures[key] is None else f"{figures[key]:.2f}" for key in ("ratio", "rank_correlation"))
            lines.append(
                f"{quantity}: spread {readable(figures['spread'])} {unit}, error {readable(figures['error'])} {unit} (RMS), "
                f"error / spread {ratio}, rank correlation {rank}"
            )
    return lines


def plot_calibration(predictions: Arrays, path: str | Path) -> Path:
    """RMS error against RMS spread, of energies and of force components, in bins of as many values; the line is error =
    spread, where a committee is calibrated. A committee that is sure of itself lies above it."""
    shown = {name: unit for name, unit in QUANTITIES.items() if calibration(predictions, name)["num_values"]}
    if not shown:
        return message("No reference values: no errors to compare the spread with.", path)
    figure = new_figure(5.0 * len(shown), 4.9)
    for axes, (name, unit) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items()):
        figures = calibration(predictions, name)
        points = np.array([(row["spread"], row["error"]) for row in figures["bins"]])
        points = points[(points > 0).all(axis=1)]
        dress(axes, xlabel=f"Spread of the committee ({unit})", ylabel=f"RMS error ({unit})")
        axes.set_title({"energy": "Energy", "forces": "Force component"}[name], fontsize=12, fontweight="bold", loc="left")
        if len(points):
            limits = points.min() / 1.5, points.max() * 1.5
            axes.loglog(limits, limits, color=GREY, linewidth=1.2, label="error = spread")
            axes.loglog(*points.T, "o-", color=BLUE, markersize=5, linewidth=1.4, label="bins of equal count")
            axes.set_xlim(limits)
            axes.set_ylim(limits)
            axes.set_aspect("equal")
            axes.legend(frameon=False, fontsize=10, loc="lower right")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.set_minor_formatter(NullFormatter())
        ratio = "–" if figures["ratio"] is None else f"{figures['ratio']:.2f}"
        axes.text(0.04, 0.96, f"error / spread {ratio}\n{figures['num_values']:,} values", transform=axes.transAxes, va="top")
    return save(figure, path)


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float(np.square(values).mean()))
