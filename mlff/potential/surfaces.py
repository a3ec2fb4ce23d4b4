"""Energies of the electronic states of B structures, and what to differentiate for their forces and couplings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph import Graph
from ..nn import scatter_sum
from .eigen import eigenstates

FEW_ATOMS = 64
"""Up to so many atoms the derivatives of several states are computed side by side; from about 200 on, one after another is
as fast on a CPU, and takes less memory."""


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

    @property
    def output(self) -> Tensor:
        """What is differentiated."""
        return self.energy

    def factor(self, state: int | Tensor) -> Tensor:
        """What `output` is multiplied by, before it is summed and differentiated, for a state (or one of each structure)."""
        states = state.unsqueeze(1) if isinstance(state, Tensor) else state
        chosen = torch.arange(self.energy.shape[1], device=self.energy.device) == states
        return chosen.to(self.energy.dtype).expand_as(self.energy)


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

    @property
    def output(self) -> Tensor:
        """What is differentiated: W, with its eigenvectors held, as Hellmann and Feynman allow."""
        return self.matrix

    def factor(self, state: int | Tensor) -> Tensor:
        """What W is multiplied by for ``dE_k/dR = c_k^T (dW/dR) c_k``: ``[B, S, S]``."""
        states = torch.as_tensor(state, device=self.energy.device).expand(len(self.energy))
        c_k = self.eigenvectors.gather(2, states[:, None, None].expand(-1, self.energy.shape[1], 1))
        return c_k * c_k.mT

    def coupling(self, i: int, j: int) -> Tensor:
        """What W is multiplied by for ``<i|dH/dR|j> = c_i^T (dW/dR) c_j``: ``[B, S, S]``."""
        product = self.eigenvectors[:, :, i].unsqueeze(2) * self.eigenvectors[:, :, j].unsqueeze(1)
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


def derivatives(output: Tensor, factors: Sequence[Tensor], inputs: Sequence[Tensor], *, again: bool) -> list[Tensor]:
    """Derivatives of ``(output * factor).sum()`` by each of the inputs, for every factor: ``[K, ...]`` for each input.

    Args:
        output: any shape.
        factors: K tensors of that shape.
        inputs: what to differentiate by; where the output does not depend on one, as with a model that knows bonds alone, the
            derivative is zero.
        again: whether the derivatives can be differentiated; the graph is kept then.
    """
    if not output.requires_grad:
        return [each.new_zeros(len(factors), *each.shape) for each in inputs]
    # Together the K backward passes of a molecule take half of the time, as its tensors are smaller than a call is long.
    if 1 < len(factors) and type(output) is Tensor and inputs[0].shape[0] <= FEW_ATOMS:
        batched = torch.autograd.grad(
            output, inputs, torch.stack(list(factors)), create_graph=again, is_grads_batched=True, allow_unused=True
        )  # fmt: skip
        return [each.new_zeros(len(factors), *each.shape) if g is None else g for each, g in zip(inputs, batched)]
    found = [
        # The last backward pass frees the graph: compiled models need that, and it saves memory.
        torch.autograd.grad(
            output, inputs, factor, create_graph=again, retain_graph=again or k + 1 < len(factors), materialize_grads=True
        )
        for k, factor in enumerate(factors)
    ]
    return [torch.stack(gradients) for gradients in zip(*found)]
