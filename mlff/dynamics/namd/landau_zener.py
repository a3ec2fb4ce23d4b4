"""Landau-Zener hops: at the minima of gaps, from energies alone."""

from __future__ import annotations

import numpy as np

from .electronic import HBAR


def landau_zener_probabilities(
    history: np.ndarray, active: np.ndarray, timestep: float, multiplicities: tuple[int, ...]
) -> np.ndarray:
    """Probability of a hop into each state, ``[T, S]``; not zero in the step after a minimum of the gap to it.

    ``exp(-pi / (2 hbar) sqrt(Z^3 / Z''))`` with the gap Z and its second derivative in time at the minimum of the
    parabola through the last three steps (Belyaev and Lebedev, Phys. Rev. A 84, 014701, 2011; on the fly: Belyaev,
    Lasser and Trigila, J. Chem. Phys. 140, 224108, 2014). The hop happens in the step that finds the minimum, half a
    step to one and a half steps after it. States of different multiplicity do not couple. Where probabilities sum to more
    than 1 they are scaled to 1.

    Args:
        history: energies, newest step first, eV ``[T, 3 or more, S]``; NaN where a step is missing.
        active: ``[T]``.
        timestep: fs.
        multiplicities: of the S states.
    """
    rows = np.arange(len(active))
    spins = np.array(multiplicities)
    gaps = np.abs(history[:, :3] - history[rows, :3, active][:, :, None])
    now, middle, before = gaps[:, 0], gaps[:, 1], gaps[:, 2]
    curvature = now - 2 * middle + before
    minimum = (middle < before) & (middle <= now) & (spins[None] == spins[active][:, None])
    minimum[rows, active] = False
    curvature = np.where(minimum, curvature, 1.0)
    lowest = np.maximum(np.where(minimum, middle, 0) - np.where(minimum, (now - before) ** 2, 0) / (8 * curvature), 0)
    exponent = -np.pi / (2 * HBAR) * np.sqrt(lowest**3 / (curvature / timestep**2))
    probabilities = np.where(minimum, np.exp(exponent), 0.0)
    return probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1)
