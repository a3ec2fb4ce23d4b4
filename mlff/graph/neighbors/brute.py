"""The reference backend: every pair in every image within reach, nothing clever. O(N^2) times the images."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

BLOCK = 4_000_000
"""Distances computed at a time, which bounds the memory."""


def half_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs nearer than ``cutoff``; the arguments are those of ``check_structure``."""
    if cell is None:
        pairs = _pairs_in_image(positions, np.zeros(3), cutoff, same_image=True)
        return pairs, np.zeros((len(pairs), 3), np.int64)

    inverse = np.linalg.inv(cell)
    offsets = np.where(pbc, np.floor(positions @ inverse), 0.0)
    inside = positions - offsets @ cell
    # Two atoms of the cell differ by less than one lattice vector along each axis. The planes of the lattice along an
    # axis are 1 / |column of the inverse| apart: no image further than this many cells can be within the cutoff.
    reach = np.where(pbc, np.floor(cutoff * np.linalg.norm(inverse, axis=0)) + 1, 0).astype(int)

    all_pairs, all_shifts = [], []
    for image in product(*(range(-n, n + 1) for n in reach)):
        if image < (0, 0, 0):  # the reverse of a pair in the image -S
            continue
        shift = np.array(image)
        pairs = _pairs_in_image(inside, shift @ cell, cutoff, same_image=image == (0, 0, 0))
        # From positions in the cell back to those given: r = inside + offset @ cell.
        all_pairs.append(pairs)
        all_shifts.append(shift + (offsets[pairs[:, 0]] - offsets[pairs[:, 1]]).astype(np.int64))
    return np.concatenate(all_pairs), np.concatenate(all_shifts)


def _pairs_in_image(
    positions: NDArray[np.float64], translation: NDArray[np.float64], cutoff: float, *, same_image: bool
) -> NDArray[np.int64]:
    """Atoms i of the cell and j of the image that are nearer than the cutoff: ``[P, 2]``; i < j in the cell itself."""
    num_atoms = len(positions)
    found = [np.zeros((0, 2), np.int64)]
    rows = max(1, BLOCK // max(1, num_atoms))
    for start in range(0, num_atoms, rows):
        vectors = positions[None, :] + translation - positions[start : start + rows, None]
        i, j = np.nonzero(np.einsum("ijk,ijk->ij", vectors, vectors) < cutoff**2)
        i += start
        keep = i < j if same_image else slice(None)
        found.append(np.stack((i[keep], j[keep]), axis=1))
    return np.concatenate(found)
