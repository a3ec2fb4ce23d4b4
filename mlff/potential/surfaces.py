"""Energies of the electronic states of B structures, and what to differentiate for their forces and couplings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph import Graph
from ..nn import scatter_sum
from .eigen import eigenstates


@dataclass(frozen=True)
class Surfaces:
    """Energies of S states that each have a network's output of their own."""

    energies: Tensor
    """Of every atom, eV, float64 ``[N, S]``."""
    energy: Tensor
    """Of every structure, eV, float64 ``[B, S]``."""

    @classmethod
    def of(cls, energies: Tensor, graph: Graph) -> Surfaces:
        """The surfaces of these energies of the atoms."""
        return cls(energies=energies, energy=scatter_sum(energies, graph.batch, graph.num_graphs))

    def results(self) -> dict[str, Tensor]:
        """What the potential returns of them."""
        return {"energy": self.energy, "energies": self.energies}


@dataclass(frozen=True)
class DiabaticSurfaces(Surfaces):
    """Energies that are eigenvalues of a matrix W of each structure; atoms have a part ``c^T W_a c`` in each."""

    matrix: Tensor
    """W, eV, float64 ``[B, S, S]``."""
    eigenvectors: Tensor
    """c, as columns, ``[B, S, S]``."""

    @classmethod
    def diagonalised(cls, matrices: Tensor, graph: Graph, blocks: Sequence[Sequence[int]]) -> DiabaticSurfaces:
        """The surfaces of the matrices of the atoms, ``[N, S, S]``."""
        matrix = scatter_sum(matrices, graph.batch, graph.num_graphs)
        energy, eigenvectors = eigenstates(matrix, blocks)
        of_atoms = eigenvectors.index_select(0, graph.batch)
        energies = (of_atoms * (matrices @ of_atoms)).sum(1)
        return cls(energies=energies, energy=energy, matrix=matrix, eigenvectors=eigenvectors)

    def results(self) -> dict[str, Tensor]:
        """What the potential returns of them."""
        return super().results() | {"diabatic_energy": self.matrix, "eigenvectors": self.eigenvectors}

    def coupling(self, i: int, j: int) -> Tensor:
        """What to multiply W by before it is differentiated for ``<i|dH/dR|j> = c_i^T (dW/dR) c_j``: ``[B, S, S]``."""
        c_i, c_j = self.eigenvectors[:, :, i], self.eigenvectors[:, :, j]
        product = c_i.unsqueeze(2) * c_j.unsqueeze(1)
        return 0.5 * (product + product.mT)

    def turned(self, values: Tensor, matrices: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Elements ``c_i^T M c_j`` of `pairs`, ``[B, Q', 3]``, of a vector's ``M = sum over q of values_q matrices_q``.

        Args:
            values: ``[B, Q, 3]``.
            matrices: ``[Q, S, S]``.
            pairs: of adiabatic states.
        """
        turned = torch.einsum("bqx,qst,bsi,btj->bxij", values, matrices, self.eigenvectors, self.eigenvectors)
        i, j = (list(states) for states in zip(*pairs))
        return turned[:, :, i, j].mT


def gaps(energy: Tensor, pairs: Sequence[tuple[int, int]], graph: Graph) -> Tensor:
    """``E_j - E_i`` of the structure that each atom belongs to, eV, ``[N, P, 1]``."""
    i, j = (list(states) for states in zip(*pairs))
    return (energy[:, j] - energy[:, i]).index_select(0, graph.batch).unsqueeze(2)


def derivatives(
    values: Sequence[tuple[Tensor, Tensor | None]], inputs: Sequence[Tensor], *, again: bool
) -> list[list[Tensor]]:
    """The derivative of each value by each of the inputs, in order: one forward pass, one backward pass a value.

    Args:
        values: tensors, with what they are to be multiplied by (None: one) before they are summed.
        inputs: what to differentiate by.
        again: whether the derivatives can be differentiated; the graph is kept then.
    """
    results: list[list[Tensor]] = []
    for k, (value, factor) in enumerate(values):
        factor = torch.ones_like(value) if factor is None else factor
        # The last backward pass frees the graph: compiled models need that, and it saves memory.
        keep = again or k + 1 < len(values)
        results.append(list(torch.autograd.grad(value, inputs, factor, create_graph=again, retain_graph=keep)))
    return results

