"""Radial Field: Köhler, Klein, Noé, "Equivariant flows: sampling configurations for multi-body systems with symmetric
energies", arXiv:1910.00753 (2019); "Equivariant flows: exact likelihood generative learning for symmetric densities", ICML
2020, arXiv:2006.02425; as a layer in table 1 of EGNN's paper, arXiv:2102.09844. Atoms have nothing but positions, which
move along the lines to the neighbours by learned functions of the distance: ``x_i + sum over j of phi(|r_ij|) r_ij``.

Made a force field: phi knows the elements of both atoms (the edge attributes of EGNN's code), and what moves fades with an
envelope of the distances that were put in. The paper's layer has no features to read an energy from, so it is read from the
atoms where they end: every atom sums a learned function of the distances to its neighbours' last positions and of the
elements, added to an embedding of its own element. The energy is thus that of functions of pair distances, in coordinates
that many bodies moved."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig


class RadialFieldConfig(ModelConfig):
    """``num_features`` is the width of phi, of its embedding of the elements, and of what is read out."""

    name: Literal["radial-field"] = "radial-field"
    num_layers: int = Field(default=4, ge=1)
    num_radial: int = Field(default=20, ge=1)
    radial: RadialName = "gaussian"
    """Of the distances between moved atoms, which may be any: Gaussians are as smooth near zero and beyond the cutoff."""
    envelope: EnvelopeName = "polynomial"


class PairFunction(nn.Module):
    """``phi(|r_ij|, Z_i, Z_j)``: a network of one hidden layer on a radial basis and the embeddings of both elements."""

    def __init__(self, config: RadialFieldConfig, last: nn.Linear) -> None:
        super().__init__()
        num_features = config.num_features
        self.centre = nn.Linear(num_features, num_features)
        self.neighbor = nn.Linear(num_features, num_features, bias=False)
        self.distance = nn.Linear(config.num_radial, num_features, bias=False)
        self.last = last

    def forward(self, elements: Tensor, radial: Tensor, edge_index: Tensor) -> Tensor:
        """Embedded elements ``[N, F]``, radial basis ``[P, K]``; the values of all edges ``[E, C]``."""
        centre, neighbor = edge_index
        hidden = self.centre(elements).index_select(0, centre) + self.neighbor(elements).index_select(0, neighbor)
        hidden = hidden.view(2, -1, elements.shape[1]) + self.distance(radial)
        return self.last(nn.functional.silu(hidden).view(-1, elements.shape[1]))


class RadialField(Model):
    """Scalars ``[N, F]`` of every atom, and how far it moved as one vector ``[N, 3, 1]``."""

    config: RadialFieldConfig

    def __init__(self, config: RadialFieldConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.fields = nn.ModuleList(PairFunction(config, self._still(config)) for _ in range(config.num_layers))
        self.readout = PairFunction(config, nn.Linear(config.num_features, config.num_features, bias=False))

    @staticmethod
    def _still(config: RadialFieldConfig) -> nn.Linear:
        """A last layer that moves atoms little at first, as in EGNN's code."""
        last = nn.Linear(config.num_features, 1, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=0.001)
        return last

    @property
    def num_vectors(self) -> int:
        return 1

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vector is polar."""
        edge_index, (i, j) = graph.edge_index, graph.pairs
        centre, num_atoms = edge_index[0], graph.num_atoms
        r_ij = first = graph.pair_vectors(self.embedding.weight.dtype)
        weights = self.envelope(first.norm(dim=1))
        weights = torch.cat((weights, weights)).unsqueeze(1)
        elements = self.embedding(graph.atomic_numbers)
        moved = first.new_zeros(num_atoms, 3)
        for phi in self.fields:
            along = phi(elements, self.radial(r_ij.norm(dim=1)), edge_index) * weights
            moved = moved + scatter_sum(along * torch.cat((r_ij, -r_ij)), centre, num_atoms)
            r_ij = first + moved.index_select(0, j) - moved.index_select(0, i)
        messages = self.readout(elements, self.radial(r_ij.norm(dim=1)), edge_index) * weights
        return Features(scalar=elements + scatter_sum(messages, centre, num_atoms), vector=moved.unsqueeze(2))
