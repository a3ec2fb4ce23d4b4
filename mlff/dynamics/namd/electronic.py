"""The electrons' Schrodinger equation along a nuclear step, unitary by construction, and the hops that it calls for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...units import ATOMIC_TIME, HARTREE

HBAR = HARTREE * ATOMIC_TIME
"""eV fs."""


@dataclass(frozen=True)
class ElectronicStep:
    """What a nuclear step did to the electrons."""

    coefficients: np.ndarray
    """complex ``[T, S]`` at its end."""
    hop_probabilities: np.ndarray
    """``[T, S]``: of a hop from the active into each state; they sum to at most 1, that of the active state is 0."""


def propagate(
    coefficients: np.ndarray,
    active: np.ndarray,
    hamiltonian_start: np.ndarray,
    hamiltonian_end: np.ndarray,
    timestep: float,
    substeps: int,
) -> ElectronicStep:
    """Coefficients after a nuclear step, and the probabilities of fewest-switches hops in it.

    The step is cut into K sub-steps. In each, the hermitian H = E + V - i hbar tau (energies, spin-orbit couplings,
    time-derivative couplings; interpolated linearly) is taken at its middle, and c' = exp(-i H dt/hbar) c by
    diagonalisation: unitary, and exact where H does not change. The probability of a hop from a to j in a sub-step is
    the flux from a to j over the population of a (Tully 1990, eq. 19), the mean of its values at both ends; hops of
    later sub-steps need that none of the earlier ones happened, so one random number decides about the whole step.

    Args:
        coefficients: complex ``[T, S]``.
        active: ``[T]``, the active state.
        hamiltonian_start: eV, hermitian ``[T, S, S]``, at the start of the step (see `hamiltonian`).
        hamiltonian_end: eV, at its end.
        timestep: fs, of the nuclei.
        substeps: K.
    """
    rows = np.arange(len(coefficients))
    fraction = ((np.arange(substeps) + 0.5) / substeps)[:, None, None, None]
    middles = (1 - fraction) * hamiltonian_start + fraction * hamiltonian_end  # [K, T, S, S]
    energies, vectors = np.linalg.eigh(middles)
    phases = np.exp(-1j * energies * timestep / (substeps * HBAR))
    steps = (vectors * phases[..., None, :]) @ vectors.conj().swapaxes(-1, -2)

    survival = np.ones(len(coefficients))
    probabilities = np.zeros(coefficients.shape)
    flux = _flux(coefficients, active, hamiltonian_start)
    for k in range(substeps):
        population = np.abs(coefficients[rows, active]) ** 2
        coefficients = (steps[k] @ coefficients[..., None])[..., 0]
        reached = (k + 1) / substeps
        flux_after = _flux(coefficients, active, (1 - reached) * hamiltonian_start + reached * hamiltonian_end)
        lost = np.maximum(0.5 * (flux + flux_after) * timestep / substeps, 0)
        hop = lost / np.maximum(population, np.finfo(float).tiny)[:, None]
        hop /= np.maximum(hop.sum(axis=1), 1)[:, None]
        probabilities += survival[:, None] * hop
        survival = survival * (1 - hop.sum(axis=1))
        flux = flux_after
    return ElectronicStep(coefficients, probabilities)


def hamiltonian(energies: np.ndarray, tdc: np.ndarray, spin_orbit: np.ndarray | None) -> np.ndarray:
    """H = E + V - i hbar tau, eV ``[T, S, S]``.

    Args:
        energies: eV ``[T, S]``; counted from their mean, which changes no population and keeps phases accurate.
        tdc: <i|d/dt|j>, 1/fs, antisymmetric ``[T, S, S]``.
        spin_orbit: eV, symmetric ``[T, S, S]``, or None.
    """
    matrix = -1j * HBAR * tdc
    diagonal = np.arange(energies.shape[1])
    matrix[:, diagonal, diagonal] += energies - energies.mean(axis=1, keepdims=True)
    return matrix if spin_orbit is None else matrix + spin_orbit


def _flux(coefficients: np.ndarray, active: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Population that goes from the active state to each state per time, 1/fs ``[T, S]``: -2/hbar Im(c_a* H_aj c_j)."""
    rows = np.arange(len(active))
    own = coefficients[rows, active].conj()
    flux = -2 / HBAR * (own[:, None] * matrix[rows, active] * coefficients).imag
    flux[rows, active] = 0
    return flux
