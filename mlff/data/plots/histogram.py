"""Histograms of several groups over common bins, counts on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from mlff.data.plots.states import state_style

_WIDEST = 8.0  # standard deviations from the mean that an axis shows at most


def draw_histograms(
    axes: Axes, values: Mapping[int, np.ndarray], *, low: float | None = None, limits: tuple[float, float] | None = None
) -> str:
    """Draw the values of each state as steps over common bins; returns what the caption has to say of it.

    Without ``limits`` the axis holds all values up to eight standard deviations from their mean, and what is beyond is
    counted in the outermost bins, which the returned words then say; ``low`` is where it begins if that is known. With
    ``limits`` what is beyond is left out.
    """
    if limits is not None:
        values = {state: each[(each >= limits[0]) & (each <= limits[1])] for state, each in values.items()}
    everything = np.concatenate([each.ravel() for each in values.values()])
    first, last = limits or common_range(everything)
    first = first if low is None else low
    edges = np.linspace(first, last, num_bins(values.values()) + 1)
    peak = 1
    for state, each in values.items():
        counts, _ = np.histogram(np.clip(each, first, last), edges)
        axes.stairs(counts, edges, baseline=0, linewidth=1.6, label=f"_{state}", **state_style(state))
        peak = max(peak, int(counts.max()))
    axes.set_ylim(0.7, max(14.0, 1.6 * peak))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}" if count < 1e6 else f"{count:.0e}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(first, last)
    beyond = int(((everything < first) | (everything > last)).sum())
    return f"{beyond:,} values beyond the axis are counted in its outermost bins" if beyond else ""


def num_bins(values: Iterable[np.ndarray]) -> int:
    """Bins of a histogram of several groups: more for more values, 15 to 80."""
    sizes = [each.size for each in values if each.size]
    return int(np.clip(1.5 * math.sqrt(float(np.median(sizes))), 15, 80)) if sizes else 15


def common_range(values: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value, but at most eight standard deviations from the mean; wider than zero."""
    values = values.astype(np.float64)
    mean, spread = float(values.mean()), float(values.std())
    low, high = max(float(values.min()), mean - _WIDEST * spread), min(float(values.max()), mean + _WIDEST * spread)
    if high - low > 1e-12 * max(1.0, abs(mean)):
        return low, high
    margin = max(1e-6, 1e-3 * abs(mean)) if math.isfinite(mean) else 1.0
    return mean - margin, mean + margin
