"""Distributions of force components and of the force on an atom, by state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlff.data.dataset import HDF5Dataset
from mlff.data.plots.histogram import draw_histograms
from mlff.data.plots.page import finish, new_page
from mlff.data.plots.shown import NothingToDraw, Shown, select
from mlff.data.plots.states import state_names, state_style
from mlff.figure import dress

_MOST_VALUES = 6_000_000  # force components that are read


def plot_forces(dataset: HDF5Dataset, system: str | None = None, *, trajectories: Sequence[str] | None = None) -> Figure:
    """Distribution of force components (left) and of their norm on each atom (right) in eV/angstrom, a curve a state.

    The legend says for which share of the frames a state's forces are known. NothingToDraw (a ValueError) where there
    are none.
    """
    shown = select(dataset, system, trajectories)
    rows, forces = read_forces(shown)
    names = state_names(shown.system)
    subject = "Force components and forces on atoms"
    figure = new_page(shown, subject + (", by state" if shown.system.num_states > 1 else ""), 11.5, 4.9)
    left, right = figure.subplots(1, 2)
    beyond = draw_histograms(left, {state: each.ravel() for state, each in forces.items()})
    draw_histograms(right, {state: np.linalg.norm(each, axis=-1).ravel() for state, each in forces.items()}, low=0.0)
    dress(left, xlabel="Force component (eV/Å)", ylabel="Components per bin")
    dress(right, xlabel="Force on an atom, its norm (eV/Å)", ylabel="Atoms per bin")
    handles = [
        Line2D([], [], linewidth=2.2, label=f"{names[state]}\nin {_share(len(each), len(rows))}", **state_style(state))
        for state, each in forces.items()
    ]
    absent = [names[state] for state in range(shown.system.num_states) if state not in forces]
    missing = f"no forces are known of {', '.join(absent)}" if absent else ""
    if shown.system.num_states == 1:
        handles, missing = [], f"forces known in {_share(len(forces[0]), len(rows))}"
    return finish(figure, [shown.sampled(rows), missing, beyond], handles)


def read_forces(shown: Shown) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The rows that were read, and the known forces of each state that has any, f8 ``[K,N,3]`` in eV/angstrom."""
    if not shown.system.has("forces"):
        raise NothingToDraw("no frame has forces")
    values = 3 * shown.system.num_atoms * shown.system.num_states
    rows = shown.rows(max(100, _MOST_VALUES // values))
    forces = shown.system.read("forces", rows)
    known = np.isfinite(forces).all(axis=(1, 3))
    held = {
        state: forces[known[:, state], :, state].astype(np.float64)
        for state in range(shown.system.num_states)
        if known[:, state].any()
    }
    if not held:
        raise NothingToDraw("no frame has forces")
    return rows, held


def _share(part: int, whole: int) -> str:
    if part == whole:
        return "all frames"
    percent = 100 * part / whole
    return f"{percent:.0f} % of frames" if percent >= 1 else "under 1 % of frames"
