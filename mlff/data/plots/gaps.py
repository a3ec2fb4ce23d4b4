"""Gaps between neighbouring states: the whole distribution, and the region where states come close."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlff.data.dataset import HDF5Dataset
from mlff.data.plots.histogram import draw_histograms
from mlff.data.plots.page import finish, new_page
from mlff.data.plots.shown import NothingToDraw, Shown, select
from mlff.data.plots.states import neighbouring_pairs, state_names, state_style
from mlff.figure import dress

SMALL = 0.5  # eV, the width of the right panel
CLOSE = 0.1  # eV, frames nearer than this are counted in the legend
_MOST_VALUES = 2_000_000  # energies that are read


def plot_gaps(dataset: HDF5Dataset, system: str | None = None, *, trajectories: Sequence[str] | None = None) -> Figure:
    """Distribution of the gaps between states of one multiplicity that follow each other, in eV, counts logarithmic.

    The right panel shows gaps below 0.5 eV; the legend says in how many frames a gap is below 0.1 eV. NothingToDraw (a
    ValueError) where no two such states have energies.
    """
    shown = select(dataset, system, trajectories)
    rows, gaps = read_gaps(shown)
    names = state_names(shown.system)
    figure = new_page(shown, "Gaps between neighbouring states", 11.5, 4.9)
    whole, small = figure.subplots(1, 2)
    drawn = {upper: values for (_, upper), values in gaps.items()}  # a gap has the colour of its upper state
    beyond = draw_histograms(whole, drawn, low=0.0)
    whole.axvspan(0, SMALL, color="#F1F3F5", zorder=0)
    if any((values <= SMALL).any() for values in drawn.values()):
        draw_histograms(small, drawn, limits=(0.0, SMALL))
    else:
        small.text(0.5, 0.5, f"no gap is below {SMALL} eV", ha="center", va="center", transform=small.transAxes)
        small.set_yticks([])
        small.set_xlim(0, SMALL)
    dress(whole, xlabel="Gap (eV)", ylabel="Frames per bin")
    dress(small, xlabel="Gap (eV)")
    small.set_title(f"Gaps below {SMALL} eV", fontsize=10.5, loc="left")
    whole.set_title("All gaps", fontsize=10.5, loc="left")
    handles = [
        Line2D(
            [], [], linewidth=2.2, **state_style(upper),
            label=f"{names[upper]} − {names[lower]}\n{(values < CLOSE).sum():,} below {CLOSE} eV",
        )
        for (lower, upper), values in gaps.items()
    ]  # fmt: skip
    return finish(figure, [shown.sampled(rows), "shaded on the left: the range on the right", beyond], handles)


def read_gaps(shown: Shown) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """The rows that were read, and for each pair of neighbouring states their known gaps ``[K]`` in eV, never negative."""
    pairs = neighbouring_pairs(shown.system)
    if not pairs:
        raise NothingToDraw("no two states have the same multiplicity" if shown.system.num_states > 1 else "there is one state")
    rows = shown.rows(max(1000, _MOST_VALUES // shown.system.num_states))
    energy = shown.read_known("energy", rows)
    if energy is None:
        raise NothingToDraw("no frame has an energy")
    gaps = {}
    for lower, upper in pairs:
        gap = np.abs(energy[:, upper] - energy[:, lower])
        if np.isfinite(gap).any():
            gaps[lower, upper] = gap[np.isfinite(gap)]
    if not gaps:
        raise NothingToDraw("no frame has the energies of two neighbouring states")
    return rows, gaps
