"""A symmetric matrix of every structure whose eigenvalues are the energies of its states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..nn import Features
from .vectors import ParityReadout

Pair = tuple[int, int]


class DiabaticHead(nn.Module):
    """Matrix elements between diabatic states of equal multiplicity: scalars, or pseudo-scalars between opposite parities.

    The diagonal is that of an energy head. All are sums over atoms of smooth functions of the positions, so an eigenvalue has
    a cusp exactly where a conical intersection puts it (Domcke, Yarkony, Köppel (eds.), Conical Intersections, World Scientific
    2004, chapters 1 and 4).
    """

    def __init__(self, num_features: int, odd: tuple[bool, ...]) -> None:
        super().__init__()
        self.readout = ParityReadout(num_features, odd, ("scalar", "pseudoscalar"))

    def forward(self, features: Features) -> Tensor:
        """Each atom's part of the elements, in the potential's scale: ``[N, P]``."""
        return self.readout(features)


def symmetric_matrices(pairs: Sequence[Pair], num_states: int) -> Tensor:
    """For each pair the matrix with ones at (i, j) and (j, i): ``[P, S, S]``."""
    matrices = torch.zeros(len(pairs), num_states, num_states, dtype=torch.float64)
    for matrix, (i, j) in zip(matrices, pairs):
        matrix[i, j] = matrix[j, i] = 1
    return matrices
