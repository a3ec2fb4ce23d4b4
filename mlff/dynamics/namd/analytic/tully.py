"""Tully's three models of one particle in one dimension (J. Chem. Phys. 93, 1061, 1990), in their atomic units inside."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ....units import BOHR, ELECTRON_MASS, HARTREE
from .diabatic import DiabaticPotential

Crossing = Literal["simple", "dual", "extended"]


class TullyModel(DiabaticPotential):
    """Two states of one atom of 2000 electron masses, whose x counts; y and z are free.

    Args:
        crossing: ``simple``: simple avoided crossing (model A, eq. 21); ``dual``: dual avoided crossing (model B, eq. 23);
            ``extended``: extended coupling with reflection (model C, eq. 24).

    Raises:
        ValueError: another name.
    """

    def __init__(self, crossing: Crossing) -> None:
        if crossing not in ("simple", "dual", "extended"):
            raise ValueError(f"there is no model {crossing!r} of Tully's; choose simple, dual or extended")
        self.crossing = crossing
        super().__init__(
            masses=np.array([2000 * ELECTRON_MASS]), atomic_numbers=np.array([1]), reference=np.zeros((1, 3)),
            jacobian=np.array([[[1 / BOHR, 0.0, 0.0]]]), num_states=2,
        )  # fmt: skip

    def matrix(self, q: np.ndarray) -> np.ndarray:
        x = q[:, 0]
        if self.crossing == "simple":
            v11 = np.sign(x) * 0.01 * -np.expm1(-1.6 * np.abs(x))
            return _symmetric(v11, -v11, 0.005 * np.exp(-(x**2)))
        if self.crossing == "dual":
            return _symmetric(np.zeros_like(x), -0.1 * np.exp(-0.28 * x**2) + 0.05, 0.015 * np.exp(-0.06 * x**2))
        tail = np.exp(-0.9 * np.abs(x))
        return _symmetric(np.full_like(x, 6e-4), np.full_like(x, -6e-4), 0.1 * np.where(x < 0, tail, 2 - tail))

    def gradient(self, q: np.ndarray) -> np.ndarray:
        x = q[:, 0]
        if self.crossing == "simple":
            slope = 0.016 * np.exp(-1.6 * np.abs(x))
            result = _symmetric(slope, -slope, -0.01 * x * np.exp(-(x**2)))
        elif self.crossing == "dual":
            result = _symmetric(np.zeros_like(x), 0.056 * x * np.exp(-0.28 * x**2), -0.0018 * x * np.exp(-0.06 * x**2))
        else:
            result = _symmetric(np.zeros_like(x), np.zeros_like(x), 0.09 * np.exp(-0.9 * np.abs(x)))
        return result[:, None]


def _symmetric(v11: np.ndarray, v22: np.ndarray, v12: np.ndarray) -> np.ndarray:
    """``[T, 2, 2]`` in eV of elements in hartree."""
    return HARTREE * np.stack((np.stack((v11, v12), axis=-1), np.stack((v12, v22), axis=-1)), axis=-2)
