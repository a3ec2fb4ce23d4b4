"""The default backend: vesin's cell lists (https://github.com/Luthaf/vesin), for any cell and any periodicity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 1e5
"""vesin's own limit on the number of cells that it sorts atoms into."""

SINGLE_THREAD_ATOMS = 2000
"""Below this many atoms one thread is as fast as several, and the order of the pairs is the same on every machine."""


def half_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs nearer than ``cutoff``; the arguments are those of ``check_structure``."""
    from vesin import NeighborList  # a shared library: loaded where it is used

    if len(positions) == 0:
        return np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64)
    radius, box, points = _search(positions, cell, pbc, cutoff)
    neighbors = NeighborList(cutoff=radius, full_list=False, n_threads=1 if len(points) < SINGLE_THREAD_ATOMS else 0)
    # Without a copy the arrays are views of memory that `neighbors` owns; `astype` below copies what is kept.
    found = neighbors.compute(points, box, cell is not None, "PSd" if radius > cutoff else "PS", copy=False)
    pairs, shifts = found[0].astype(np.int64), found[1].astype(np.int64)
    if radius > cutoff:
        near = found[2] < cutoff
        pairs, shifts = pairs[near], shifts[near]
    return pairs, shifts


def _search(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, pbc: NDArray[np.bool_], cutoff: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The radius to search (at least the cutoff), the box to search it in, and the positions to search.

    vesin 0.6 divides by zero, and takes the process with it, where an extent far longer than the others (two atoms a
    million Å apart, a large sheet) leaves less than one cell along a short one. There, empty space is taken out, and
    if that does not do, the radius grows.
    """
    box, extents = _box(positions, cell, pbc, cutoff)
    if _every_axis_has_a_cell(extents, cutoff):
        return cutoff, box, positions
    points = _close_gaps(positions, np.eye(3) if cell is None else cell[~pbc], 2 * cutoff)
    radius = cutoff
    while True:
        box, extents = _box(points, cell, pbc, radius)
        if _every_axis_has_a_cell(extents, radius):
            return radius, box, points
        radius *= 2


def _box(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, pbc: NDArray[np.bool_], radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box for vesin, and the extents that vesin will divide into cells.

    Along axes that are not periodic the box is made so wide that no image comes within the radius, and vesin is told
    that all three are: its own treatment of partly periodic boxes looks through every cell along the other axes.
    """
    if cell is None:
        extents = np.maximum(1.01 * (positions.max(axis=0) - positions.min(axis=0)), 1.0)
        return np.zeros((3, 3)), extents
    box = cell if pbc.all() else _widen(positions, cell, pbc, 2 * radius)
    return box, 1.0 / np.linalg.norm(np.linalg.inv(box), axis=0)


def _widen(
    positions: NDArray[np.float64], cell: NDArray[np.float64], pbc: NDArray[np.bool_], margin: float
) -> NDArray[np.float64]:
    box = cell.copy()
    for axis in np.flatnonzero(~pbc):
        heights = positions @ cell[axis]
        box[axis] *= heights.max() - heights.min() + margin
    return box


def _close_gaps(positions: NDArray[np.float64], directions: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Positions with every gap between atoms, along each of the orthonormal directions, shortened to ``gap``.

    Atoms that are within ``gap`` of each other along a direction stay where they are relative to each other.
    """
    points = positions.copy()
    for direction in directions:
        heights = positions @ direction
        order = np.argsort(heights)
        excess = np.maximum(np.diff(heights[order]) - gap, 0.0)
        points[order[1:]] -= np.cumsum(excess)[:, None] * direction
    return points


def _every_axis_has_a_cell(extents: NDArray[np.float64], radius: float) -> bool:
    """Whether vesin's division of these extents into at most ``MAX_CELLS`` cells leaves one along each axis."""
    x, y, z = (max(1.0, math.trunc(extent / radius)) for extent in extents)
    if x * y * z <= MAX_CELLS:
        return True
    num_z = math.trunc(math.cbrt(MAX_CELLS / ((x / y) * (y / z) ** 2)))
    num_y = math.trunc((y / z) * num_z)
    return min(num_z, num_y, math.trunc((x / y) * num_y)) >= 1
