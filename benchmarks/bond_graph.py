"""Whether simulations keep the bonds that they began with: atoms nearer than 1.3 times the sum of their covalent radii."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mlff.graph.covalent_radii import COVALENT_RADII
from mlff.graph.topology import covalent_bonds

FACTOR = 1.3


class BondWatch:
    """A callback of `run_replicas`: compares the bonds of a molecule with those of the start at every logged step.

    Of each replica, ``looks`` counts how often it was looked at and ``changed`` how often its bonds were others than at the
    start; ``intact`` tells whether they were the same at the last look; ``longest`` is the largest length that a bond of
    the start had, as a multiple of the sum of the radii.
    """

    def __init__(self, start: Atoms, replicas: int) -> None:
        self._bonds = bonds_of(start)
        self._first, self._second = np.array(sorted(self._bonds)).T
        radii = np.array(COVALENT_RADII)[start.numbers]
        self._sums = radii[self._first] + radii[self._second]
        self.looks, self.changed = [0] * replicas, [0] * replicas
        self.intact, self.longest = [True] * replicas, [0.0] * replicas

    def __call__(self, replica: int, row: tuple, atoms: Atoms) -> None:
        if row[0] < 0:  # equilibration
            return
        same = bonds_of(atoms) == self._bonds
        lengths = np.linalg.norm(atoms.positions[self._second] - atoms.positions[self._first], axis=1) / self._sums
        self.looks[replica] += 1
        self.changed[replica] += not same
        self.intact[replica] = same
        self.longest[replica] = max(self.longest[replica], float(lengths.max()))


def bonds_of(atoms: Atoms) -> set[tuple[int, ...]]:
    """Pairs of bonded atoms of a molecule."""
    pairs, _ = covalent_bonds(atoms.numbers, atoms.positions, tolerance=FACTOR)
    return {tuple(sorted(pair)) for pair in pairs.tolist()}
