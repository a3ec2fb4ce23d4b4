"""Hops: which state is chosen, what they do to the velocities, and those without enough energy."""

from __future__ import annotations

import numpy as np

from ...units import KINETIC


def choose_targets(probabilities: np.ndarray, active: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """``[T]``: the state each trajectory tries to hop to; its own where it tries none.

    State j is taken where a uniform number lies in [p_0 + ... + p_(j-1), p_0 + ... + p_j).
    """
    ends = np.cumsum(probabilities, axis=1)
    inside = (numbers[:, None] < ends) & (probabilities > 0)
    return np.where(inside.any(axis=1), inside.argmax(axis=1), active)


def rescaled(
    velocities: np.ndarray, masses: np.ndarray, direction: np.ndarray, gain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Velocities that pay for a change of potential energy, and whether they can.

    ``v' = v + gamma d / m`` with the smaller root of ``E_kin(v') = E_kin(v) - gain`` (Hammes-Schiffer and Tully,
    J. Chem. Phys. 101, 4657, 1994). Velocities that cannot pay come back as they were.

    Args:
        velocities: angstrom/fs ``[T, N, 3]``.
        masses: amu ``[N]``.
        direction: of the change of the momenta, any length, ``[T, N, 3]``.
        gain: of potential energy, eV ``[T]``.
    """
    step = direction / masses[:, None]
    a = KINETIC * np.einsum("tax,tax->t", direction, step)  # gamma^2 a/2 + gamma b + gain = 0
    b = KINETIC * np.einsum("tax,tax->t", direction, velocities)
    square = b * b - 2 * a * gain
    possible = (a > 0) & (square >= 0)
    root = b + np.where(b < 0, -1.0, 1.0) * np.sqrt(np.where(possible, square, 0))
    gamma = np.divide(-2 * gain, root, out=np.zeros(len(root)), where=possible & (root != 0))
    return velocities + gamma[:, None, None] * step, possible


def reversed_along(velocities: np.ndarray, masses: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Velocities ``[T, N, 3]`` with the momentum along a direction reversed; the kinetic energy stays."""
    step = direction / masses[:, None]
    a = np.einsum("tax,tax->t", direction, step)
    b = np.einsum("tax,tax->t", direction, velocities)
    gamma = np.divide(-2 * b, a, out=np.zeros(len(a)), where=a > 0)
    return velocities + gamma[:, None, None] * step


def opposes(forces: np.ndarray, velocities: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """``[T]``: whether forces push against the motion along a direction.

    The criterion of Jasper and Truhlar (Chem. Phys. Lett. 369, 60, 2003) with the target state's forces.
    """
    along = np.einsum("tax,tax->t", direction, forces) * np.einsum("tax,tax->t", direction, velocities)
    return along < 0


def momentum(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """The momenta as a direction, ``[T, N, 3]``."""
    return velocities * masses[:, None]
