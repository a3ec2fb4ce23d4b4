"""Energy-based decoherence: amplitudes of states other than the active one decay."""

from __future__ import annotations

import numpy as np

from .electronic import HBAR


def decohere(
    coefficients: np.ndarray, active: np.ndarray, energies: np.ndarray, kinetic: np.ndarray, timestep: float, energy: float
) -> np.ndarray:
    """Coefficients after the correction of Granucci and Persico (J. Chem. Phys. 126, 134114, 2007; eq. 17).

    Every other state k decays with the time hbar / |E_k - E_a| (1 + C / E_kin); the active state a takes up what they
    lose, so that the norm stays. Without kinetic energy, or with an active state of no amplitude, nothing happens.

    Args:
        coefficients: complex ``[T, S]``.
        active: ``[T]``.
        energies: eV ``[T, S]``.
        kinetic: eV ``[T]``.
        timestep: fs.
        energy: C, eV; 0.1 hartree is usual.
    """
    rows = np.arange(len(active))
    rate = np.abs(energies - energies[rows, active][:, None]) / HBAR * (kinetic / (kinetic + energy))[:, None]
    decayed = coefficients * np.exp(-rate * timestep)
    own = np.abs(coefficients[rows, active]) ** 2
    lost = (np.abs(coefficients) ** 2 - np.abs(decayed) ** 2).sum(axis=1)  # the active state's rate is zero
    has_own = own > np.finfo(float).tiny
    factor = np.sqrt(1 + lost / np.where(has_own, own, 1))
    decayed[rows, active] *= factor
    return np.where(has_own[:, None], decayed, coefficients)
