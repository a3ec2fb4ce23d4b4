"""The internal coordinates that are drawn when none are named: those of the first frame's bonds that vary the most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from mlff.data.internal import Internal, measure
from mlff.data.system import System

NUM_DISTANCES, NUM_ANGLES, NUM_TORSIONS = 2, 1, 2
_BOND = 1.2  # atoms are bonded up to this many sums of their covalent radii
_MOST = 1500  # candidates of each kind that are measured; larger systems give an even choice of them
_STRAIGHT = 20.0  # degrees: a torsion over an angle this close to 0 or 180 is ill-defined


def choose(system: System, rows: np.ndarray) -> list[Internal]:
    """Up to two distances, one angle and two torsions that vary the most over ``rows``.

    Atoms are bonded where they are nearer than 1.2 sums of ASE's covalent radii in the first of the rows (nearest
    images in a periodic one). Candidates are the bonds, an angle at every atom and a torsion about every bond, each with
    the heaviest neighbours at its ends; those without hydrogen come first where there are any. Distances and angles are
    ranked by their standard deviation, torsions by their circular variance.
    """
    neighbours = bonded(system, int(rows[0]))
    numbers = system.atomic_numbers

    def at_end(atom: int, *others: int) -> list[int]:
        """Neighbours of the atom that are none of the others, the heaviest first."""
        return sorted((each for each in neighbours[atom] if each not in others), key=lambda a: (-int(numbers[a]), a))

    bonds = [(i, j) for i in range(system.num_atoms) for j in neighbours[i] if i < j]
    bends = [(min(ends[:2]), j, max(ends[:2])) for j in range(system.num_atoms) if len(ends := at_end(j)) > 1]
    twists: list[tuple[int, ...]] = []
    others: list[tuple[int, ...]] = []  # second torsions about a bond, with other atoms at the ends
    for j, k in bonds:
        about = [(i, j, k, m) for i, m in zip(at_end(j, k), at_end(k, j)) if i != m]
        twists += about[:1]
        others += about[1:2]

    def ranked(candidates: Sequence[tuple[int, ...]], spread: Callable[[np.ndarray], float]) -> list[Internal]:
        heavy = [atoms for atoms in candidates if all(numbers[atom] > 1 for atom in atoms)]
        taken = _evenly(heavy or candidates)
        if not taken:
            return []
        spreads = {atoms: spread(column) for atoms, column in zip(taken, measure(system, rows, taken).T)}
        kept = [atoms for atoms in taken if np.isfinite(spreads[atoms])]
        return [Internal(atoms) for atoms in sorted(kept, key=lambda atoms: -spreads[atoms])]

    torsions = ranked(_bent(system, rows, _evenly(twists)), _circular_variance)
    if len(torsions) < NUM_TORSIONS:
        torsions += ranked(_bent(system, rows, _evenly(others)), _circular_variance)
    return [
        *ranked(bonds, _deviation)[:NUM_DISTANCES],
        *ranked(bends, _deviation)[:NUM_ANGLES],
        *torsions[:NUM_TORSIONS],
    ]


def bonded(system: System, row: int) -> list[list[int]]:
    """Neighbours of every atom in a frame: those nearer than 1.2 sums of the covalent radii (Cordero et al. 2008).

    Left out are atoms that are bonded to several images of each other, as in a small cell: which image is the nearest
    changes from frame to frame there, and angles with it.
    """
    from ase import Atoms
    from ase.neighborlist import natural_cutoffs, neighbor_list

    rows = np.array([row])
    atoms = Atoms(system.atomic_numbers.astype(int), positions=system.read("positions", rows)[0])
    if system.has("cell") and system.has("pbc"):
        atoms.set_cell(system.read("cell", rows)[0])
        atoms.set_pbc(system.read("pbc", rows)[0])
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=_BOND))
    images = Counter(zip(first.tolist(), second.tolist()))
    neighbours: list[list[int]] = [[] for _ in range(system.num_atoms)]
    for (i, j), count in sorted(images.items()):
        if i != j and count == 1:
            neighbours[i].append(j)
    return neighbours


def _evenly(candidates: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    held = list(candidates)
    return held if len(held) <= _MOST else [held[k] for k in np.linspace(0, len(held) - 1, _MOST).astype(int)]


def _deviation(values: np.ndarray) -> float:
    return float(np.std(values)) if np.isfinite(values).all() else float("nan")


def _circular_variance(degrees: np.ndarray) -> float:
    """1 - |mean of exp(i angle)|: 0 where all angles are one, 1 where they balance each other."""
    known = degrees[np.isfinite(degrees)]
    return 1.0 - abs(np.exp(1j * np.radians(known)).mean()) if known.size else float("nan")


def _bent(system: System, rows: np.ndarray, torsions: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Those torsions whose two angles stay away from a straight line in nearly all frames."""
    if not torsions:
        return []
    angles = np.stack([measure(system, rows, [atoms[part : part + 3] for atoms in torsions]) for part in (0, 1)])
    bent = ((angles > _STRAIGHT) & (angles < 180 - _STRAIGHT)).all(axis=0).mean(axis=0) > 0.95
    return [atoms for atoms, each in zip(torsions, bent) if each]
