"""The same states from step to step: their signs, and their order where two cross without seeing each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg
from scipy.optimize import linear_sum_assignment

from .surfaces import Surfaces

CROSSED = 0.9
"""States have crossed where one turned into another to more than this part (squared overlap) in one step."""


def follow(before: Surfaces, after: Surfaces, *, cross: bool) -> tuple[Surfaces, np.ndarray]:
    """The surfaces of a step with the signs that the states had the step before, and the place that each has now.

    By the overlaps of the states where the potential gives eigenvectors; else by the scalar products of the coupling
    vectors, along the strongest links between states. A potential that says its signs are continuous is left alone.

    Args:
        before: T geometries.
        after: the same trajectories one step later.
        cross: whether to look for states that crossed unseen (see `crossings`); needs eigenvectors.

    Returns:
        The surfaces, in order of energy as before, and ``[T, S]``: the place now of each state of the step before.
    """
    num_states = after.energies.shape[1]
    places = np.tile(np.arange(num_states), (len(after.energies), 1))
    signs = np.ones(places.shape)
    if after.eigenvectors is not None and before.eigenvectors is not None:
        overlap = overlaps(before, after)
        if cross:
            places = crossings(overlap)
        found = _signs_of_overlaps(np.take_along_axis(overlap, places[:, None], axis=2))
        np.put_along_axis(signs, places, found, axis=1)
    elif after.nac is not None and before.nac is not None and not after.continuous_phases:
        signs = _signs_of_links(np.einsum("tapx,tapx->tp", before.nac, after.nac), num_states)
    return _with_signs(after, signs), places


def with_signs_of(reference: Surfaces, other: Surfaces) -> Surfaces:
    """Surfaces of another model at the same geometries, the signs of the states chosen to match the reference's couplings."""
    if reference.nac is None or other.nac is None:
        return other
    links = np.einsum("tapx,tapx->tp", reference.nac, other.nac)
    return _with_signs(other, _signs_of_links(links, other.energies.shape[1]))


def _with_signs(surfaces: Surfaces, signs: np.ndarray) -> Surfaces:
    """The surfaces with every state multiplied by its sign, ``[T, S]``."""
    if (signs == 1).all():
        return surfaces
    first, second = np.triu_indices(signs.shape[1], 1)
    pairs = signs[:, first] * signs[:, second]
    return replace(
        surfaces,
        nac=None if surfaces.nac is None else surfaces.nac * pairs[:, None, :, None],
        dipole=None if surfaces.dipole is None else surfaces.dipole * pairs[:, :, None],
        eigenvectors=None if surfaces.eigenvectors is None else surfaces.eigenvectors * signs[:, None],
    )


def overlaps(before: Surfaces, after: Surfaces) -> np.ndarray:
    """<i(before)|j(after)>, ``[T, S, S]``."""
    assert before.eigenvectors is not None and after.eigenvectors is not None
    return before.eigenvectors.swapaxes(1, 2) @ after.eigenvectors


def crossings(overlap: np.ndarray) -> np.ndarray:
    """``[T, S]``: the place that each state of the step before has now; its own unless states crossed unseen.

    Where a state turned into another to more than `CROSSED`, the states of that trajectory are paired so that the sum
    of squared overlaps is largest. An avoided crossing that a step resolves changes nothing: there, hops decide.
    """
    num_states = overlap.shape[1]
    places = np.tile(np.arange(num_states), (len(overlap), 1))
    squares = overlap**2
    crossed = (squares * (1 - np.eye(num_states)) > CROSSED).any(axis=(1, 2))
    for row in np.flatnonzero(crossed):
        places[row] = linear_sum_assignment(squares[row], maximize=True)[1]
    return places


def overlap_couplings(overlap: np.ndarray, timestep: float) -> np.ndarray:
    """<i|d/dt|j>, 1/fs ``[T, S, S]``: the logarithm of the orthogonalised overlaps over the time step.

    The mean over the step that turns the states of its start into those of its end exactly, however narrow the crossing
    (Jain, Alguire and Subotnik, J. Chem. Theory Comput. 12, 5256, 2016). Expects the signs that `follow` chose.
    """
    left, _, right = np.linalg.svd(overlap)
    rotation = left @ right  # the orthogonal matrix nearest to the overlaps
    # Its symmetric and antisymmetric parts commute: the eigenvectors of a hermitian mixture of both are its own.
    transposed = rotation.swapaxes(1, 2)
    _, vectors = np.linalg.eigh(0.5 * (rotation + transposed) - 1j * (rotation - transposed))
    adjoint = vectors.conj().swapaxes(1, 2)
    phases = np.diagonal(adjoint @ rotation @ vectors, axis1=1, axis2=2)
    logarithm = ((vectors * (1j * np.angle(phases))[:, None]) @ adjoint).real
    mixed = np.abs(rotation @ vectors - vectors * phases[:, None]).max(axis=(1, 2)) > 1e-9
    for row in np.flatnonzero(mixed):  # unless two angles happen to give the mixture the same eigenvalue
        logarithm[row] = np.real(scipy.linalg.logm(rotation[row]))
    return 0.5 * (logarithm - logarithm.swapaxes(1, 2)) / timestep


def _signs_of_overlaps(overlap: np.ndarray) -> np.ndarray:
    """``[T, S]``: +1 or -1, by which the new states are multiplied.

    The overlap of each state with its own past becomes positive. Where that leaves a reflection, the state that resembles
    its past least is turned over, so that what is left is a rotation. Turning a state over from the start turns it over for
    good, and changes nothing else.
    """
    own = np.diagonal(overlap, axis1=1, axis2=2)
    signs = np.where(own < 0, -1.0, 1.0)
    reflected = np.flatnonzero(np.linalg.det(overlap * signs[:, None]) < 0)
    signs[reflected, np.abs(own).argmin(axis=1)[reflected]] *= -1
    return signs


def _signs_of_links(links: np.ndarray, num_states: int) -> np.ndarray:
    """``[T, S]``: signs that make the strongest links positive; one tree of S - 1 links a trajectory (Prim).

    `links`, ``[T, P]``, turn their sign with the state's: so the result does too, and what it is multiplied with does not.
    """
    first, second = np.triu_indices(num_states, 1)
    matrix = np.zeros((len(links), num_states, num_states))
    matrix[:, first, second] = matrix[:, second, first] = np.nan_to_num(links)
    rows = np.arange(len(links))
    signs = np.ones((len(links), num_states))
    inside = np.zeros((len(links), num_states), dtype=bool)
    inside[:, 0] = True
    for _ in range(num_states - 1):
        strength = np.where(inside[:, :, None] & ~inside[:, None], np.abs(matrix), -1.0)
        one, other = np.divmod(strength.reshape(len(links), -1).argmax(axis=1), num_states)
        signs[rows, other] = signs[rows, one] * np.where(matrix[rows, one, other] < 0, -1.0, 1.0)
        inside[rows, other] = True
    return signs
