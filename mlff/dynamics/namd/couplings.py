"""Time-derivative couplings <i|d/dt|j> from coupling vectors, or from the curvature of the gaps in time."""

from __future__ import annotations

import numpy as np

from .surfaces import pair_matrix

HISTORY = 4
"""Energies of so many steps give the second derivative."""


def vector_couplings(nac: np.ndarray, velocities: np.ndarray, num_states: int) -> np.ndarray:
    """<i|d/dt|j> = sum over atoms of d_ij . v, 1/fs ``[T, S, S]``."""
    return pair_matrix(np.einsum("tapx,tax->tp", nac, velocities), num_states, antisymmetric=True)


def curvature_couplings(history: np.ndarray, timestep: float, multiplicities: tuple[int, ...]) -> np.ndarray:
    """<i|d/dt|j> from energies alone, 1/fs ``[T, S, S]``.

    ``1/2 sqrt((d2 gap/dt2) / gap)``, zero where the curvature is negative (Baeck and An, J. Chem. Phys. 146, 064107,
    2017; in time: Shu, Zhang, Chen, Sun, Huang and Truhlar, J. Chem. Theory Comput. 18, 1320, 2022; do Casal,
    Toldo, Pinheiro and Barbatti, Open Res. Europe 1, 49, 2021, whose backward difference of four points this is).
    For i < j the sign is positive. States of different multiplicity do not couple.

    Args:
        history: energies of the last four steps, newest first, eV ``[T, 4, S]``; NaN where a step is missing (the
            first ones, and those before a hop, whose change of velocity is no curvature): couplings are zero then.
        timestep: fs.
        multiplicities: of the S states.
    """
    num_states = history.shape[2]
    first, second = np.triu_indices(num_states, 1)
    gaps = np.abs(history[:, :, second] - history[:, :, first])
    curvature = (2 * gaps[:, 0] - 5 * gaps[:, 1] + 4 * gaps[:, 2] - gaps[:, 3]) / timestep**2
    allowed = (np.array(multiplicities)[first] == np.array(multiplicities)[second]) & np.isfinite(curvature)
    ratio = np.divide(curvature, gaps[:, 0], out=np.zeros(curvature.shape), where=allowed & (gaps[:, 0] > 0))
    return pair_matrix(0.5 * np.sqrt(np.maximum(ratio, 0)), num_states, antisymmetric=True)
