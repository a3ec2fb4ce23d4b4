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
    rows, sub = np.arange(len(coefficients)), timestep / substeps
    middles = _interpolated(hamiltonian_start, hamiltonian_end, (np.arange(substeps) + 0.5) / substeps)
    energies, vectors = np.linalg.eigh(middles)
    steps = (vectors * np.exp(-1j * energies * sub / HBAR)[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
    path = np.empty((substeps + 1, *coefficients.shape), dtype=np.complex128)
    path[0] = coefficients
    for k in range(substeps):
        path[k + 1] = (steps[k] @ path[k][..., None])[..., 0]

    ends = np.linspace(0, 1, substeps + 1)
    couplings = _interpolated(hamiltonian_start[rows, active], hamiltonian_end[rows, active], ends)  # H_aj, [K + 1, T, S]
    own = path[:, rows, active]
    flux = -2 / HBAR * (own.conj()[..., None] * couplings * path).imag  # population that goes from a to j per time
    flux[:, rows, active] = 0
    population = np.maximum(np.abs(own[:-1]) ** 2, np.finfo(float).tiny)
    hops = np.maximum(0.5 * (flux[:-1] + flux[1:]) * sub, 0) / population[..., None]
    hops /= np.maximum(hops.sum(axis=2, keepdims=True), 1)
    stays = np.cumprod(1 - hops.sum(axis=2), axis=0)
    before = np.concatenate((np.ones((1, len(rows))), stays[:-1]))
    return ElectronicStep(path[-1], (before[..., None] * hops).sum(axis=0))


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


def _interpolated(start: np.ndarray, end: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """``[K, ...]``: at K fractions of the way."""
    way = fractions.reshape(-1, *[1] * start.ndim)
    return (1 - way) * start + way * end
