"""A potential of linear coordinates, made one that turns with the molecule: in the frame of Eckart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..surfaces import Surfaces
from .diabatic import DiabaticPotential


class TurningPotential:
    """The states that a potential has where the molecule is laid on its reference, at any place and in any orientation.

    Laid on it is the rotation of least mass-weighted squared distance, which is where Eckart's conditions hold (Phys. Rev. 47,
    552, 1935; Kudin and Dymarsky, J. Chem. Phys. 122, 224105, 2005). Along the potential's modes energies are its own. Its
    derivatives have there what they have along the modes, and what makes them exert no torque: those of a
    function of the shape alone, which a trained potential is. As a ``MultiStatePotential``.

    Args:
        potential: of a molecule that is not linear; its reference is the shape that others are laid on.

    Raises:
        ValueError: atoms on a line.
    """

    def __init__(self, potential: DiabaticPotential) -> None:
        self.potential = potential
        self.masses, self.atomic_numbers = potential.masses, potential.atomic_numbers
        self.num_states, self.multiplicities = potential.num_states, potential.multiplicities
        self.centred = potential.reference - self._centre(potential.reference)
        if np.linalg.matrix_rank(self.centred, tol=1e-3) < 2:
            raise ValueError("the atoms of the reference lie on a line, so that its orientation is not defined")
        # Gradients of Eckart's three conditions, sum m c x r = 0: what a derivative may gain without changing along the modes.
        self._turns = np.cross(np.eye(3)[:, None], self.masses[:, None] * self.centred)

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """See ``MultiStatePotential.surfaces``; NaN where positions are not finite."""
        finite = np.isfinite(positions).all(axis=(1, 2))
        if not finite.all():
            safe = np.where(finite[:, None, None], positions, self.potential.reference)
            return self.surfaces(safe, states, couplings=couplings).chosen(finite, np.nan)
        arms = positions - self._centre(positions)[:, None]
        rotation = self._rotations(arms)
        laid = np.einsum("txy,tny->tnx", rotation, arms)
        found = self.potential.surfaces(laid + self._centre(self.potential.reference), states, couplings=couplings)
        forces = self._of_shape(found.forces[:, :, None], laid, rotation)[:, :, 0]
        nac = None if found.nac is None else self._of_shape(found.nac, laid, rotation)
        return replace(found, forces=forces, nac=nac)

    def _centre(self, positions: np.ndarray) -> np.ndarray:
        return np.einsum("n,...nx->...x", self.masses, positions) / self.masses.sum()

    def _rotations(self, arms: np.ndarray) -> np.ndarray:
        """``[T, 3, 3]``: by which the molecules are laid on the reference (Kabsch, Acta Cryst. A 32, 922, 1976)."""
        left, _, right = np.linalg.svd(np.einsum("n,nx,tny->txy", self.masses, self.centred, arms))
        left[:, :, 2] *= np.linalg.det(left @ right)[:, None]  # no reflection
        return left @ right

    def _of_shape(self, vectors: np.ndarray, laid: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Derivatives ``[T, N, K, 3]`` in the reference's frame, without force and torque in all, in the molecules' frames."""
        share = (self.masses / self.masses.sum())[:, None, None]
        vectors = vectors - share * vectors.sum(axis=1, keepdims=True)
        torque = np.cross(laid[:, :, None], vectors).sum(axis=1)
        of_turns = np.cross(laid[:, None], self._turns).sum(axis=2)  # [T, turn, 3]
        amounts = np.linalg.solve(of_turns.swapaxes(1, 2), -torque.swapaxes(1, 2))  # [T, turn, K]
        whole = vectors + np.einsum("tak,anx->tnkx", amounts, self._turns)
        return np.einsum("txy,tnkx->tnky", rotation, whole)
