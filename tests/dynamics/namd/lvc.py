"""A linear vibronic coupling model in Cartesian coordinates, whose lowest crossing is known in closed form."""

from __future__ import annotations

import numpy as np

from mlff.dynamics.namd.surfaces import Surfaces


class CartesianLVC:
    """H = x K x / 2 + diag(e_a + kappa_a x), with lambda x off the diagonal: two states of three atoms, x from the start."""

    num_states = 2
    atomic_numbers = np.array([6, 1, 1])
    masses = np.array([12.0, 1.008, 1.008])
    multiplicities = (1, 1)

    def __init__(
        self, seed: int = 1, *, charges: bool = False, multiplicities: tuple[int, int] = (1, 1), gap: float = 3.0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.multiplicities = multiplicities
        self.start = np.array([[0.0, 0.0, 0.0], [1.1, 0.1, 0.0], [-0.5, 0.9, 0.3]])
        root = rng.normal(size=(9, 9))
        self.stiffness = root @ root.T + 8 * np.eye(9)
        self.offsets = np.array([0.0, gap])
        self.kappa = 1.5 * rng.normal(size=(2, 9))
        self.coupling = rng.normal(size=9) if multiplicities[0] == multiplicities[1] else np.zeros(9)
        self.with_dipoles = charges

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        x = (positions - self.start).reshape(len(positions), 9)
        matrix = np.zeros((len(x), 2, 2))
        gradient = np.zeros((len(x), 9, 2, 2))
        for a in range(2):
            matrix[:, a, a] = 0.5 * np.einsum("ti,ij,tj->t", x, self.stiffness, x) + self.offsets[a] + x @ self.kappa[a]
            gradient[:, :, a, a] = x @ self.stiffness + self.kappa[a]
        matrix[:, 0, 1] = matrix[:, 1, 0] = x @ self.coupling
        gradient[:, :, 0, 1] = gradient[:, :, 1, 0] = self.coupling
        energies, vectors = np.linalg.eigh(matrix)
        adiabatic = np.einsum("tas,tiab,tbr->tisr", vectors, gradient, vectors)
        forces = -adiabatic[np.arange(len(x)), :, states, states].reshape(-1, 3, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            nac = (adiabatic[:, :, 0, 1] / (energies[:, 1] - energies[:, 0])[:, None]).reshape(-1, 3, 1, 3)
        dipole = np.tile([[[0.1, 0.0, 0.2]]], (len(x), 1, 1)) if self.with_dipoles else None
        return Surfaces(energies, forces, nac=nac if couplings else None, dipole=dipole, eigenvectors=vectors)

    def lowest_crossing(self) -> tuple[np.ndarray, float]:
        """Positions and energy of the minimum under coupling . x = 0 and dE(x) = 0, by Lagrange multipliers."""
        apart = self.kappa[1] - self.kappa[0]
        rows = np.stack([self.coupling, apart] if self.coupling.any() else [apart])
        values = np.zeros(len(rows))
        values[-1] = self.offsets[0] - self.offsets[1]
        system = np.block([[self.stiffness, rows.T], [rows, np.zeros((len(rows), len(rows)))]])
        x = np.linalg.solve(system, np.concatenate([-self.kappa[0], values]))[:9]
        energy = 0.5 * x @ self.stiffness @ x + self.offsets[0] + self.kappa[0] @ x
        return self.start + x.reshape(3, 3), float(energy)
