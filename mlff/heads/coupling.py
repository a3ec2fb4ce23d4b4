"""Couplings between electronic states by the motion of the nuclei, learned as vectors of the atoms."""

from __future__ import annotations

from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features, scatter_sum
from .vectors import ParityReadout


class CouplingHead(nn.Module):
    """A vector of every atom for each pair of states: polar where the two have the same parity, axial where they do not.

    The mean over the atoms of a structure is taken off, so that the sum vanishes: moving the whole molecule, electrons and
    nuclei, changes no state. Derivatives of wave functions at fixed electrons lack that (their sum is the electrons' momentum
    matrix element) unless electron translation factors are added, and a velocity rescaled along them would set the molecule's
    centre of mass in motion (Fatehi, Alguire, Shao, Subotnik, J. Chem. Phys. 135, 234105, 2011).
    """

    def __init__(self, num_features: int, odd: tuple[bool, ...]) -> None:
        super().__init__()
        self.readout = ParityReadout(num_features, odd, ("polar", "axial"))

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """``[N, P, 3]``, in the potential's scale; the sum over the atoms of each structure is zero."""
        vectors = self.readout(features)
        return vectors - mean_of_structure(vectors, graph)


def mean_of_structure(values: Tensor, graph: Graph) -> Tensor:
    """The mean over the atoms of each structure, given to each of its atoms: ``[N, ...]`` to ``[N, ...]``."""
    sums = scatter_sum(values, graph.batch, graph.num_graphs)
    counts = scatter_sum(values.new_ones(graph.num_atoms), graph.batch, graph.num_graphs)
    means = sums / counts.view(-1, *[1] * (values.dim() - 1))
    return means.index_select(0, graph.batch)
