"""First velocities of a simulation, and the degrees of freedom that carry them."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units

LINEAR = 1e-6
"""A principal moment of inertia below this fraction of the largest is that of a linear molecule's axis."""


def draw_velocities(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Give the atoms momenta from the Maxwell-Boltzmann distribution at `temperature` (K); constraints hold."""
    width = np.sqrt(units.kB * temperature * atoms.get_masses())
    atoms.set_momenta(width[:, None] * rng.standard_normal((len(atoms), 3)))


def take_out_drift(atoms: Atoms) -> int:
    """Stop the drift and, of a molecule, the rotation; return the number of degrees of freedom that are left.

    Constrained structures and single atoms are left as they are: neither has a drift of its own to take out.
    """
    if atoms.constraints or len(atoms) == 1:
        return int(atoms.get_number_of_degrees_of_freedom())
    masses = atoms.get_masses()
    momenta = atoms.get_momenta()
    momenta -= masses[:, None] * momenta.sum(axis=0) / masses.sum()
    if atoms.pbc.any():
        atoms.set_momenta(momenta)
        return 3 * len(atoms) - 3
    arms = atoms.get_positions() - atoms.get_center_of_mass()
    squares = np.einsum("a,ai,aj->ij", masses, arms, arms)
    inertia = np.trace(squares) * np.eye(3) - squares
    angular = np.cross(arms, momenta).sum(axis=0)
    # The pseudo-inverse: a linear molecule has no moment, and no angular momentum, about its axis.
    momenta -= masses[:, None] * np.cross(np.linalg.pinv(inertia, rcond=LINEAR, hermitian=True) @ angular, arms)
    atoms.set_momenta(momenta)
    return 3 * len(atoms) - 3 - int(np.linalg.matrix_rank(inertia, tol=LINEAR * np.trace(inertia), hermitian=True))
