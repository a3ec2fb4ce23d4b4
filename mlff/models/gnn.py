"""GNN: the graph network without symmetry that Satorras, Hoogeboom, Welling, ICML 2021, arXiv:2102.09844 compare EGNN with
(their table 1; the layer is that of Gilmer et al., arXiv:1704.01212). Coordinates are features as any other:
an atom begins with ``h_i = e(Z_i) + W x_i``, and messages see nothing of the geometry but what is in h, as in the paper's
own code.

So the energy depends on where the molecule lies and how it is turned, a lone atom feels a force, and total momentum is not
conserved; of all symmetries only the exchange of like atoms is left. Forces are -dE/dx as those of every model here. In a
crystal the images of an atom have the features of the atom, and moving it by a lattice vector changes the energy. Made a
force field: messages fade with an envelope at the cutoff, which is all that distances do."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, build_envelope, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig, Symmetry


class GNNConfig(ModelConfig):
    """The defaults are the paper's, but for the envelope."""

    name: Literal["gnn"] = "gnn"
    num_layers: int = Field(default=4, ge=1)
    envelope: EnvelopeName = "polynomial"


class GNNLayer(nn.Module):
    """``m_ij = phi_e(h_i, h_j)``, ``m_i = sum over j of m_ij``, ``h_i + phi_h(h_i, m_i)``."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.centre = nn.Linear(num_features, num_features)
        self.neighbor = nn.Linear(num_features, num_features, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(num_features, num_features), nn.SiLU())
        self.node = nn.Sequential(
            nn.Linear(2 * num_features, num_features), nn.SiLU(), nn.Linear(num_features, num_features)
        )

    def forward(self, h: Tensor, edge_index: Tensor, weights: Tensor) -> Tensor:
        """``h`` [N, F] and the envelope of every edge ``[E, 1]``; the new h."""
        centre, neighbor = edge_index
        # The first linear layer of phi_e, split into the parts of the centre and of the neighbour.
        edge = self.centre(h).index_select(0, centre) + self.neighbor(h).index_select(0, neighbor)
        gathered = scatter_sum(self.message(edge) * weights, centre, h.shape[0])
        return h + self.node(torch.cat((h, gathered), dim=1))


class GNN(Model):
    """Features ``[N, F]`` of every atom, which are scalars in name only: they change when the structure turns or moves."""

    config: GNNConfig

    def __init__(self, config: GNNConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        self.place = nn.Linear(3, config.num_features, bias=False)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.layers = nn.ModuleList(GNNLayer(config.num_features) for _ in range(config.num_layers))

    @property
    def symmetry(self) -> Symmetry:
        return "none"

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        dtype = self.embedding.weight.dtype
        weights = self.envelope(graph.pair_vectors(dtype).norm(dim=1))
        weights = torch.cat((weights, weights)).unsqueeze(1)
        h = self.embedding(graph.atomic_numbers) + self.place(graph.positions.to(dtype))
        for layer in self.layers:
            h = layer(h, graph.edge_index, weights)
        return Features(scalar=h)
