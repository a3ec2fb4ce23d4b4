"""Populations in time: the share of the running trajectories in each state, and the quantum populations beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlff.data.dataset import HDF5Dataset
from mlff.data.plots.page import finish, new_page
from mlff.data.plots.shown import NothingToDraw, Shown, select
from mlff.data.plots.states import legend_lines, state_names, state_style
from mlff.data.system import System
from mlff.figure import GREY, dress

_MOST_TIMES = 2000


@dataclass(frozen=True)
class Populations:
    """Populations at T times; S states. A trajectory counts from its first time to its last and nowhere else."""

    time: np.ndarray  #: f8 [T] fs
    running: np.ndarray  #: i8 [T], trajectories that run and whose active state is known (else their quantum populations)
    fraction: np.ndarray  #: f8 [T,S], of those the share in each active state; NaN where none runs
    low: np.ndarray  #: f8 [T,S], fraction less one standard error (Wilson's interval, z = 1)
    high: np.ndarray  #: f8 [T,S], fraction and one standard error
    quantum: np.ndarray  #: f8 [T,S], mean quantum population of the trajectories that run; NaN unknown
    ended: int  #: trajectories that end before the last time
    untimed: int  #: trajectories left out because their times are not known


def read_populations(shown: Shown) -> Populations:
    """Populations of the trajectories on one grid of times, whose step is the usual time between their frames.

    Between frames a trajectory is in the state of the frame before. The band is Wilson's score interval (J. Am. Stat.
    Assoc. 22, 209, 1927) at one standard error: sqrt(p (1 - p) / n) for many trajectories, and not zero where all of a
    few are in one state. Quantum populations are ``population``, else the sums of |coefficients|^2 over each state's
    spin components. NothingToDraw where no trajectory has times and active states or quantum populations.
    """
    system = shown.system
    if not shown.trajectories:
        raise NothingToDraw("the frames belong to no known trajectory")
    if not system.has("time"):
        raise NothingToDraw("the times of the frames are not known")
    if not any(system.has(name) for name in ("active_state", "population", "coefficients")):
        raise NothingToDraw("neither active states nor quantum populations are known")
    spans = [slice(each.first, each.first + each.count) for each in shown.trajectories]
    times = [system.read("time", span) for span in spans]
    timed = [k for k, each in enumerate(times) if np.isfinite(each).all() and (np.diff(each) > 0).all()]
    if not timed:
        raise NothingToDraw("the times of the frames are not known")
    grid = _grid([times[k] for k in timed])
    counts = np.zeros((len(grid), system.num_states))
    summed = np.zeros((len(grid), system.num_states))
    weighed = np.zeros(len(grid))
    slack = 1e-6 * (grid[-1] - grid[0] + 1.0)
    for k in timed:
        latest = np.searchsorted(times[k], grid + slack, side="right") - 1
        at = np.flatnonzero((latest >= 0) & (grid <= times[k][-1] + slack))
        rows = spans[k].start + latest[at]
        if system.has("active_state"):
            active = system.read("active_state", rows).astype(np.int64)
            known = active >= 0
            counts[at[known], active[known]] += 1
        quantum = _quantum(system, rows)
        if quantum is not None:
            known = np.isfinite(quantum).all(axis=1)
            summed[at[known]] += quantum[known]
            weighed[at[known]] += 1
    known_states = counts.sum(axis=1)
    running = known_states if known_states.any() else weighed
    if not running.any():
        raise NothingToDraw("neither active states nor quantum populations are known")
    with np.errstate(invalid="ignore", divide="ignore"):
        n = known_states[:, None]
        fraction = counts / n
        quantum = summed / weighed[:, None]
        centre = (fraction + 0.5 / n) / (1 + 1 / n)
        half = np.sqrt(fraction * (1 - fraction) / n + 0.25 / n**2) / (1 + 1 / n)
    ended = sum(times[k][-1] + slack < grid[-1] for k in timed)
    return Populations(
        grid, running.astype(np.int64), fraction, centre - half, centre + half, quantum, int(ended), len(times) - len(timed)
    )


def plot_populations(
    dataset: HDF5Dataset, system: str | None = None, *, trajectories: Sequence[str] | None = None
) -> Figure:
    """Share of the running trajectories in each active state against time, with a band of one standard error.

    Below it stands the number of trajectories that run, which is what the shares are of. Mean quantum populations are
    dotted. NothingToDraw (a ValueError) where times or both populations are missing; see ``read_populations``.
    """
    shown = select(dataset, system, trajectories)
    found = read_populations(shown)
    number = f"{len(shown.trajectories):,} trajector{'ies' if len(shown.trajectories) > 1 else 'y'}"
    figure = new_page(shown, f"Populations of {shown.system.num_states} states in {number}", 8.6, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    classical, quantum = bool(np.isfinite(found.fraction).any()), bool(np.isfinite(found.quantum).any())
    for state in range(shown.system.num_states):
        style = state_style(state)
        if (found.fraction[:, state] > 0).any():
            line = {"linewidth": 1.9, "drawstyle": "steps-post", **style}
            upper.plot(found.time, found.fraction[:, state], label=f"_active {state}", **line)
            if found.running.max() > 1:
                band = {"color": style["color"], "alpha": 0.14, "linewidth": 0, "step": "post"}
                upper.fill_between(found.time, found.low[:, state], found.high[:, state], **band)
        if quantum:
            line = {"color": style["color"], "linestyle": (0, (1.0, 1.2)), "linewidth": 1.7}
            upper.plot(found.time, found.quantum[:, state], label=f"_quantum {state}", **line)
    dress(upper, ylabel="Population")
    upper.set_ylim(-0.03, 1.03)
    lower.step(found.time, found.running, where="post", color=GREY, linewidth=1.6)
    lower.set_ylim(0, 1.25 * max(1, found.running.max()))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    dress(lower, xlabel="Time (fs)", ylabel="Trajectories\nrunning")
    lower.set_xlim(found.time[0], found.time[-1] if found.time[-1] > found.time[0] else found.time[0] + 1)
    ever = np.nan_to_num(found.fraction).max(axis=0) > 0
    handles = legend_lines(shown.system, [state for state in range(shown.system.num_states) if quantum or ever[state]])
    never = [name for name, each in zip(state_names(shown.system), ever) if not each] if classical else []
    if quantum:
        dotted: dict[str, Any] = {"color": GREY, "linestyle": (0, (1.0, 1.2)), "linewidth": 1.7}
        handles += [Line2D([], [], color=GREY, linewidth=1.9, label="active")] if classical else []
        handles += [Line2D([], [], label="quantum", **dotted)]
    return finish(figure, _caption(found, classical, quantum, never), handles)


def _caption(found: Populations, classical: bool, quantum: bool, never: Sequence[str]) -> list[str]:
    most = int(found.running.max())
    parts = []
    if classical:
        ensemble = "one trajectory" if most == 1 else f"up to {most:,} trajectories"
        parts.append(f"{ensemble}; shares are of those still running (below)")
        if found.ended:
            one = found.ended == 1
            early = f"{found.ended:,} trajector{'y ends' if one else 'ies end'} before {found.time[-1]:g} fs"
            parts.append(f"{early} and {'is' if one else 'are'} not counted after that")
        parts.append("bands: one standard error" if most > 1 else "one trajectory gives no standard error")
    if never:
        parts.append(f"never active: {', '.join(never)}")
    if quantum:
        parts.append("dotted: mean quantum population")
    if found.untimed:
        number = "1 trajectory is" if found.untimed == 1 else f"{found.untimed:,} trajectories are"
        parts.append(f"{number} left out, with times that are not known or do not increase")
    if len(found.time) > _MOST_TIMES:
        parts.append(f"drawn at {len(found.time):,} evenly spaced times")
    return parts


def _grid(times: Sequence[np.ndarray]) -> np.ndarray:
    """Evenly spaced times from the first to the last of all, at the median spacing, or as many as are drawn."""
    start, end = min(float(each[0]) for each in times), max(float(each[-1]) for each in times)
    steps = [float(np.median(np.diff(each))) for each in times if len(each) > 1]
    if not steps or end <= start:
        return np.array([start])
    num = min(_MOST_TIMES, int(round((end - start) / float(np.median(steps)))))
    return np.linspace(start, end, max(1, num) + 1)


def _quantum(system: System, rows: np.ndarray) -> np.ndarray | None:
    """Quantum population of each state in each row, ``[len(rows),S]``, NaN unknown; None where there is none."""
    if system.has("population"):
        return system.read("population", rows).astype(np.float64)
    if not system.has("coefficients") or not system.spin_states:
        return None
    weight = np.abs(system.read("coefficients", rows)) ** 2
    result = np.zeros((len(rows), system.num_states))
    for component, (state, _) in enumerate(system.spin_states):
        result[:, state] += weight[:, component]
    return result
