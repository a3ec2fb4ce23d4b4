"""SchNet: Schütt, Kindermans, Sauceda, Chmiela, Tkatchenko, Müller, "SchNet: a continuous-filter convolutional neural
network for modeling quantum interactions", NeurIPS 2017, arXiv:1706.08566; J. Chem. Phys. 148, 241722 (2018). Scalars x of
every atom, updated by sums over neighbours that are weighted by learned functions of the distance: no directions, which
makes it the yardstick of what directions are worth."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, glorot_linear, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig


class SchNetConfig(ModelConfig):
    """``envelope="cosine"`` is torch_geometric's; the paper has no envelope."""

    name: Literal["schnet"] = "schnet"
    num_layers: int = Field(default=6, ge=1)
    num_radial: int = Field(default=50, ge=1)
    radial: RadialName = "gaussian"
    envelope: EnvelopeName = "polynomial"


class ShiftedSoftplus(nn.Module):
    """``ln(e^x / 2 + 1 / 2)``: zero at zero, infinitely smooth (section 4.1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, any shape."""
        return nn.functional.softplus(x) - math.log(2.0)


class Interaction(nn.Module):
    """A continuous-filter convolution between atom-wise layers: the paper's figure 2."""

    def __init__(self, num_features: int, num_radial: int) -> None:
        super().__init__()
        self.filters = nn.Sequential(
            glorot_linear(num_radial, num_features), ShiftedSoftplus(), glorot_linear(num_features, num_features)
        )
        self.before = glorot_linear(num_features, num_features, bias=False)
        self.after = nn.Sequential(
            glorot_linear(num_features, num_features), ShiftedSoftplus(), glorot_linear(num_features, num_features)
        )

    def forward(self, x: Tensor, radial: Tensor, envelope: Tensor, edge_index: Tensor) -> Tensor:
        """``x`` [N, F], radial basis ``[P, K]`` and envelope ``[P, 1]`` of every pair; the new x."""
        centre, neighbor = edge_index
        num_atoms, num_features = x.shape
        filters = self.filters(radial) * envelope
        messages = self.before(x).index_select(0, neighbor).view(2, -1, num_features) * filters
        return x + self.after(scatter_sum(messages.view(-1, num_features), centre, num_atoms))


class SchNet(Model):
    """Scalars ``[N, F]`` of every atom."""

    config: SchNetConfig

    def __init__(self, config: SchNetConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.interactions = nn.ModuleList(
            Interaction(config.num_features, config.num_radial) for _ in range(config.num_layers)
        )

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        edge_index = graph.edge_index
        distances = graph.pair_vectors(self.embedding.weight.dtype).norm(dim=1)
        radial, envelope = self.radial(distances), self.envelope(distances).unsqueeze(1)
        x = self.embedding(graph.atomic_numbers)
        for interaction in self.interactions:
            x = interaction(x, radial, envelope, edge_index)
        return Features(scalar=x)
