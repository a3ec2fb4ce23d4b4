"""Analytic potentials: a diabatic matrix of coordinates that are linear in the positions of the atoms."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..surfaces import Surfaces


class DiabaticPotential(ABC):
    """States that diagonalise a real symmetric matrix W(q), with exact forces and couplings; q are M coordinates.

    ``q = origin + jacobian : (positions - reference)``. Forces are ``-u_i^T dW u_i`` and couplings
    ``u_i^T dW u_j / (E_j - E_i)``, u the eigenvectors, whose signs are those that the diagonalisation returns.

    Args:
        masses: amu ``[N]``.
        atomic_numbers: ``[N]``.
        reference: positions where q is zero, angstrom ``[N, 3]``.
        jacobian: dq/dR, ``[M, N, 3]``.
        num_states: S.
    """

    def __init__(
        self, masses: np.ndarray, atomic_numbers: np.ndarray, reference: np.ndarray, jacobian: np.ndarray, num_states: int
    ) -> None:
        self.masses = np.asarray(masses, dtype=np.float64)
        self.atomic_numbers = np.asarray(atomic_numbers, dtype=np.int64)
        self.reference = np.asarray(reference, dtype=np.float64)
        self.jacobian = np.asarray(jacobian, dtype=np.float64)
        self.num_states = num_states
        self.multiplicities = (1,) * num_states

    @abstractmethod
    def matrix(self, q: np.ndarray) -> np.ndarray:
        """W, eV ``[T, S, S]``, at q ``[T, M]``."""

    @abstractmethod
    def gradient(self, q: np.ndarray) -> np.ndarray:
        """dW/dq, eV over the unit of q, ``[T, M, S, S]``."""

    def coordinates(self, positions: np.ndarray) -> np.ndarray:
        """q, ``[T, M]``, at positions ``[T, N, 3]``."""
        return np.einsum("max,tax->tm", self.jacobian, positions - self.reference)

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """See ``MultiStatePotential.surfaces``; eigenvectors are those of W."""
        q = self.coordinates(np.asarray(positions, dtype=np.float64))
        good = np.isfinite(q).all(axis=1)
        energies, vectors = np.linalg.eigh(np.where(good[:, None, None], self.matrix(np.where(good[:, None], q, 0)), 0))
        energies[~good] = np.nan
        gradient = self.gradient(q)
        own = vectors[np.arange(len(q)), :, states]
        slopes = np.einsum("tmab,ta,tb->tm", gradient, own, own)
        forces = -np.einsum("tm,mnx->tnx", slopes, self.jacobian)
        nac = None
        if couplings:
            first, second = np.triu_indices(self.num_states, 1)
            interstate = (vectors.swapaxes(1, 2)[:, None] @ gradient @ vectors[:, None])[:, :, first, second]
            gaps = energies[:, second] - energies[:, first]
            with np.errstate(divide="ignore", invalid="ignore"):
                nac = np.einsum("tmp,mnx->tnpx", interstate / gaps[:, None], self.jacobian)
        return Surfaces(energies, forces, nac=nac, eigenvectors=vectors)
