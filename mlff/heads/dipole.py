"""Permanent and transition dipoles from charges and atomic dipoles that the network finds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features, scatter_sum
from .coupling import mean_of_structure
from .vectors import AtomReadout, ParityReadout


class DipoleHead(nn.Module):
    """``mu_ij = sum over atoms of q_ij r + m_ij``, charges q and vectors m of every atom for each pair of states.

    Charges of a state (i = j) sum to the total charge and those of a transition to zero, so that a transition dipole, and that
    of a neutral molecule, does not depend on the origin; an ion's does, and refers to the origin of the positions. A transition
    between states of opposite parity has no charges, and axial vectors (Schütt, Unke, Gastegger, arXiv:2102.03150, section
    4.2, has the same sum with one charge and one vector an atom).
    """

    def __init__(
        self, num_features: int, pairs: Sequence[tuple[int, int]], odd: tuple[bool, ...], total_charge: float
    ) -> None:
        super().__init__()
        self.vectors = ParityReadout(num_features, odd, ("polar", "axial"))
        self.charges = AtomReadout(num_features, len(pairs), "scalar")
        self._charged = [float(not flag) for flag in odd]
        self._totals = [total_charge * (i == j) for i, j in pairs]

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """e Å, float64 ``[B, Q, 3]``."""
        positions = graph.positions.double()
        centre = mean_of_structure(positions, graph)
        charges = self.charges(features).double() * positions.new_tensor(self._charged)
        charges = charges - mean_of_structure(charges, graph)
        # These sum to zero; the total charge, spread evenly over the atoms, is added below.
        atoms = charges.unsqueeze(2) * (positions - centre).unsqueeze(1)
        atoms = atoms + self.vectors(features).double()
        dipole = scatter_sum(atoms, graph.batch, graph.num_graphs)
        counts = scatter_sum(positions.new_ones(graph.num_atoms), graph.batch, graph.num_graphs)
        means = scatter_sum(positions, graph.batch, graph.num_graphs) / counts.unsqueeze(1)
        return dipole + means.unsqueeze(1) * positions.new_tensor(self._totals).view(1, -1, 1)
