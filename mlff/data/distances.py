"""Distances between the nearest atoms of many frames, periodic images included."""

from __future__ import annotations

import numpy as np

from mlff.data.system import System

_LONGEST_LOOK = 3.0  # angstrom, how far a periodic system is searched for the nearest atoms
_BLOCK_ATOMS = 1 << 13  # whose vectors stay in the cache


def nearest(positions: np.ndarray, pbc: np.ndarray | None = None, cell: np.ndarray | None = None) -> np.ndarray:
    """Distance between the two nearest atoms of each frame in angstrom, ``[F]``; infinite for one atom.

    ``positions`` [F,N,3], ``pbc`` [F,3], ``cell`` [F,3,3]. In a periodic frame distances above 3 angstrom are given as
    infinite.
    """
    num_frames, num_atoms = positions.shape[:2]
    result = np.full(num_frames, np.inf)
    periodic = np.zeros(num_frames, dtype=bool) if pbc is None else pbc.any(axis=1)
    for k in np.flatnonzero(periodic):
        from ase.neighborlist import primitive_neighbor_list

        assert pbc is not None
        box = np.zeros((3, 3)) if cell is None else cell[k]
        found = primitive_neighbor_list("d", pbc[k], box, positions[k], _LONGEST_LOOK)
        result[k] = float(found.min()) if len(found) else np.inf
    free = np.flatnonzero(~periodic)
    if num_atoms < 2:
        return result
    if num_atoms > 128:
        from scipy.spatial import cKDTree

        for k in free:
            result[k] = cKDTree(positions[k]).query(positions[k], k=2)[0][:, 1].min()
        return result
    size = max(1, _BLOCK_ATOMS // num_atoms)
    for start in range(0, len(free), size):
        rows = free[start : start + size]
        block = positions[rows]
        squared = np.full(len(block), np.inf)
        for apart in range(1, num_atoms):  # in the order of the atoms
            vectors = block[:, apart:] - block[:, :-apart]
            np.minimum(squared, np.einsum("fac,fac->fa", vectors, vectors).min(axis=1), out=squared)
        result[rows] = np.sqrt(squared)
    return result


def smallest_distances(system: System, rows: np.ndarray | None = None) -> np.ndarray:
    """``nearest`` of the given rows of a system, read piece by piece."""
    rows = np.arange(system.num_frames) if rows is None else rows
    result = np.full(len(rows), np.inf)
    size = max(1, (1 << 22) // max(1, system.num_atoms))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        pbc, cell = (system.read(name, block) if system.has(name) else None for name in ("pbc", "cell"))
        result[start : start + size] = nearest(system.read("positions", block), pbc, cell)
    return result
