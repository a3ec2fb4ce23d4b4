"""Checks: defects that labels and geometries of a file betray by themselves, whichever source they came from."""

from __future__ import annotations

import numpy as np

from mlff.data.dataset import HDF5Dataset, System, Trajectory

SHORTEST = 0.5  #: angstrom, below which two atoms are on top of each other
_LONGEST_LOOK = 3.0  # angstrom, how far a periodic system is searched for the nearest atoms
_BLOCK_PAIRS = 1 << 21


def check(dataset: HDF5Dataset) -> list[str]:
    """One sentence for every defect: atoms on top of each other; forces that are not -dE/dx along a trajectory."""
    problems = []
    for system in dataset.systems:
        near = smallest_distances(system)
        bad = np.flatnonzero(near < SHORTEST)
        if len(bad):
            problems.append(
                f"{system.name}: atoms closer than {SHORTEST} angstrom in {len(bad)} frames, first in frame "
                f"{system.first + bad[0]} ({near[bad[0]]:.2f} angstrom)"
            )
    problems += [text for each in dataset.trajectories if (text := _check_forces(dataset.systems[each.system], each))]
    return problems


def smallest_distances(system: System, rows: np.ndarray | None = None) -> np.ndarray:
    """Distance between the two nearest atoms of each frame in angstrom, ``[len(rows)]``; infinite for one atom.

    Periodic images count; in a periodic system distances above 3 angstrom are given as infinite.
    """
    rows = np.arange(system.num_frames) if rows is None else rows
    result = np.full(len(rows), np.inf)
    if not len(rows):
        return result
    periodic = system.read("pbc", rows).any(axis=1) if system.has("pbc") else np.zeros(len(rows), dtype=bool)
    for k in np.flatnonzero(periodic):
        result[k] = _smallest_periodic(system, rows[k])
    free = np.flatnonzero(~periodic)
    if system.num_atoms < 2:
        return result
    if system.num_atoms > 128:
        from scipy.spatial import cKDTree

        for k in free:
            positions = system.read("positions", rows[k : k + 1])[0]
            result[k] = cKDTree(positions).query(positions, k=2)[0][:, 1].min()
        return result
    first, second = np.triu_indices(system.num_atoms, 1)
    size = max(1, _BLOCK_PAIRS // len(first))
    for start in range(0, len(free), size):
        block = free[start : start + size]
        positions = system.read("positions", rows[block])
        squared = ((positions[:, first] - positions[:, second]) ** 2).sum(axis=-1)
        result[block] = np.sqrt(squared.min(axis=1))
    return result


def _smallest_periodic(system: System, row: int) -> float:
    from ase.neighborlist import primitive_neighbor_list

    at = np.array([row])
    cell = system.read("cell", at)[0] if system.has("cell") else np.zeros((3, 3))
    distances = primitive_neighbor_list(
        "d", system.read("pbc", at)[0], cell, system.read("positions", at)[0], _LONGEST_LOOK
    )
    return float(distances.min()) if len(distances) else np.inf


def _check_forces(system: System, trajectory: Trajectory) -> str | None:
    """Compare dE with -F.dx between neighbouring frames, state by state: sign and slope tell what the forces are."""
    if trajectory.name is None or trajectory.count < 10 or not (system.has("energy") and system.has("forces")):
        return None
    rows = slice(trajectory.first, trajectory.first + trajectory.count)
    if system.has("pbc") and system.read("pbc", rows).any():
        return None  # an atom that is wrapped into the cell seems to jump
    moved = np.diff(system.read("positions", rows), axis=0)
    energy, forces = system.read("energy", rows), system.read("forces", rows).astype(np.float64)
    for state in range(system.num_states):
        change = np.diff(energy[:, state])
        mean_force = (forces[1:, :, state] + forces[:-1, :, state]) / 2
        expected = -np.einsum("fax,fax->f", mean_force, moved)
        use = np.isfinite(change) & np.isfinite(expected)
        if use.sum() < 9 or not change[use].any() or not expected[use].any():
            continue
        slope = float(change[use] @ expected[use] / (expected[use] @ expected[use]))
        fit = float(
            change[use] @ expected[use] / np.sqrt((change[use] @ change[use]) * (expected[use] @ expected[use]))
        )
        if abs(fit) > 0.95 and not 0.7 < slope < 1.4:  # a wrong sign or unit is further off, a coarse stride is not
            guess = "; they look like gradients, with the wrong sign" if -1.4 < slope < -0.7 else "; check their unit"
            where = f", state {state}" if system.num_states > 1 else ""
            return f"trajectory {trajectory.name}{where}: dE is {slope:.2f} times -F.dx, 1 was expected{guess}"
    return None
