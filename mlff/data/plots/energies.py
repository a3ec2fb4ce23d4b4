"""Energies of all states along trajectories, with the active state and its hops; a distribution where there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlff.data.dataset import HDF5Dataset
from mlff.data.plots.histogram import draw_histograms
from mlff.data.plots.page import finish, new_page, shortened
from mlff.data.plots.shown import NothingToDraw, Shown, clocks, select
from mlff.data.plots.states import legend_lines, lowest_state, state_names, state_style, traced
from mlff.figure import dress

MOST_TRAJECTORIES = 6  # drawn where none are named
_MOST_PANELS = 60
_MOST_FRAMES = 200_000  # of a distribution
_BLOCK = 1 << 16
INK = "#1A1A1A"


def plot_energies(
    dataset: HDF5Dataset, system: str | None = None, *, trajectories: Sequence[str] | None = None
) -> Figure:
    """Energy of every state along trajectories, a panel each, from the lowest energy of S0 in the frames, in eV.

    Drawn are the named ``trajectories``, or up to six spread over the file. The active state is bold; hops are dots,
    frustrated hops crosses. Frames that belong to no trajectory give the distribution of their energies. ``system`` may
    be left out where the file has one. NothingToDraw (a ValueError) where no energy is known.
    """
    shown = select(dataset, system, trajectories)
    zero = lowest_energy(shown)
    return _along(shown, zero) if shown.trajectories else _distribution(shown, zero)


def lowest_energy(shown: Shown) -> float:
    """Lowest energy of S0 (of the first state where none is called so) in all of the frames, in eV."""
    state, lowest = lowest_state(shown.system), math.inf
    if shown.system.has("energy"):
        rows = shown.rows(shown.num_frames)
        for first in range(0, len(rows), _BLOCK):
            energy = shown.system.read("energy", rows[first : first + _BLOCK])[:, state]
            lowest = min(lowest, float(np.min(energy[np.isfinite(energy)], initial=math.inf)))
    if not math.isfinite(lowest):
        raise NothingToDraw(f"no frame has an energy of {state_names(shown.system)[state]}")
    return lowest


def _along(shown: Shown, zero: float) -> Figure:
    system = shown.system
    drawn = shown.some_trajectories(MOST_TRAJECTORIES)
    if len(drawn) > _MOST_PANELS:
        raise NothingToDraw(f"{len(drawn)} trajectories were named; one picture holds up to {_MOST_PANELS}")
    rows, strides = zip(*(shown.drawn_rows(each) for each in drawn))
    times, label = clocks(shown, rows)
    columns = min(3, len(drawn))
    lines = -(-len(drawn) // columns)
    width = 7.5 if columns == 1 else 1.2 + 4.0 * columns
    figure = new_page(shown, _subject(shown, len(drawn)), width, 1.5 + (4.2 if len(drawn) == 1 else 2.9) * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    marks = {1: 0, 2: 0}
    for k, trajectory in enumerate(drawn):
        axes = grid[k // columns, k % columns]
        found = _panel(axes, shown, rows[k], times[k], zero)
        marks = {kind: marks[kind] + found[kind] for kind in marks}
        odd = f" ({trajectory.status})" if trajectory.status not in ("complete", "unordered") else ""
        axes.set_title(shortened(str(trajectory.name)) + odd, fontsize=10.5, loc="left")
        last = k + columns >= len(drawn)
        axes.tick_params(labelbottom=last)
        dress(axes, xlabel=label if last else "", ylabel=_axis_label(shown) if k % columns == 0 else "")
        axes.margins(x=0.02)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    several = system.num_states > 1
    known = several and any((shown.active_states(each) >= 0).any() for each in rows)
    handles = legend_lines(system, range(system.num_states)) if several else []
    caption = []
    if known:
        handles.append(Line2D([], [], color=INK, linewidth=3.6, label="bold: active"))
        caption.append("bold: the active state")
    elif several:
        caption.append("the active state is not known")
    for kind, name in ((1, "hop"), (2, "frustrated hop")):
        if marks[kind]:
            handles.append(Line2D([], [], linestyle="", color=INK, label=f"{name}", **_MARKS[kind]))
    if max(strides) > 1:
        caption.append(f"every {max(strides)}th frame drawn at the longest, and every hop")
    shared = "of these trajectories" if shown.chosen else f"of all {shown.num_frames:,} frames"
    caption.append(f"zero is the lowest {_zero_name(shown)} {shared}, {_number(zero)} eV")
    return finish(figure, caption, handles)


_MARKS: dict[int, dict] = {
    1: {"marker": "o", "markersize": 6, "markerfacecolor": "white", "markeredgewidth": 1.5},
    2: {"marker": "x", "markersize": 7, "markeredgewidth": 1.8},
}


def _panel(axes: Axes, shown: Shown, rows: np.ndarray, time: np.ndarray, zero: float) -> dict[int, int]:
    """Draw one trajectory; returns how many hops and frustrated hops were marked."""
    energy = shown.system.read("energy", rows) - zero
    active = shown.active_states(rows)
    names = state_names(shown.system)
    several = energy.shape[1] > 1
    for state in range(energy.shape[1]):
        axes.plot(time, energy[:, state], linewidth=1.1 if several else 1.5, label=names[state], **state_style(state))
    marks = {1: 0, 2: 0}
    if not several:
        return marks
    for state, (x, y) in traced(time, energy, active).items():
        if state >= 0:
            axes.plot(x, y, linewidth=3.6, solid_capstyle="round", label=f"_active {names[state]}", **state_style(state))
    hop = shown.system.read("hop", rows) if shown.system.has("hop") else np.zeros(len(rows), dtype=int)
    for kind in marks:
        where = np.flatnonzero((hop == kind) & (active >= 0))
        marks[kind] = len(where)
        if not len(where):
            continue
        heights = energy[where, active[where]]
        if kind == 1 and (from_ := where[where > 0]).size:
            before = energy[from_, active[from_ - 1]]
            axes.vlines(time[from_], before, energy[from_, active[from_]], color=INK, linewidth=1.0, zorder=3)
        axes.plot(time[where], heights, linestyle="", color=INK, zorder=4, label=f"_hop {kind}", **_MARKS[kind])
    return marks


def _distribution(shown: Shown, zero: float) -> Figure:
    rows = shown.rows(_MOST_FRAMES)
    energy = shown.system.read("energy", rows) - zero
    values = {state: column[np.isfinite(column)] for state, column in enumerate(energy.T)}
    values = {state: column for state, column in values.items() if column.size}
    several = f" of {shown.system.num_states} states" if shown.system.num_states > 1 else ""
    figure = new_page(shown, f"Distribution of energies{several}", 8.4, 4.8)
    axes = figure.subplots()
    beyond = draw_histograms(axes, values)
    dress(axes, xlabel=_axis_label(shown), ylabel="Frames per bin")
    caption = ["the frames belong to no known trajectory", shown.sampled(rows), beyond]
    handles = legend_lines(shown.system, values) if shown.system.num_states > 1 else []
    return finish(figure, [*caption, f"zero is {_number(zero)} eV"], handles)


def _subject(shown: Shown, num_drawn: int) -> str:
    states = f"Energies of {shown.system.num_states} states" if shown.system.num_states > 1 else "Energy"
    held = len(shown.trajectories)
    some = f"{num_drawn} of {held:,}" if num_drawn < held else f"{held:,}"
    return f"{states} along {some} trajector{'ies' if held > 1 else 'y'}"


def _number(energy: float) -> str:
    return f"{energy:,.4f}".replace("-", "−")


def _axis_label(shown: Shown) -> str:
    return f"Energy − lowest {_zero_name(shown)} (eV)"


def _zero_name(shown: Shown) -> str:
    return f"E({state_names(shown.system)[lowest_state(shown.system)]})" if shown.system.num_states > 1 else "energy"
