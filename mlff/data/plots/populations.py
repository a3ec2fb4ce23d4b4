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
from mlff.data.plots.ensemble import MOST_TIMES, RESAMPLES, bootstrap, one_hot, read_ensemble
from mlff.data.plots.page import finish, new_page
from mlff.data.plots.shown import NothingToDraw, Shown, select
from mlff.data.plots.states import legend_lines, state_names, state_style
from mlff.figure import GREY, dress


@dataclass(frozen=True)
class Populations:
    """Populations at T times; S states. A trajectory counts from its first time to its last and nowhere else."""

    time: np.ndarray  #: f8 [T] fs
    running: np.ndarray  #: i8 [T], trajectories that run and whose active state is known (else their quantum populations)
    fraction: np.ndarray  #: f8 [T,S], of those the share in each active state; NaN where none runs
    low: np.ndarray  #: f8 [T,S], lower end of the band about the fraction
    high: np.ndarray  #: f8 [T,S], upper end
    band: str  #: what the band is
    quantum: np.ndarray  #: f8 [T,S], mean quantum population of the trajectories that run; NaN unknown
    ended: int  #: trajectories that end before the last time
    untimed: int  #: trajectories left out because their times are not known
    quantum_band: tuple[np.ndarray, np.ndarray] | None = None  #: f8 [T,S] twice, its ends about the quantum populations


def read_populations(shown: Shown, *, resampled: bool = False) -> Populations:
    """Populations of the trajectories on one grid of times (``mlff.data.plots.ensemble.read_ensemble``).

    The band is Wilson's score interval (J. Am. Stat. Assoc. 22, 209, 1927) at one standard error: sqrt(p (1 - p) / n) for
    many trajectories, and not zero where all of a few are in one state; or, ``resampled``, the 95 % interval of a bootstrap
    over trajectories, which the quantum populations have too. NothingToDraw where no trajectory has times and active
    states or quantum populations.
    """
    ensemble = read_ensemble(shown)
    active, num_states = ensemble.active, shown.system.num_states
    counts = np.stack([(active == state).sum(axis=0) for state in range(num_states)], axis=1).astype(np.float64)
    known_states = counts.sum(axis=1)
    quantum, weighed = np.full(counts.shape, np.nan), np.zeros(len(counts))
    if ensemble.quantum is not None:
        known = np.isfinite(ensemble.quantum).all(axis=2)
        weighed = known.sum(axis=0).astype(np.float64)
        summed = np.where(known[..., None], ensemble.quantum, 0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            quantum = summed / weighed[:, None]
    running = known_states if known_states.any() else weighed
    if not running.any():
        raise NothingToDraw("neither active states nor quantum populations are known")
    with np.errstate(invalid="ignore", divide="ignore"):
        n = known_states[:, None]
        fraction = counts / n
        centre = (fraction + 0.5 / n) / (1 + 1 / n)
        half = np.sqrt(fraction * (1 - fraction) / n + 0.25 / n**2) / (1 + 1 / n)
    low, high, band, quantum_band = centre - half, centre + half, "one standard error", None
    if resampled and len(active) > 1:
        low, high = bootstrap(one_hot(active, num_states))
        band = f"95 % of {RESAMPLES:,} bootstrap resamples of the trajectories"
        quantum_band = None if ensemble.quantum is None else bootstrap(ensemble.quantum)
    return Populations(ensemble.time, running.astype(np.int64), fraction, low, high, band, quantum, ensemble.ended,
                       ensemble.untimed, quantum_band)  # fmt: skip


def plot_populations(
    dataset: HDF5Dataset, system: str | None = None, *, trajectories: Sequence[str] | None = None, resampled: bool = False
) -> Figure:
    """Share of the running trajectories in each active state against time, with a band of one standard error, or of a
    bootstrap (``resampled``).

    Below it stands the number of trajectories that run, which is what the shares are of. Mean quantum populations are
    dotted. NothingToDraw (a ValueError) where times or both populations are missing; see ``read_populations``.
    """
    shown = select(dataset, system, trajectories)
    found = read_populations(shown, resampled=resampled)
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
            if found.quantum_band is not None:
                low, high = (each[:, state] for each in found.quantum_band)
                upper.fill_between(found.time, low, high, color=style["color"], alpha=0.08, linewidth=0)
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
        parts.append(f"bands: {found.band}" if most > 1 else "one trajectory gives no standard error")
    if never:
        parts.append(f"never active: {', '.join(never)}")
    if quantum:
        parts.append("dotted: mean quantum population")
    if found.untimed:
        number = "1 trajectory is" if found.untimed == 1 else f"{found.untimed:,} trajectories are"
        parts.append(f"{number} left out, with times that are not known or do not increase")
    if len(found.time) > MOST_TIMES:
        parts.append(f"drawn at {len(found.time):,} evenly spaced times")
    return parts
