"""Whether simulations keep the bonds that they began with: atoms nearer than 1.3 times the sum of their covalent radii."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

FACTOR = 1.3


class BondWatch:
    """A callback of `run_replicas`: compares the bonds of a molecule with those of the start at every logged step.

    Of each replica, ``looks`` counts how often it was looked at and ``changed`` how often its bonds were others than at the
    start; ``intact`` tells whether they were the same at the last look; ``longest`` is the largest length that a bond of
    the start had, as a multiple of the sum of the radii.
    """

    def __init__(self, start: Atoms, replicas: int) -> None:
        radii = covalent_radii[start.numbers]
        self._first, self._second = np.triu_indices(len(start), 1)
        self._sums = radii[self._first] + radii[self._second]
        self._bonded = self._lengths(start) < FACTOR
        self.looks, self.changed = [0] * replicas, [0] * replicas
        self.intact, self.longest = [True] * replicas, [0.0] * replicas

    def __call__(self, replica: int, row: tuple, atoms: Atoms) -> None:
        if row[0] < 0:  # equilibration
            return
        lengths = self._lengths(atoms)
        same = bool(((lengths < FACTOR) == self._bonded).all())
        self.looks[replica] += 1
        self.changed[replica] += not same
        self.intact[replica] = same
        self.longest[replica] = max(self.longest[replica], float(lengths[self._bonded].max()))

    def _lengths(self, atoms: Atoms) -> np.ndarray:
        vectors = atoms.positions[self._second] - atoms.positions[self._first]
        return np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) / self._sums
