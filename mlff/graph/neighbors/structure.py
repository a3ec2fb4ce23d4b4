"""What a neighbour list needs of a structure, checked once for all backends."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_COORDINATE = 1e8
"""Å. Beyond it float64 no longer resolves 1e-8 Å, and integer cell indices overflow."""

SMALLEST_VECTOR = 1e-6
"""Å. A periodic lattice vector shorter than this counts as zero."""

SMALLEST_SINE = 1e-6
"""Periodic lattice vectors of which one is nearer than this to the span of the others count as dependent."""


def check_structure(
    positions: ArrayLike, cell: ArrayLike | None, pbc: ArrayLike | None, cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.bool_], float]:
    """Positions ``[N, 3]``, cell ``[3, 3]``, pbc ``[3]`` and cutoff, or a ValueError that says what is wrong.

    The cell is None for a molecule. Otherwise its rows along axes that are not periodic are replaced by unit vectors at
    right angles to the periodic ones: it is always invertible, and those axes are heights above the periodic line or
    plane.
    """
    positions = _check_positions(positions)
    cutoff = float(cutoff)
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"`cutoff` is {cutoff} Å; give a positive distance")
    periodic = check_pbc(pbc)
    if not periodic.any():
        return positions, None, periodic, cutoff
    if cell is None:
        raise ValueError(f"`pbc` is {periodic.tolist()} but there is no `cell`; give the lattice vectors or pbc=False")
    return positions, _complete_cell(cell, periodic), periodic, cutoff


def check_pbc(pbc: ArrayLike | None) -> NDArray[np.bool_]:
    """Three flags of None (not periodic), one bool, or three."""
    flags = np.asarray(False if pbc is None else pbc, dtype=bool)
    if flags.shape not in ((), (3,)):
        raise ValueError(f"`pbc` has the shape {flags.shape}; give one bool or three, one for each lattice vector")
    return np.broadcast_to(flags, (3,)).copy()


def _check_positions(positions: ArrayLike) -> NDArray[np.float64]:
    array = np.ascontiguousarray(positions, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        if array.size:
            raise ValueError(f"`positions` has the shape {array.shape}; give one row of x, y, z for each atom")
        array = array.reshape(0, 3)
    # NaN compares false, so this one comparison finds it too.
    if array.size and not np.abs(array).max() < LARGEST_COORDINATE:
        _raise_for_positions(array)
    return array


def _raise_for_positions(positions: NDArray[np.float64]) -> None:
    bad = ~np.isfinite(positions).all(axis=1)
    if bad.any():
        first = int(bad.argmax())
        raise ValueError(
            f"the positions of {int(bad.sum())} of {len(positions)} atoms are not finite (first: atom {first} at "
            f"{positions[first].tolist()}); check the structure, or the run that it comes from"
        )
    atom = int(np.abs(positions).max(axis=1).argmax())
    raise ValueError(
        f"atom {atom} is at {positions[atom].tolist()} Å, beyond {LARGEST_COORDINATE:.0e} Å, where distances are no "
        "longer exact; move the structure towards the origin, or check the run that it comes from"
    )


def _complete_cell(cell: ArrayLike, periodic: NDArray[np.bool_]) -> NDArray[np.float64]:
    array = np.array(cell, dtype=np.float64)
    if array.shape != (3, 3):
        raise ValueError(f"`cell` has the shape {array.shape}; give three lattice vectors as rows, [3, 3]")
    vectors = array[periodic]
    if not np.isfinite(array).all():
        raise ValueError(f"`cell` is {array.tolist()}, which is not finite; give three lattice vectors in Å")
    lengths = np.linalg.norm(vectors, axis=1)
    if (lengths < SMALLEST_VECTOR).any():
        axis = np.flatnonzero(periodic)[int(lengths.argmin())]
        raise ValueError(
            f"axis {axis} is periodic but its lattice vector is zero ({array[axis].tolist()} Å); give the vector, or "
            f"set pbc[{axis}] to False"
        )
    _, sines, directions = np.linalg.svd(vectors / lengths[:, None])
    if sines.min() < SMALLEST_SINE:
        raise ValueError(f"the periodic lattice vectors {vectors.tolist()} Å are not independent; they span no cell")
    array[~periodic] = directions[len(vectors) :]
    return array
