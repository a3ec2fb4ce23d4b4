"""Magnitudes of spin-orbit couplings."""

from __future__ import annotations

from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features, scatter_sum
from .vectors import AtomReadout

SCALE = 1e-3
"""What a network's output of one means, eV: 8 cm^-1, as light elements have."""


class SpinOrbitHead(nn.Module):
    """Root of the sum of squares over the spin components of ``<i|H_SO|j>``: the absolute value of a sum over the atoms.

    The magnitude does not change when the molecule turns; its M_S-resolved parts do, as components of an axial vector, and no
    invariant head may predict them. It goes through zero like an absolute value does, with a kink, so what is smooth is learned
    and the absolute value taken last.
    """

    def __init__(self, num_features: int, num_pairs: int) -> None:
        super().__init__()
        self.readout = AtomReadout(num_features, num_pairs, "scalar")

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """eV, float64 ``[B, R]``, zero or more."""
        atoms = self.readout(features).double()
        return SCALE * scatter_sum(atoms, graph.batch, graph.num_graphs).abs()
