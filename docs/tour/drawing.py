"""How the tour draws molecules: atoms as discs in the plane of the page, pairs of atoms as lines."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from mlff.figure import BLUE, DPI, GREY, VERMILION, new_figure

ELEMENT_COLOURS = {1: "#FFFFFF", 6: "#9AA0A8", 7: "#7DB6E0", 8: "#F0907A"}
SIGNS = LinearSegmentedColormap.from_list("signs", [BLUE, "#FFFFFF", VERMILION])
"""Blue below zero, white at zero, vermilion above."""


def png(figure: Figure) -> bytes:
    """The figure as a page shows it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi, facecolor="white")
    return buffer.getvalue()


if (shell := get_ipython()) is not None:  # figures here are not pyplot's, so notebooks have to be told how to show them
    shell.display_formatter.formatters["image/png"].for_type(Figure, png)


def panels(count: int, *, width: float = 3.2, height: float = 3.0, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of so many axes side by side, in rows of ``columns``."""
    columns = columns or count
    rows = -(-count // columns)
    figure = new_figure(width * columns, height * rows)
    figure.set_dpi(DPI / 1.4)
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def draw_molecule(
    axes: Axes,
    atomic_numbers: Sequence[int] | np.ndarray,
    positions: np.ndarray,
    pairs: np.ndarray,
    *,
    values: np.ndarray | None = None,
    title: str = "",
    numbers: bool = False,
    flat: bool = False,
) -> None:
    """Atoms ``[N, 3]`` seen along z, with a line for each of the pairs ``[P, 2]``.

    ``values`` ``[N]`` colour the atoms, zero white; otherwise the elements do. Many pairs are drawn thin. Unless ``flat``, one
    looks a little from the side, so that no atom hides behind another.
    """
    positions = np.asarray(positions) @ (np.eye(3) if flat else np.array([[1, 0, 0], [0, 1, 0], [0.12, 0.24, 1]]))
    thin = len(pairs) > 2 * len(positions)
    for i, j in pairs:
        axes.plot(*positions[[i, j], :2].T, color=GREY, linewidth=0.5 if thin else 1.8, alpha=0.6 if thin else 1.0, zorder=1)
    if values is None:
        colours = [ELEMENT_COLOURS[int(z)] for z in atomic_numbers]
    else:
        colours = SIGNS(0.5 + 0.5 * np.asarray(values) / np.abs(values).max())
    heavy = np.asarray(atomic_numbers) > 1
    order = np.argsort(positions[:, 2])
    for atom in order:
        size = 230 if heavy[atom] else 90
        axes.scatter(*positions[atom, :2], s=size, color=[colours[atom]], edgecolors="#30343A", linewidths=0.8, zorder=2)
        name = str(atom) if numbers else chemical_symbols[int(atomic_numbers[atom])]
        axes.annotate(name, positions[atom, :2], ha="center", va="center", fontsize=8 if heavy[atom] else 6, zorder=3)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.margins(0.1)
    axes.set_title(title, fontsize=10)
