"""The graph of a batch of structures: atoms, the pairs within the cutoff, and nothing derived from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Graph:
    """B structures of N atoms in all, and the P pairs of atoms nearer than the cutoff.

    A pair is stored once. Every pair is two directed edges, so E = 2 P, and edge ``e + P`` is the reverse of edge ``e``:
    a function of the distance alone is computed once a pair and used for both directions. An atom paired with its own
    periodic image is a pair like any other; an atom is never paired with itself.
    """

    positions: Tensor
    """Å, ``[N, 3]``; float64 keeps differences exact for molecules far from the origin."""
    atomic_numbers: Tensor
    """int64 ``[N]``."""
    batch: Tensor
    """Structure that each atom belongs to, int64 ``[N]``, ascending."""
    pairs: Tensor
    """Atoms i and j of each pair, int64 ``[2, P]``."""
    cutoff: float
    """Å; every pair nearer than this is in ``pairs``, or was before ``connect`` selected some."""
    num_graphs: int
    pair_shifts: Tensor | None = None
    """Integer cell shift S of each pair, ``[P, 3]`` in the dtype of the positions; None for molecules."""
    cell: Tensor | None = None
    """Lattice vectors as rows, Å, ``[B, 3, 3]``; None for molecules."""
    pbc: Tensor | None = None
    """Periodic axes, bool ``[B, 3]``; None for molecules."""

    @property
    def num_atoms(self) -> int:
        return self.positions.shape[0]

    @property
    def num_pairs(self) -> int:
        return self.pairs.shape[1]

    @property
    def edge_index(self) -> Tensor:
        """Centre i (row 0) and neighbour j (row 1) of every directed edge: int64 ``[2, E]``."""
        return torch.cat((self.pairs, self.pairs.flip(0)), dim=1)

    def pair_vectors(self, dtype: torch.dtype | None = None) -> Tensor:
        """Vectors from atom i to atom j of each pair, Å: ``[P, 3]``.

        ``r_ij = r_j + S_ij @ cell - r_i``. The difference is taken in the dtype of the positions and cast to ``dtype``.
        """
        i, j = self.pairs
        vectors = self.positions.index_select(0, j) - self.positions.index_select(0, i)
        if self.cell is not None and self.pair_shifts is not None:
            cells = self.cell.index_select(0, self.batch.index_select(0, i))
            vectors = vectors + (self.pair_shifts.unsqueeze(1) @ cells).squeeze(1)
        return vectors if dtype is None else vectors.to(dtype)

    def edge_vectors(self, dtype: torch.dtype | None = None) -> Tensor:
        """Vectors from each edge's centre to its neighbour, Å: ``[E, 3]``, in the order of ``edge_index``."""
        vectors = self.pair_vectors(dtype)
        return torch.cat((vectors, -vectors))

    def with_pairs(self, chosen: Tensor) -> Graph:
        """The same structures with these of the pairs: indices, int64 ``[P']``."""
        shifts = None if self.pair_shifts is None else self.pair_shifts.index_select(0, chosen)
        return replace(self, pairs=self.pairs.index_select(1, chosen), pair_shifts=shifts)

    def to(self, device: torch.device | str) -> Graph:
        """The same graph on another device."""
        tensors: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **tensors)
