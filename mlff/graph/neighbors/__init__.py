"""Neighbour lists: every pair of atoms nearer than a cutoff, once, by one of several backends that agree.

A backend is a function ``(positions, cell, pbc, cutoff) -> (pairs, shifts)`` of checked arguments, in a file of its
own; adding one is a file and a line in ``BACKENDS``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import brute, torch_cluster, vesin
from .structure import check_structure

Backend = Callable[
    [NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.bool_], float],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]

BACKENDS: dict[str, Backend] = {
    "vesin": vesin.half_list,  # the default: any cell, any periodicity
    "torch_cluster": torch_cluster.half_list,  # non-periodic only; extra `mlff[cluster]`
    "brute": brute.half_list,  # the reference, O(N^2)
}


def check_backend(backend: str) -> str:
    """The name of a backend, or a ValueError that lists them."""
    if backend not in BACKENDS:
        raise ValueError(f"there is no neighbour-list backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    return backend


def half_list(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | None,
    cutoff: float,
    *,
    backend: str = "vesin",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every pair of atoms nearer than ``cutoff``, once.

    A pair (i, j, S) is at the distance ``|r_j + S @ cell - r_i| < cutoff``, for the positions as they were given: they
    need not lie in the cell. It stands for its reverse (j, i, -S) too, which is not listed; for an atom and its own
    images only one of S and -S is. Images are found at any distance, so the cell may be smaller than the cutoff. The
    order of the pairs is the backend's own, and the same for the same input. Two backends may differ only about a pair
    whose distance equals the cutoff to rounding.

    Args:
        positions: Å, ``[N, 3]``.
        cell: lattice vectors as rows, Å, ``[3, 3]``. Rows of axes that are not periodic are not read; None for none.
        pbc: which of the three axes are periodic (or one bool for all); None for none. A structure with a cell and no
            periodic axis is a molecule.
        cutoff: Å.
        backend: a name in ``BACKENDS``.

    Returns:
        pairs int64 ``[P, 2]``: atoms i and j; shifts int64 ``[P, 3]``: S, zero along axes that are not periodic.

    Raises:
        ValueError: positions, cell, periodicity, cutoff or backend that no list can be made of.
        ImportError: the package behind the backend is not installed; the message has the line that installs it.
    """
    neighbors = BACKENDS[check_backend(backend)]
    return neighbors(*check_structure(positions, cell, pbc, cutoff))


__all__ = ["BACKENDS", "Backend", "check_backend", "half_list"]
