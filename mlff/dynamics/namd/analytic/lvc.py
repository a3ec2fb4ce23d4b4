"""Linear vibronic coupling: harmonic states, shifted and coupled along the normal modes of a molecule."""

from __future__ import annotations

import numpy as np

from ....units import KINETIC
from ..electronic import HBAR
from .diabatic import DiabaticPotential


class LinearVibronicCoupling(DiabaticPotential):
    """``W(q) = diag(E) + 1 sum_m w_m q_m^2 / 2 + sum_m C_m q_m`` in dimensionless normal coordinates q.

    The model of Koppel, Domcke and Cederbaum (Adv. Chem. Phys. 57, 59, 1984): diagonal elements of C are their kappa, the
    others their lambda. The modes are vectors in Cartesian space, linear: moving along them does not turn the molecule, and
    what is no mode (translation, rotation, modes left out) costs nothing.

    Args:
        masses: amu ``[N]``.
        atomic_numbers: ``[N]``.
        reference: positions at q = 0, angstrom ``[N, 3]``.
        modes: mass-weighted displacements, orthonormal, ``[M, N, 3]``.
        frequencies: w, hbar omega in eV ``[M]``, the same in all states.
        energies: of the S states at q = 0, eV ``[S]``.
        linear: C, eV, symmetric ``[M, S, S]``.

    Raises:
        ValueError: shapes that do not fit, modes that are not orthonormal, frequencies that are not positive.
    """

    def __init__(
        self,
        masses: np.ndarray,
        atomic_numbers: np.ndarray,
        reference: np.ndarray,
        modes: np.ndarray,
        frequencies: np.ndarray,
        energies: np.ndarray,
        linear: np.ndarray,
    ) -> None:
        self.modes = np.asarray(modes, dtype=np.float64)
        self.frequencies = np.asarray(frequencies, dtype=np.float64)
        self.energies = np.asarray(energies, dtype=np.float64)
        self.linear = np.asarray(linear, dtype=np.float64)
        num_modes, num_states = len(self.frequencies), len(self.energies)
        if self.modes.shape != (num_modes, len(masses), 3) or self.linear.shape != (num_modes, num_states, num_states):
            raise ValueError(f"modes {self.modes.shape} and linear couplings {self.linear.shape} do not fit {num_modes} "
                             f"frequencies of {len(masses)} atoms in {num_states} states")
        if not (self.frequencies > 0).all():
            raise ValueError("`frequencies` must be positive, in eV")
        flat = self.modes.reshape(num_modes, -1)
        if not np.allclose(flat @ flat.T, np.eye(num_modes), atol=1e-8):
            raise ValueError("`modes` must be orthonormal mass-weighted displacements")
        if not np.allclose(self.linear, self.linear.swapaxes(1, 2)):
            raise ValueError("`linear` must be symmetric in the states")
        self.lengths = HBAR / np.sqrt(KINETIC * self.frequencies)
        """Mass-weighted displacement for q = 1, angstrom sqrt(amu) ``[M]``."""
        roots = np.sqrt(np.asarray(masses, dtype=np.float64))[:, None]
        self._displacements = self.modes * self.lengths[:, None, None] / roots
        super().__init__(masses, atomic_numbers, reference, self.modes * roots / self.lengths[:, None, None], num_states)

    def positions(self, q: np.ndarray) -> np.ndarray:
        """Positions, angstrom ``[T, N, 3]``, at q ``[T, M]``."""
        return self.reference + np.einsum("tm,max->tax", q, self._displacements)

    def velocities(self, momenta: np.ndarray) -> np.ndarray:
        """Velocities, angstrom/fs ``[T, N, 3]``, of dimensionless momenta p ``[T, M]``: dq/dt = w p / hbar."""
        return np.einsum("tm,max->tax", momenta * self.frequencies / HBAR, self._displacements)

    def matrix(self, q: np.ndarray) -> np.ndarray:
        harmonic = 0.5 * (q**2 @ self.frequencies)
        diagonal = self.energies + harmonic[:, None]
        return np.einsum("tm,mab->tab", q, self.linear) + diagonal[:, :, None] * np.eye(self.num_states)

    def gradient(self, q: np.ndarray) -> np.ndarray:
        return self.linear + (q * self.frequencies)[:, :, None, None] * np.eye(self.num_states)
