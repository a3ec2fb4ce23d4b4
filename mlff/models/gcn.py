"""GCN: Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017, arXiv:1609.02907. A
filter on the spectrum of the graph's Laplacian, a Chebyshev polynomial of first order: every layer averages an atom's features
with those of the atoms that it is connected to. docs/topology_models.md derives it. The layers are torch_geometric's."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ..graph import Graph
from .model import MAX_ATOMIC_NUMBER, Features, Model
from .topological import TopologicalConfig, connections, layers_for


class GCNConfig(TopologicalConfig):
    """``residual=False`` is the paper's equation 2."""

    name: Literal["gcn"] = "gcn"
    num_layers: int = Field(default=4, ge=1)
    residual: bool = True
    """Add what a layer was given to what it gives (the paper's equation 14); without, many layers make all atoms alike."""


class GCN(Model):
    """Scalars ``[N, F]`` of every atom: ``H' = relu(D^-1/2 (A + 1) D^-1/2 H W + b) (+ H)``, D the degrees of A + 1.

    A counts connections, so that periodic images of an atom, its own too, are neighbours like others and a supercell has the
    energies of its cells.
    """

    config: GCNConfig

    def __init__(self, config: GCNConfig) -> None:
        super().__init__()
        self.config = config
        layers = layers_for("gcn")
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        # torch_geometric would drop the connections of an atom to its own images with the loops that it adds.
        self.convolutions = nn.ModuleList(
            layers.GCNConv(config.num_features, config.num_features, add_self_loops=False) for _ in range(config.num_layers)
        )

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        loops = torch.arange(graph.num_atoms, device=graph.pairs.device).expand(2, -1)
        edge_index = torch.cat((connections(graph, self.cutoff), loops), dim=1)
        h = self.embedding(graph.atomic_numbers)
        for convolution in self.convolutions:
            filtered = torch.relu(convolution(h, edge_index))
            h = h + filtered if self.config.residual else filtered
        return Features(scalar=h)
