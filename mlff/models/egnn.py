"""EGNN: Satorras, Hoogeboom, Welling, "E(n) equivariant graph neural networks", ICML 2021, arXiv:2102.09844. Scalars h of
every atom and its position x are updated together; a message sees the neighbours' distance alone, positions move along the
lines to the neighbours.

Made a force field: messages fade with an envelope at the cutoff, and nothing is detached, so forces are -dE/dx. The
positions that move are features; the energy is a function of the ones that were put in."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig


class EGNNConfig(ModelConfig):
    """``num_radial=0, envelope="none"`` with ``attention=False, normalize=False`` is the paper's plain network."""

    name: Literal["egnn"] = "egnn"
    num_layers: int = Field(default=4, ge=1)
    num_radial: int = Field(default=20, ge=0)
    """Radial functions of the distance, given to every message as the paper's edge attributes a_ij; 0: none."""
    radial: RadialName = "bessel"
    envelope: EnvelopeName | Literal["none"] = "polynomial"
    """"none" is for graphs of the paper's kind: energies jump where a neighbour crosses the cutoff."""
    attention: bool = True
    """Messages weighted by a learned gate (equation 8)."""
    residual: bool = True
    """h + update instead of the update alone."""
    aggregation: Literal["sum", "mean"] = "sum"
    """How the shifts of the positions are gathered; messages to h are always summed, as in the paper's code."""
    update_coordinates: bool = True
    normalize: bool = True
    """Shift positions along unit vectors instead of whole differences."""
    tanh: bool = False
    """Bound the shifts' weights to -1 .. 1."""


class EGNNLayer(nn.Module):
    """Equations 3 to 6 of the paper."""

    def __init__(self, config: EGNNConfig, update_coordinates: bool) -> None:
        super().__init__()
        num_features = config.num_features
        self.config = config
        self.edge = nn.Linear(2 * num_features + 1 + config.num_radial, num_features)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(num_features, num_features), nn.SiLU())
        self.node = nn.Sequential(
            nn.Linear(2 * num_features, num_features), nn.SiLU(), nn.Linear(num_features, num_features)
        )
        self.gate: nn.Sequential | None = None
        if config.attention:
            self.gate = nn.Sequential(nn.Linear(num_features, 1), nn.Sigmoid())
        self.shift: nn.Sequential | None = None
        if update_coordinates:
            last = nn.Linear(num_features, 1, bias=False)
            nn.init.xavier_uniform_(last.weight, gain=0.001)
            bound = (nn.Tanh(),) if config.tanh else ()
            self.shift = nn.Sequential(nn.Linear(num_features, num_features), nn.SiLU(), last, *bound)

    def forward(
        self, h: Tensor, moved: Tensor, r_ij: Tensor, edge_index: Tensor, attributes: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One layer.

        Args:
            h: scalars ``[N, F]``.
            moved: how far each atom's position has moved so far, ``[N, 3]``.
            r_ij: vectors of the pairs at the positions put in, ``[P, 3]``.
            edge_index: ``[2, E]``.
            attributes: a_ij of the pairs, ``[P, K]``.
            weights: envelope of the edges, ``[E, 1]``.

        Returns:
            The new h and the new ``moved``.
        """
        centre, neighbor = edge_index
        num_atoms, num_features = h.shape
        i, j = edge_index[:, : r_ij.shape[0]]
        r_ij = r_ij + moved.index_select(0, j) - moved.index_select(0, i)
        squared = r_ij.square().sum(1, keepdim=True)

        # Equation 3: the first linear layer, split into the parts of the centre, of the neighbour and of the pair.
        of_centre, of_neighbor, of_pair = self.edge.weight.split((num_features, num_features, 1 + attributes.shape[1]), 1)
        pair = nn.functional.linear(torch.cat((squared, attributes), dim=1), of_pair, self.edge.bias)
        edge = (h @ of_centre.T).index_select(0, centre) + (h @ of_neighbor.T).index_select(0, neighbor)
        message = self.message((edge.view(2, -1, num_features) + pair).view(-1, num_features))
        if self.gate is not None:
            message = message * self.gate(message)

        if self.shift is not None:
            both, lengths = torch.cat((r_ij, -r_ij)), torch.cat((squared, squared))
            moved = moved + self.shifts(both, lengths, self.shift(message), weights, centre, num_atoms)
        gathered = scatter_sum(message * weights, centre, num_atoms)  # equation 5
        return self.updated(h, gathered), moved

    def shifts(
        self, r_ij: Tensor, squared: Tensor, coefficients: Tensor, weights: Tensor, centre: Tensor, num_atoms: int
    ) -> Tensor:
        """Equation 4: how far each atom moves away from (or towards) its neighbours, ``[N, 3]``.

        Args:
            r_ij: vectors of the edges as atoms have moved, ``[E, 3]``.
            squared: their squared lengths, ``[E, 1]``.
            coefficients: what the network makes of the messages, ``[E, 1]``.
            weights: envelope of the edges, ``[E, 1]``.
            centre: ``[E]``.
            num_atoms: N.
        """
        direction = r_ij / (squared.sqrt() + 1e-8) if self.config.normalize else r_ij
        shift = scatter_sum(-direction * coefficients * weights, centre, num_atoms)
        return shift / self._count(weights, centre, num_atoms) if self.config.aggregation == "mean" else shift

    def updated(self, h: Tensor, gathered: Tensor) -> Tensor:
        """Equation 6, ``[N, F]``."""
        update = self.node(torch.cat((h, gathered), dim=1))
        return h + update if self.config.residual else update

    def _count(self, weights: Tensor, centre: Tensor, num_atoms: int) -> Tensor:
        """What a mean divides by, ``[N, 1]``: the neighbours, each counted by its envelope so that none enters at once.

        ``s + exp(-s)`` is s for many neighbours and 1 for none, smoothly.
        """
        count = scatter_sum(weights, centre, num_atoms)
        return count.clamp(min=1.0) if self.config.envelope == "none" else count + torch.exp(-count)


class EGNN(Model):
    """Scalars ``[N, F]`` of every atom and, where coordinates are updated, how far it moved as one vector ``[N, 3, 1]``."""

    config: EGNNConfig

    def __init__(self, config: EGNNConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff) if config.num_radial else None
        self.envelope = None if config.envelope == "none" else build_envelope(config.envelope, config.cutoff)
        # No energy depends on where the last layer would move the atoms, so it moves none.
        self.layers = nn.ModuleList(
            EGNNLayer(config, config.update_coordinates and layer < config.num_layers - 1)
            for layer in range(config.num_layers)
        )

    @property
    def num_vectors(self) -> int:
        return int(self.config.update_coordinates)

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vector is polar."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.embedding.weight.dtype)
        distances = r_ij.norm(dim=1)
        weights = torch.ones_like(distances) if self.envelope is None else self.envelope(distances)
        weights = torch.cat((weights, weights)).unsqueeze(1)
        attributes = distances.new_zeros(distances.shape[0], 0) if self.radial is None else self.radial(distances)
        h = self.embedding(graph.atomic_numbers)
        moved = r_ij.new_zeros(graph.num_atoms, 3)
        for layer in self.layers:
            h, moved = layer(h, moved, r_ij, edge_index, attributes, weights)
        return Features(scalar=h, vector=moved.unsqueeze(2) if self.config.update_coordinates else None)
