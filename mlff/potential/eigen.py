"""Energies and states from diabatic matrices: eigenvectors that can be differentiated at degeneracies too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

SMALLEST_GAP = 1e-6
"""eV; see `over_gap`."""


def over_gap(values: Tensor, gap: Tensor) -> Tensor:
    """``values / gap`` down to gaps of about 1e-6 eV, and smoothly to zero at none: ``values gap / (gap^2 + (1e-6 eV)^2)``.

    At 1e-3 eV it is off by one part in a million. The quotient itself is infinite at a conical intersection, where no single
    direction of a coupling is right, and half a million times `values` is the most that this one reaches.
    """
    return values * gap / (gap.square() + SMALLEST_GAP**2)


def eigenstates(matrix: Tensor, blocks: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending within each block, and eigenvectors of symmetric matrices without elements between blocks.

    Args:
        matrix: float64 ``[B, S, S]``.
        blocks: indices of the states of each multiplicity; those of block b are the energies of its states in this order.

    Returns:
        Values ``[B, S]`` and vectors ``[B, S, S]``, one a column, the sign such that its largest component is positive. Both
        can be differentiated twice; where states are degenerate the derivatives are finite (`over_gap`).
    """
    values, vectors = torch.zeros_like(matrix[:, 0]), torch.zeros_like(matrix)
    for block in blocks:
        index = torch.tensor(block, device=matrix.device)
        rows, columns = index.unsqueeze(1), index.unsqueeze(0)
        block_values, block_vectors = _Eigen.apply(matrix[:, rows, columns])
        values = values.index_copy(1, index, block_values)
        structures = torch.arange(len(matrix), device=matrix.device)[:, None, None]
        vectors = vectors.index_put((structures, rows, columns), block_vectors)
    return values, vectors


class _Eigen(torch.autograd.Function):
    """`torch.linalg.eigh`, whose backward divides by gaps through `over_gap`, and so can meet a gap of zero."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
        vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
        ctx.save_for_backward(values, vectors)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        by_values, by_vectors = gradients
        values, vectors = ctx.saved_tensors
        gaps = values.unsqueeze(1) - values.unsqueeze(2)  # E_j - E_i
        # Without the diagonal: there the gap is zero by itself, and its huge derivatives would cancel to round-off.
        others = 1.0 - torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
        inner = torch.diag_embed(by_values) + over_gap(vectors.mT @ by_vectors * others, gaps)
        gradient = vectors @ inner @ vectors.mT
        return 0.5 * (gradient + gradient.mT)
