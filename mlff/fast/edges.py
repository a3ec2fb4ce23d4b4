"""The directed edges of successive structures of a simulation, from a Verlet list."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlff.graph import VerletList
from mlff.graph.verlet import KeptList

from .ops import Edges
from .tables import DEGREE, SHORTEST_DISTANCE


class EdgeList:
    """Edges sorted by centre, both directions of every pair; kept with the Verlet list's skin, filtered at every call."""

    def __init__(self, neighbors: VerletList, dtype: torch.dtype, num_coefficients: int) -> None:
        self._neighbors = neighbors
        self._single_precision = dtype == torch.float32
        self._num_cells = num_coefficients - DEGREE
        self._kept: KeptList | None = None
        self._offsets = self._indices = self._translations = torch.empty(0)

    def near(
        self,
        positions: NDArray[np.float64],
        atomic_numbers: NDArray[np.int64],
        cell: NDArray[np.float64] | None,
        pbc: NDArray[np.bool_] | None,
    ) -> tuple[Edges, float]:
        """The edges shorter than the cutoff now, and the shortest distance in Å."""
        kept = self._neighbors.kept(positions, atomic_numbers, cell, pbc)
        if kept is not self._kept:
            self._sort(kept, len(positions))
        offsets, neighbors, vectors, basis, shortest = torch.ops.mlff.near_edges(
            torch.from_numpy(positions), self._offsets, self._indices, self._translations, self._neighbors.cutoff,
            SHORTEST_DISTANCE, self._num_cells, self._single_precision,
        )  # fmt: skip
        return Edges(vectors, basis, offsets, neighbors), float(shortest[0]) ** 0.5

    def _sort(self, kept: KeptList, num_atoms: int) -> None:
        i, j = np.ascontiguousarray(kept.pairs.T)
        centres, neighbors = np.concatenate((i, j)), np.concatenate((j, i))
        order = np.argsort(centres, kind="stable")
        offsets = np.zeros(num_atoms + 1, dtype=np.int32)
        np.cumsum(np.bincount(centres, minlength=num_atoms), out=offsets[1:])
        self._offsets = torch.from_numpy(offsets)
        self._indices = torch.from_numpy(neighbors[order].astype(np.int32))
        self._translations = _translations(kept, order)
        self._kept = kept


def _translations(kept: KeptList, order: NDArray[np.int64]) -> Tensor:
    if kept.translations is None:
        return torch.empty(0, dtype=torch.float64)
    along = kept.translations.T
    return torch.from_numpy(np.concatenate((along, -along))[order])
