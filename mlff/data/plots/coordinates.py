"""Internal coordinates along trajectories and their distributions, coloured by the active state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from mlff.data.dataset import HDF5Dataset
from mlff.data.internal import Internal, measure, parse_internal
from mlff.data.plots.automatic import choose
from mlff.data.plots.histogram import common_range, num_bins
from mlff.data.plots.page import finish, new_page, shortened
from mlff.data.plots.shown import NothingToDraw, Shown, clocks, select
from mlff.data.plots.states import legend_lines, state_style, traced
from mlff.figure import dress

MOST_TRAJECTORIES = 6  # drawn where none are named
_MOST_FRAMES = 10_000  # of a distribution
_SEARCHED = 300  # frames that automatic coordinates are chosen from
_MOST_COORDINATES = 12


def plot_coordinates(
    dataset: HDF5Dataset,
    system: str | None = None,
    *,
    trajectories: Sequence[str] | None = None,
    internal: Sequence[str] | None = None,
) -> Figure:
    """Distances, angles and torsions along trajectories (left) and their distributions (right), a row each.

    ``internal`` are texts such as ``0-5``, ``4-5-6`` or ``4-5-6-7``, atoms counted from 0; without it those that vary the
    most are chosen (``mlff.data.plots.automatic.choose``). Colours are the active states. A torsion is drawn from the
    angle on that it passes the least, so that lines seldom jump by a turn. NothingToDraw (a ValueError) where there is
    one atom.
    """
    shown = select(dataset, system, trajectories)
    num_atoms = shown.system.num_atoms
    if internal is not None:
        if len(internal) > _MOST_COORDINATES:
            raise ValueError(f"{len(internal)} internal coordinates were named; one picture holds up to {_MOST_COORDINATES}")
        wanted = [parse_internal(text, num_atoms) for text in internal]
    elif num_atoms < 2:
        raise NothingToDraw("one atom has no internal coordinate")
    else:
        wanted = choose(shown.system, shown.rows(_SEARCHED))
    if not wanted:
        raise NothingToDraw("no two atoms are bonded in the first frame, or only several images of them; name coordinates")
    drawn = shown.some_trajectories(MOST_TRAJECTORIES)
    rows = shown.rows(_MOST_FRAMES)
    states = shown.active_states(rows)
    figure = new_page(shown, _subject(shown, len(wanted), len(drawn)), 10.5 if drawn else 6.6, 1.5 + 2.1 * len(wanted))
    grid = figure.subplots(
        len(wanted), 2 if drawn else 1, squeeze=False, sharey="row", sharex="col",
        width_ratios=(2.6, 1) if drawn else (1,),
    )  # fmt: skip
    paths = [shown.drawn_rows(each) for each in drawn]
    times, label = clocks(shown, [path for path, _ in paths]) if drawn else ([], "")
    peak = 1
    present = set(np.unique(states).tolist())
    for line, coordinate in enumerate(wanted):
        series = [measure(shown.system, path, [coordinate.atoms])[:, 0] for path, _ in paths]
        values = measure(shown.system, rows, [coordinate.atoms])[:, 0]
        if coordinate.kind == "torsion":
            cut = emptiest_cut(series, values)
            series, values = [turned(each, cut) for each in series], turned(values, cut)
        for time, (path, _), each in zip(times, paths, series):
            active = shown.active_states(path)
            present |= set(np.unique(active).tolist())
            _draw_series(grid[line, 0], time, each, active, coordinate)
        peak = max(peak, _draw_distribution(grid[line, -1], values, states))
        _dress_row(grid[line], coordinate, shown, label if line == len(wanted) - 1 else "", line == len(wanted) - 1)
    grid[-1, -1].set_xlim(0, 1.05 * peak)
    several = shown.system.num_states > 1
    handles = legend_lines(shown.system, sorted(present, key=lambda state: (state < 0, state))) if several else []
    names, strides = [str(each.name) for each in drawn], [stride for _, stride in paths]
    return finish(figure, _caption(shown, names, strides, rows, internal), handles)


def emptiest_cut(series: Sequence[np.ndarray], values: np.ndarray) -> float:
    """Angle to begin the turn at: of -180, 0 and the multiples of 30 degrees between them the one that is crossed the least.

    Counted are first the steps of the series that jump over it, then the values within 10 degrees of it.
    """

    def crossed(start: float) -> tuple[int, int]:
        jumps = sum(int((np.abs(np.diff(turned(each, start))) > 180).sum()) for each in series)
        return jumps, int((np.abs(turned(values, start) - start - 180) > 170).sum())

    return float(min((-180, 0, *range(-150, 0, 30)), key=crossed))


def turned(degrees: np.ndarray, start: float) -> np.ndarray:
    """Angles in the turn that begins at ``start``: from it (included) to 360 degrees more."""
    return (degrees - start) % 360.0 + start


def _draw_series(axes: Axes, time: np.ndarray, values: np.ndarray, active: np.ndarray, coordinate: Internal) -> None:
    for state, (x, y) in traced(time, values, active).items():
        if coordinate.kind == "torsion":  # no line across the figure where the angle goes round
            jumps = np.flatnonzero(np.abs(np.diff(y)) > 180) + 1
            x, y = np.insert(x, jumps, np.nan), np.insert(y, jumps, np.nan)
        axes.plot(x, y, linewidth=1.0, label=f"_{state}", **state_style(state))


def _draw_distribution(axes: Axes, values: np.ndarray, states: np.ndarray) -> int:
    """Draw counts to the right; returns the largest."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0
    low, high = common_range(finite)
    groups = [values[states == state] for state in np.unique(states)]
    edges = np.linspace(low, high, num_bins(groups) + 1)
    peak = 1
    for state in np.unique(states):
        own = values[(states == state) & np.isfinite(values)]
        counts, _ = np.histogram(np.clip(own, low, high), edges)
        peak = max(peak, int(counts.max()))
        style = {"baseline": 0, "orientation": "horizontal", "linewidth": 1.4, **state_style(int(state))}
        axes.stairs(counts, edges, label=f"_{state}", **style)
    return peak


def _dress_row(row: np.ndarray, coordinate: Internal, shown: Shown, label: str, last: bool) -> None:
    """Labels of a row: the coordinate over it, its unit at the left, time and counts below the last."""
    name = coordinate.name(shown.system.atomic_numbers)
    row[0].set_title(f"{coordinate.kind.capitalize()} {name}", fontsize=10.5, loc="left")
    for axes in row:
        dress(axes)
        if coordinate.kind != "distance":
            low, high = axes.get_ylim()
            step = next(step for step in (1, 2, 5, 10, 20, 30, 60, 90) if (high - low) / step < 6)
            axes.yaxis.set_major_locator(MultipleLocator(step))
    row[0].set_ylabel("Length (Å)" if coordinate.kind == "distance" else "Angle (°)", fontsize=11)
    row[-1].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if last:
        row[-1].set_xlabel("Frames per bin", fontsize=11)
    if len(row) == 2:
        row[0].margins(x=0.02)
        if last:
            row[0].set_xlabel(label, fontsize=11)


def _subject(shown: Shown, num_coordinates: int, num_drawn: int) -> str:
    what = f"{num_coordinates} internal coordinate{'s' * (num_coordinates > 1)}"
    held = len(shown.trajectories)
    if not held:
        return f"Distribution of {what}"
    some = f"{num_drawn} of {held:,}" if num_drawn < held else f"{held:,}"
    return f"{what} along {some} trajector{'ies' if held > 1 else 'y'}"


def _caption(
    shown: Shown, names: Sequence[str], strides: Sequence[int], rows: np.ndarray, internal: Sequence[str] | None
) -> list[str]:
    parts = []
    if names:
        told = ", ".join(shortened(name, 24) for name in names[:MOST_TRAJECTORIES])
        parts.append(f"lines: {told}{', ...' if len(names) > MOST_TRAJECTORIES else ''}")
        if max(strides) > 1:
            parts.append(f"every {max(strides)}th frame drawn at the longest")
    parts.append(f"distributions: {shown.sampled(rows)}")
    parts.append("atoms are counted from 0")
    if internal is None:
        parts.append("these coordinates vary the most, by the bonds of the first frame")
    return parts
