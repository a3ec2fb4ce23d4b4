"""PaiNN: Schütt, Unke, Gastegger, "Equivariant message passing for the prediction of tensorial properties and molecular
spectra", ICML 2021, arXiv:2102.03150. Scalars q and vectors mu of every atom, updated in turn by messages (section 3.2.1)
and within the atom (section 3.2.2)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, glorot_linear, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig


class PaiNNConfig(ModelConfig):
    """``radial="gaussian", envelope="cosine"`` are SchNetPack's defaults; the paper has sines and a cosine envelope."""

    name: Literal["painn"] = "painn"
    num_layers: int = Field(default=3, ge=1)
    num_radial: int = Field(default=20, ge=1)
    radial: RadialName = "bessel"
    envelope: EnvelopeName = "polynomial"


class Interaction(nn.Module):
    """Messages from the neighbours: the left block of the paper's figure 2."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.context = nn.Sequential(
            glorot_linear(num_features, num_features), nn.SiLU(), glorot_linear(num_features, 3 * num_features)
        )

    def forward(self, q: Tensor, mu: Tensor, filters: Tensor, directions: Tensor, edge_index: Tensor) -> tuple:
        """``q`` [N, F], ``mu`` [N, 3, F], ``filters`` [P, 3F] of every pair, ``directions`` [E, 3]; the new q and mu."""
        centre, neighbor = edge_index
        num_atoms, num_features = q.shape
        x = self.context(q).index_select(0, neighbor)
        x = (x.view(2, -1, 3 * num_features) * filters).view(-1, 3 * num_features)
        dq, along_direction, along_mu = x.split(num_features, dim=1)
        dmu = along_direction.unsqueeze(1) * directions.unsqueeze(2)
        dmu = dmu + along_mu.unsqueeze(1) * mu.index_select(0, neighbor)
        return q + scatter_sum(dq, centre, num_atoms), mu + scatter_sum(dmu, centre, num_atoms)


class Mixing(nn.Module):
    """Scalars and vectors of one atom mix: the right block of the paper's figure 2."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.context = nn.Sequential(
            glorot_linear(2 * num_features, num_features), nn.SiLU(), glorot_linear(num_features, 3 * num_features)
        )
        self.vector_mix = glorot_linear(num_features, 2 * num_features, bias=False)

    def forward(self, q: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        """``q`` [N, F], ``mu`` [N, 3, F]; the new q and mu."""
        mu_v, mu_w = self.vector_mix(mu).chunk(2, dim=2)
        norm = (mu_v.square().sum(1) + 1e-8).sqrt()  # the constant keeps the slope finite where mu is zero
        dq, scale_mu, scale_product = self.context(torch.cat((q, norm), dim=1)).chunk(3, dim=1)
        q = q + dq + scale_product * (mu_v * mu_w).sum(1)
        return q, mu + scale_mu.unsqueeze(1) * mu_w


class PaiNN(Model):
    """Scalars ``[N, F]`` and vectors ``[N, 3, F]`` of every atom."""

    config: PaiNNConfig

    def __init__(self, config: PaiNNConfig) -> None:
        super().__init__()
        self.config = config
        num_features, num_layers = config.num_features, config.num_layers
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, num_features)
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.filters = glorot_linear(config.num_radial, num_layers * 3 * num_features)
        self.interactions = nn.ModuleList(Interaction(num_features) for _ in range(num_layers))
        self.mixings = nn.ModuleList(Mixing(num_features) for _ in range(num_layers))

    @property
    def num_vectors(self) -> int:
        return self.config.num_features

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vectors are polar."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.filters.weight.dtype)
        distances = r_ij.norm(dim=1)
        directions = r_ij / distances.unsqueeze(1)
        directions = torch.cat((directions, -directions))
        filters = self.filters(self.radial(distances)) * self.envelope(distances).unsqueeze(1)

        q = self.embedding(graph.atomic_numbers)
        mu = q.new_zeros(graph.num_atoms, 3, self.config.num_features)
        layers = zip(self.interactions, self.mixings, filters.chunk(self.config.num_layers, dim=1))
        for interaction, mixing, layer_filters in layers:
            q, mu = interaction(q, mu, layer_filters, directions, edge_index)
            q, mu = mixing(q, mu)
        return Features(scalar=q, vector=mu)
