"""Message passing: Gilmer, Schoenholz, Riley, Vinyals, Dahl, "Neural message passing for quantum chemistry", ICML 2017,
arXiv:1704.01212, on the graph of bonds. Messages and updates are those of GINE: Hu, Liu, Gomes, Zitnik, Liang, Pande, Leskovec,
"Strategies for pre-training graph neural networks", ICLR 2020, arXiv:1905.12265, after Xu, Hu, Leskovec, Jegelka, "How powerful
are graph neural networks?", ICLR 2019, arXiv:1810.00826: sums of messages can tell apart what the test of Weisfeiler and Leman
can, and no message passing more. The layers are torch_geometric's."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ..graph import Graph
from .model import MAX_ATOMIC_NUMBER, Features, Model
from .topological import TopologicalConfig, connections, layers_for

MOST_NEIGHBORS = 12
"""Atoms with more have the features of those with as many."""


class MPNNConfig(TopologicalConfig):
    """Every layer is a step of messages, with weights of its own."""

    name: Literal["mpnn"] = "mpnn"
    num_layers: int = Field(default=4, ge=1)


class MPNN(Model):
    """Scalars ``[N, F]`` of every atom.

    An atom begins with its element and its number of neighbours, which tells a carbon of four bonds from one of three; the
    features of a bond are made of both ends', so that a double bond is one of two such carbons:

        ``t_i = element(Z_i) + degree(d_i)``,  ``e_ij = network(t_i + t_j)``,  ``h_i = t_i`` at first, then
        ``h_i <- h_i + network((1 + epsilon) h_i + sum over neighbours j of relu(h_j + e_ij))``.
    """

    config: MPNNConfig

    def __init__(self, config: MPNNConfig) -> None:
        super().__init__()
        self.config = config
        layers = layers_for("mpnn")
        num_features = config.num_features
        self.elements = nn.Embedding(MAX_ATOMIC_NUMBER + 1, num_features)
        self.degrees = nn.Embedding(MOST_NEIGHBORS + 1, num_features)
        self.bonds = nn.Sequential(
            nn.SiLU(), nn.Linear(num_features, num_features), nn.SiLU(), nn.Linear(num_features, num_features)
        )
        self.steps = nn.ModuleList(
            layers.GINEConv(
                nn.Sequential(nn.Linear(num_features, num_features), nn.SiLU(), nn.Linear(num_features, num_features)),
                train_eps=True,
            )
            for _ in range(config.num_layers)
        )  # fmt: skip

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        edge_index = connections(graph, self.cutoff)
        degrees = torch.bincount(edge_index[0], minlength=graph.num_atoms).clamp(max=MOST_NEIGHBORS)
        h = self.elements(graph.atomic_numbers) + self.degrees(degrees)
        i, j = edge_index
        bonds = self.bonds(h.index_select(0, i) + h.index_select(0, j))
        for step in self.steps:
            h = h + step(h, edge_index, bonds)
        return Features(scalar=h)
