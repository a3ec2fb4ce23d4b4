"""A neighbour list that is kept while atoms move little (Verlet, Phys. Rev. 159, 98 (1967))."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .neighbors import check_backend, half_list
from .neighbors.structure import check_pbc


@dataclass(frozen=True)
class KeptList:
    """A structure that a list was built for, and the list: all pairs nearer than cutoff + skin."""

    positions: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64] | None
    pbc: NDArray[np.bool_]
    cell: NDArray[np.float64] | None
    pairs: NDArray[np.int64]
    shifts: NDArray[np.int64]
    translations: NDArray[np.float64] | None
    """``shifts @ cell``, transposed: ``[3, P]``; None where nothing is periodic."""


class VerletList:
    """Neighbour lists of the successive structures of a simulation, each equal to a new one.

    A list is built with the radius ``cutoff + skin`` and used again while twice the largest displacement of an atom
    since then is below ``skin``: two atoms may approach each other by the displacements of both, hence twice. Every
    call returns only the pairs nearer than ``cutoff`` now. Anything else that changes (number of atoms, elements, cell,
    periodicity, an atom wrapped to the other side of the box) leads to a new list, so one object may be given any
    sequence of structures.

    Args:
        cutoff: Å.
        skin: Å; 0 builds a new list for every call. 0.5 to 2 is usual: more means fewer builds and longer lists.
        backend: name of a neighbour-list backend.
        num_structures: how many structures, of the same number of atoms and in the same cell, the positions hold one
            behind the other; atoms of different structures are no pairs.
    """

    def __init__(self, cutoff: float, skin: float, backend: str = "vesin", num_structures: int = 1) -> None:
        if not (math.isfinite(cutoff) and cutoff > 0):
            raise ValueError(f"`cutoff` is {cutoff} Å; give a positive distance")
        if not (math.isfinite(skin) and skin >= 0):
            raise ValueError(f"`skin` is {skin} Å; give a distance, or 0 for a new list at every step")
        self.cutoff = float(cutoff)
        self.skin = float(skin)
        self.backend = check_backend(backend)
        self.num_structures = num_structures
        self.num_builds = 0
        """How many lists were built so far."""
        self._kept: KeptList | None = None

    def pairs(
        self,
        positions: ArrayLike,
        atomic_numbers: ArrayLike | None = None,
        cell: ArrayLike | None = None,
        pbc: ArrayLike | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every pair nearer than the cutoff, once: pairs ``[P, 2]`` and cell shifts ``[P, 3]`` as of ``half_list``.

        Raises:
            ValueError: a structure that no list can be made of (see ``half_list``); the list kept so far stays.
        """
        positions = np.asarray(positions, dtype=np.float64)
        if positions.size == 0:
            positions = positions.reshape(0, 3)
        if self.skin == 0:
            return self._search(positions, cell, pbc, self.cutoff)
        kept = self.kept(positions, atomic_numbers, cell, pbc)
        near = self._near(kept, positions)
        return np.take(kept.pairs, near, axis=0), np.take(kept.shifts, near, axis=0)

    def kept(
        self,
        positions: NDArray[np.float64],
        atomic_numbers: ArrayLike | None = None,
        cell: ArrayLike | None = None,
        pbc: ArrayLike | None = None,
    ) -> KeptList:
        """The list that holds every pair nearer than the cutoff, and others: the same object until it is built anew.

        Raises:
            ValueError: as of ``pairs``.
        """
        kept = self._kept
        if kept is None or not self._is_valid(kept, positions, atomic_numbers, cell, pbc):
            kept = self._kept = self._build(positions, atomic_numbers, cell, pbc)
        return kept

    def _is_valid(
        self,
        kept: KeptList,
        positions: NDArray[np.float64],
        atomic_numbers: ArrayLike | None,
        cell: ArrayLike | None,
        pbc: ArrayLike | None,
    ) -> bool:
        """Whether the kept list still holds every pair nearer than the cutoff. False for NaN, which no list holds."""
        if positions.shape != kept.positions.shape or not np.array_equal(check_pbc(pbc), kept.pbc):
            return False
        if kept.cell is not None and (cell is None or not np.array_equal(np.asarray(cell), kept.cell)):
            return False
        if atomic_numbers is None or kept.atomic_numbers is None:
            if atomic_numbers is not kept.atomic_numbers:
                return False
        elif not np.array_equal(np.asarray(atomic_numbers), kept.atomic_numbers):
            return False
        moved = positions - kept.positions
        return bool(4 * np.einsum("ij,ij->i", moved, moved).max(initial=0.0) < self.skin**2)

    def _build(
        self,
        positions: NDArray[np.float64],
        atomic_numbers: ArrayLike | None,
        cell: ArrayLike | None,
        pbc: ArrayLike | None,
    ) -> KeptList:
        pairs, shifts = _in_order(*self._search(positions, cell, pbc, self.cutoff + self.skin))
        periodic = check_pbc(pbc)
        lattice = np.array(cell, dtype=np.float64) if periodic.any() else None
        return KeptList(
            positions=positions.copy(),  # the caller may move its atoms in place
            atomic_numbers=None if atomic_numbers is None else np.array(atomic_numbers, dtype=np.int64),
            pbc=periodic,
            cell=lattice,
            pairs=pairs,
            shifts=shifts,
            translations=None if lattice is None else np.ascontiguousarray((shifts @ lattice).T),
        )

    def _search(
        self, positions: NDArray[np.float64], cell: ArrayLike | None, pbc: ArrayLike | None, radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A new list of every structure, the numbers of its atoms counted over all of them."""
        size, rest = divmod(len(positions), self.num_structures)
        if rest:
            raise ValueError(f"{len(positions)} atoms are not {self.num_structures} structures of the same size")
        lists = [
            half_list(positions[k * size : (k + 1) * size], cell, pbc, radius, backend=self.backend)
            for k in range(self.num_structures)
        ]
        self.num_builds += 1
        pairs = np.concatenate([pairs + k * size for k, (pairs, _) in enumerate(lists)])
        return pairs, np.concatenate([shifts for _, shifts in lists])

    def _near(self, kept: KeptList, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which pairs of the kept list are nearer than the cutoff now.

        One coordinate at a time, in place: over rows of x, y, z this takes five times as long.
        """
        i, j = np.ascontiguousarray(kept.pairs.T)
        squares = np.zeros(len(i))
        for axis, coordinates in enumerate(np.ascontiguousarray(positions.T)):
            difference = np.take(coordinates, j)
            difference -= np.take(coordinates, i)
            if kept.translations is not None:
                difference += kept.translations[axis]
            difference *= difference
            squares += difference
        return np.flatnonzero(squares < self.cutoff**2)


def _in_order(pairs: NDArray[np.int64], shifts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same list with i <= j, sorted: sums over it then do not depend, to the last bit, on when it was built."""
    first = np.take_along_axis(shifts, (shifts != 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    reverse = (pairs[:, 0] > pairs[:, 1]) | ((pairs[:, 0] == pairs[:, 1]) & (first < 0))
    pairs = np.where(reverse[:, None], pairs[:, ::-1], pairs)
    shifts = np.where(reverse[:, None], -shifts, shifts)
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], pairs[:, 1], pairs[:, 0]))
    return pairs[order], shifts[order]
