"""What surface hopping asks of a potential: energies, forces and couplings of several states, many structures at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...units import KINETIC


@dataclass(frozen=True)
class Surfaces:
    """Several electronic states at T geometries of N atoms; P pairs i < j of S states, in the order of `state_pairs`.

    A geometry where the potential failed has NaN: its trajectory stops, the others go on.
    """

    energies: np.ndarray
    """eV, ``[T, S]``."""
    forces: np.ndarray
    """eV/angstrom, ``[T, N, 3]``: of the one state asked for in each trajectory."""
    nac: np.ndarray | None = None
    """<i|d/dR|j>, 1/angstrom, ``[T, N, P, 3]``; zero where spin forbids."""
    soc_magnitude: np.ndarray | None = None
    """Root of the sum of squares over the pair's spin components, eV, ``[T, P]``."""
    dipole: np.ndarray | None = None
    """Transition dipoles, e angstrom, ``[T, P, 3]``."""
    eigenvectors: np.ndarray | None = None
    """``[T, D, S]``: the states (columns) in a basis of D that does not depend on the geometry, or hardly, so that
    products of neighbouring geometries' eigenvectors are the overlaps of their states. Signs are arbitrary."""
    disagreement: np.ndarray | None = None
    """Of a committee of M: the largest over the atoms of the standard deviation (with M - 1) of the force vector,
    eV/angstrom, ``[T]``."""
    continuous_phases: bool = False
    """Whether the signs of the states are continuous along every path, so that the engine need not track them: true of
    couplings that one smooth function gives, false of those of an eigenvalue problem."""

    def mapped(self, function: Callable[..., np.ndarray], *others: Surfaces) -> Surfaces:
        """The surfaces with a function applied to each array (and the same array of `others`) that all of them have."""

        def result(name: str) -> Any:
            arrays = [getattr(each, name) for each in (self, *others)]
            return None if any(array is None for array in arrays) else function(*arrays)

        return Surfaces(result("energies"), result("forces"), result("nac"), result("soc_magnitude"), result("dipole"),
                        result("eigenvectors"), result("disagreement"), self.continuous_phases)

    def select(self, rows: np.ndarray) -> Surfaces:
        """The same at some of the geometries."""
        return self.mapped(lambda array: array[rows])

    def chosen(self, good: np.ndarray, other: Surfaces | float) -> Surfaces:
        """These where `good` (``[T]``) is true, those of another (or a number) elsewhere."""

        def mixed(mine: np.ndarray, theirs: np.ndarray | float) -> np.ndarray:
            return np.asarray(np.where(good.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs))

        return self.mapped(mixed, other) if isinstance(other, Surfaces) else self.mapped(lambda mine: mixed(mine, other))


class MultiStatePotential(Protocol):
    """A potential of several states that drives surface hopping."""

    num_states: int
    multiplicities: tuple[int, ...]
    """2 S + 1 of every state; states of one multiplicity are in order of energy."""
    masses: np.ndarray
    """amu, ``[N]``."""
    atomic_numbers: np.ndarray
    """``[N]``."""

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """The states at T geometries.

        Args:
            positions: angstrom, ``[T, N, 3]``.
            states: int ``[T]``, whose forces are wanted.
            couplings: whether nonadiabatic couplings (and transition dipoles), where there are any, are wanted too;
                spin-orbit magnitudes always are.
        """


def state_pairs(num_states: int) -> tuple[tuple[int, int], ...]:
    """All pairs i < j of states: (0, 1), (0, 2), ..., (1, 2), ..."""
    return tuple((i, j) for i in range(num_states) for j in range(i + 1, num_states))


def pair_matrix(values: np.ndarray, num_states: int, *, antisymmetric: bool) -> np.ndarray:
    """``[T, P]`` values of pairs as matrices ``[T, S, S]``, zero on the diagonal."""
    first, second = np.triu_indices(num_states, 1)
    matrix = np.zeros((len(values), num_states, num_states), dtype=values.dtype)
    matrix[:, first, second] = values
    matrix[:, second, first] = -values if antisymmetric else values
    return matrix


def pair_index(num_states: int) -> np.ndarray:
    """``[S, S]``: the row of a pair (in either order) in `state_pairs`; -1 on the diagonal."""
    first, second = np.triu_indices(num_states, 1)
    index = np.full((num_states, num_states), -1)
    index[first, second] = index[second, first] = np.arange(len(first))
    return index


def kinetic_energy(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """eV ``[T]``, of velocities in angstrom/fs ``[T, N, 3]``."""
    return 0.5 * KINETIC * np.einsum("tax,tax,a->t", velocities, velocities, masses)
