"""ET, the equivariant transformer: Thölke, De Fabritiis, "TorchMD-NET: equivariant transformers for neural network based
molecular potentials", ICLR 2022, arXiv:2202.02541. Scalars x and vectors of every atom; an atom attends to its neighbours
and to itself, with scores and values that depend on the distance."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from ..graph import Graph
from ..nn import (
    EnvelopeName,
    GatedReadout,
    NeighborEmbedding,
    RadialName,
    attend,
    build_envelope,
    build_radial,
    checked_heads,
    glorot_linear,
    scatter_sum,
)
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig

Radial = tuple[Tensor, Tensor]
"""Radial basis ``[P, K]`` and envelope ``[P]`` of distances."""


class ETConfig(ModelConfig):
    """``envelope="cosine", vector_cutoff=False`` are TorchMD-Net's settings, with centres of the radial basis that stay."""

    name: Literal["et"] = "et"
    num_layers: int = Field(default=6, ge=1)
    num_heads: int = Field(default=8, ge=1, validate_default=True)
    """Heads of the attention; they share the features, so their number divides ``num_features``."""
    num_radial: int = Field(default=50, ge=1)
    radial: RadialName = "expnorm"
    envelope: EnvelopeName = "polynomial"
    vector_cutoff: bool = True
    """Whether vectors fade at the cutoff as scalars do; without it energies jump where a neighbour crosses the cutoff."""
    norm_epsilon: float = Field(default=1e-8, gt=0)
    """Added to the squared length of a vector before the root is taken; the reference has none, as 1e-24 has."""

    _checked_heads = field_validator("num_heads")(checked_heads)


class Attention(nn.Module):
    """The paper's modified attention mechanism and update layer; ``first``: before there are vectors."""

    def __init__(self, config: ETConfig, first: bool) -> None:
        super().__init__()
        num_features = config.num_features
        parts = 2 if first else 3  # for scalars, vectors along the directions, and neighbours' vectors
        self.num_heads = config.num_heads
        self.vector_cutoff = config.vector_cutoff
        self.norm = nn.LayerNorm(num_features)
        self.query = glorot_linear(num_features, num_features)
        self.key = glorot_linear(num_features, num_features)
        self.value = glorot_linear(num_features, parts * num_features)
        self.key_filter = glorot_linear(config.num_radial, num_features)
        self.value_filter = glorot_linear(config.num_radial, parts * num_features)
        self.output = glorot_linear(num_features, num_features if first else 3 * num_features)
        self.vector_mix = None if first else glorot_linear(num_features, 3 * num_features, bias=False)

    def forward(
        self, x: Tensor, vectors: Tensor | None, directions: Tensor, edge_index: Tensor, pairs: Radial, itself: Radial
    ) -> tuple[Tensor, Tensor]:
        """One layer.

        Args:
            x: scalars ``[N, F]``.
            vectors: ``[N, 3, F]``; None in the first layer.
            directions: from centre to neighbour, ``[E, 3]``.
            edge_index: ``[2, E]``.
            pairs: radial parts of the pairs.
            itself: of an atom's distance to itself, P = 1.

        Returns:
            The new x and the new vectors.
        """
        centre, neighbor = edge_index
        num_atoms, num_features = x.shape
        y = self.norm(x)
        query, key, value = self.query(y), self.key(y), self.value(y)
        dx, along_direction, *along_vector = self._messages(
            query.index_select(0, centre).view(2, -1, num_features),
            key.index_select(0, neighbor).view(2, -1, num_features),
            value.index_select(0, neighbor).view(2, -1, value.shape[1]),
            *pairs,
        )
        own_dx, _, *along_own_vector = self._messages(query, key, value, *itself)

        message = along_direction.reshape(-1, 1, num_features) * directions.unsqueeze(2)
        if vectors is not None:
            message = message + along_vector[0].reshape(-1, 1, num_features) * vectors.index_select(0, neighbor)
        gathered = scatter_sum(message, centre, num_atoms)
        update = self.output(scatter_sum(dx.flatten(0, 1), centre, num_atoms) + own_dx)
        if vectors is None or self.vector_mix is None:
            return x + update, gathered
        gathered = gathered + along_own_vector[0].unsqueeze(1) * vectors
        scale_vector, scale_product, shift = update.chunk(3, dim=1)
        mixed_1, mixed_2, mixed_3 = self.vector_mix(vectors).chunk(3, dim=2)
        x = x + scale_product * (mixed_1 * mixed_2).sum(1) + shift
        return x, vectors + scale_vector.unsqueeze(1) * mixed_3 + gathered

    def _messages(self, query: Tensor, key: Tensor, value: Tensor, radial: Tensor, envelope: Tensor) -> list[Tensor]:
        """Weighted scalars ``[..., F]`` and factors of the vectors, for queries, keys and values ``[..., P, F]``."""
        fade = envelope.unsqueeze(1)
        filters = nn.functional.silu(self.value_filter(radial))
        if self.vector_cutoff:  # all that is sent fades, not the scalars alone
            filters = filters * fade
        scalar, *factors = (value * filters).split(key.shape[-1], dim=-1)
        key_filter = nn.functional.silu(self.key_filter(radial))
        return [attend(query, key, key_filter, scalar, None if self.vector_cutoff else fade, self.num_heads), *factors]


class ET(Model):
    """Scalars ``[N, F]`` and vectors ``[N, 3, F / 2]`` of every atom."""

    config: ETConfig

    def __init__(self, config: ETConfig) -> None:
        super().__init__()
        self.config = config
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.embedding = NeighborEmbedding(MAX_ATOMIC_NUMBER + 1, config.num_features, config.num_radial)
        self.layers = nn.ModuleList(Attention(config, first=layer == 0) for layer in range(config.num_layers))
        self.norm = nn.LayerNorm(config.num_features)
        self.readout = GatedReadout(config.num_features, config.norm_epsilon)

    @property
    def num_vectors(self) -> int:
        return self.config.num_features // 2

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vectors are polar."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.norm.weight.dtype)
        distances = r_ij.norm(dim=1)
        directions = r_ij / distances.unsqueeze(1)
        directions = torch.cat((directions, -directions))
        zero = distances.new_zeros(1)
        pairs = self.radial(distances), self.envelope(distances)
        itself = self.radial(zero), self.envelope(zero)

        x, vectors = self.embedding(graph.atomic_numbers, *pairs, edge_index), None
        for layer in self.layers:
            x, vectors = layer(x, vectors, directions, edge_index, pairs, itself)
        return self.readout(self.norm(x), vectors)
