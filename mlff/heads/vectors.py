"""Vectors of the atoms for heads to read, and what heads make of them: polar and axial vectors, pseudo-scalars.

Under a reflection a polar vector turns with the structure, an axial one (a cross product) turns and changes its sign, and a
pseudo-scalar (a triple product) changes its sign. In a plane of symmetry polar vectors lie in the plane, axial ones stand on it
and pseudo-scalars vanish, which is what quantities between states of equal (polar) and of opposite parity do.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..graph import Graph
from ..nn import BesselBasis, Features, PolynomialEnvelope, glorot_linear, scatter_sum

Kind = Literal["scalar", "polar", "axial", "pseudoscalar"]
FEWEST_VECTORS = 4
"""Models with fewer vectors an atom (EGNN's one) are not asked for them: a triple product needs three that differ."""
NUM_RADIAL = 12


def num_channels(num_features: int) -> int:
    """How many vectors K of an atom heads read, for F scalars."""
    return max(num_features // 4, FEWEST_VECTORS)


class AtomVectors(nn.Module):
    """K polar vectors of every atom: those of the model, mixed, or sums over pairs where the model has none (or too few).

    The sums are ``v_i = sum over j of w(x_i, x_j, d_ij) r_ij / d_ij``, with w a two-layer network on the scalars and radial
    functions that ends smoothly at the cutoff: the vectors that any invariant model has to offer.
    """

    def __init__(self, num_features: int, num_vectors: int, cutoff: float) -> None:
        super().__init__()
        self.num_channels = num_channels(num_features)
        self.from_pairs = num_vectors < FEWEST_VECTORS
        if not self.from_pairs:
            self.mix = glorot_linear(num_vectors, self.num_channels, bias=False)
            return
        self.radial, self.envelope = BesselBasis(NUM_RADIAL, cutoff), PolynomialEnvelope(cutoff)
        self.centre = nn.Linear(num_features, self.num_channels)
        self.neighbor = nn.Linear(num_features, self.num_channels, bias=False)
        self.distance = nn.Linear(NUM_RADIAL, self.num_channels, bias=False)
        self.weight = nn.Linear(self.num_channels, self.num_channels, bias=False)

    def forward(self, features: Features, graph: Graph) -> Tensor:
        """``[N, 3, K]``."""
        if not self.from_pairs:
            assert features.vector is not None
            return self.mix(features.vector)
        x = features.scalar
        r_ij = graph.pair_vectors(x.dtype)
        distances = r_ij.norm(dim=1)
        directions = (r_ij / distances.unsqueeze(1)) * self.envelope(distances).unsqueeze(1)
        centre, neighbor = graph.edge_index
        radial = self.distance(self.radial(distances))
        hidden = self.centre(x).index_select(0, centre) + self.neighbor(x).index_select(0, neighbor)
        hidden = nn.functional.silu(hidden + torch.cat((radial, radial)))
        directions = torch.cat((directions, -directions))
        return scatter_sum(directions.unsqueeze(2) * self.weight(hidden).unsqueeze(1), centre, graph.num_atoms)


class AtomReadout(nn.Module):
    """C outputs of one kind for every atom: products of its vectors, weighted by a network on its scalars and their lengths.

    A scalar is a two-layer network alone. The others are ``sum over k of g_ck p_k``, where the p_k are the K vectors, the cross
    products of two mixtures of them, or the triple products of three.
    """

    def __init__(self, num_features: int, num_outputs: int, kind: Kind) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.num_outputs = num_outputs
        self.num_products = {"scalar": 0, "polar": 0, "axial": 2, "pseudoscalar": 3}[kind]
        channels = num_channels(num_features)
        num_in = num_features + (0 if kind == "scalar" else channels)
        num_out = num_outputs * (1 if kind == "scalar" else channels)
        num_hidden = max(num_features // 2, 1)
        self.network = nn.Sequential(nn.Linear(num_in, num_hidden), nn.SiLU(), nn.Linear(num_hidden, num_out))
        if self.num_products:
            self.mix = glorot_linear(channels, self.num_products * channels, bias=False)

    def forward(self, features: Features) -> Tensor:
        """``[N, C]`` for (pseudo-)scalars and ``[N, C, 3]`` for vectors, from the scalars and (not for scalars) K vectors."""
        scalar, vector = features.scalar, features.vector
        if self.kind == "scalar":
            return self.network(scalar)
        assert vector is not None
        lengths = (vector.square().sum(1) + 1e-8).sqrt()  # the constant keeps the slope finite where a vector is zero
        weights = self.network(torch.cat((scalar, lengths), dim=1)).unflatten(1, (self.num_outputs, -1))
        if self.kind == "polar":
            return weights @ vector.mT
        mixed = self.mix(vector).chunk(self.num_products, dim=2)
        cross = torch.linalg.cross(mixed[0], mixed[1], dim=1)
        if self.kind == "axial":
            return weights @ cross.mT
        return (weights * (cross * mixed[2]).sum(1).unsqueeze(1)).sum(2)


class ParityReadout(nn.Module):
    """One output for each pair of states, of the kind that its parity asks for, in the order of the pairs."""

    def __init__(self, num_features: int, odd: tuple[bool, ...], kinds: tuple[Kind, Kind]) -> None:
        """`odd` says which pairs are of opposite parity, `kinds` what pairs of equal and of opposite parity have."""
        super().__init__()
        order = [c for c, flag in enumerate(odd) if not flag] + [c for c, flag in enumerate(odd) if flag]
        self._place = [order.index(c) for c in range(len(odd))]
        counts = (len(odd) - sum(odd), sum(odd))
        self.readouts = nn.ModuleList(
            AtomReadout(num_features, count, kind) for count, kind in zip(counts, kinds) if count
        )

    def forward(self, features: Features) -> Tensor:
        """``[N, C]`` or ``[N, C, 3]``, C pairs."""
        return torch.cat([readout(features) for readout in self.readouts], dim=1)[:, self._place]
