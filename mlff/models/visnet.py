"""ViSNet: Wang, Wang, Li, He, Li, Wang, Zheng, Shao, Liu, "Enhancing geometric representations for molecules with equivariant
vector-scalar interactive message passing", Nature Communications 15, 313 (2024), arXiv:2210.16518. Scalars x and vectors of
every atom and scalars f of every edge; f learns angles and dihedral angles from the vectors of its two atoms, at the cost of
a sum over edges."""

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

EdgeScalars = tuple[Tensor, Tensor]
"""f of the edges, ``[1, P, F]`` where both directions share it, else ``[2, P, F]``; f of every atom's self-loop ``[N, F]``."""


class ViSNetConfig(ModelConfig):
    """``envelope="cosine", vector_cutoff=False`` are torch_geometric's settings."""

    name: Literal["visnet"] = "visnet"
    num_layers: int = Field(default=6, ge=1)
    num_heads: int = Field(default=8, ge=1, validate_default=True)
    """Heads of the attention; they share the features, so their number divides ``num_features``."""
    num_radial: int = Field(default=32, ge=1)
    radial: RadialName = "expnorm"
    envelope: EnvelopeName = "polynomial"
    lmax: Literal[1, 2] = 1
    """1: vectors. 2: vectors, and the five harmonics of degree 2 beside them."""
    vector_cutoff: bool = True
    """Whether vectors fade at the cutoff as scalars do; without it energies jump where a neighbour crosses the cutoff."""
    norm_epsilon: float = Field(default=1e-8, gt=0)
    """Added to the squared length of a vector before the root is taken; the reference has none, as 1e-24 has."""

    _checked_heads = field_validator("num_heads")(checked_heads)


class Layer(nn.Module):
    """One block of the paper's figure 1; ``first``: before there are vectors, ``last``: after which no edge is asked."""

    def __init__(self, config: ViSNetConfig, first: bool, last: bool) -> None:
        super().__init__()
        num_features = config.num_features
        self.config = config
        self.norm = nn.LayerNorm(num_features)
        self.query = glorot_linear(num_features, num_features)
        self.key = glorot_linear(num_features, num_features)
        self.value = glorot_linear(num_features, num_features)
        self.key_filter = glorot_linear(num_features, num_features)
        self.value_filter = glorot_linear(num_features, num_features)
        self.send = glorot_linear(num_features, num_features if first else 2 * num_features)
        self.output = glorot_linear(num_features, num_features if first else 3 * num_features)
        self.vector_mix = None if first else glorot_linear(num_features, 3 * num_features, bias=False)
        self.angles = None if first or last else Angles(num_features, config.lmax)

    def forward(
        self,
        x: Tensor,
        vectors: Tensor | None,
        scalars: EdgeScalars,
        harmonics: Tensor,
        envelope: Tensor,
        edge_index: Tensor,
    ) -> tuple[Tensor, Tensor, EdgeScalars]:
        """One layer.

        Args:
            x: scalars ``[N, F]``.
            vectors: ``[N, C, F]``; None in the first layer.
            scalars: f of the edges and of the atoms' links to themselves.
            harmonics: of the directions from centre to neighbour, ``[E, C]``.
            envelope: of the pairs, ``[P, 1]``.
            edge_index: ``[2, E]``.

        Returns:
            The new x, vectors and f.
        """
        centre, neighbor = edge_index
        num_atoms, num_features = x.shape
        y = self.norm(x)
        query, key, value = self.query(y), self.key(y), self.value(y)
        message, *along = self._messages(
            query.index_select(0, centre).view(2, -1, num_features),
            key.index_select(0, neighbor).view(2, -1, num_features),
            value.index_select(0, neighbor).view(2, -1, num_features),
            scalars[0],
            envelope,
        )
        own_message, *along_own = self._messages(query, key, value, scalars[1], None)

        sent = along[-1].reshape(-1, 1, num_features) * harmonics.unsqueeze(2)
        if vectors is not None:
            sent = sent + along[0].reshape(-1, 1, num_features) * vectors.index_select(0, neighbor)
        gathered = scatter_sum(sent, centre, num_atoms)
        update = self.output(scatter_sum(message.flatten(0, 1), centre, num_atoms) + own_message)
        if vectors is None or self.vector_mix is None:
            return x + update, gathered, scalars
        gathered = gathered + along_own[0].unsqueeze(1) * vectors
        scale_vector, scale_product, shift = update.chunk(3, dim=1)
        mixed_1, mixed_2, mixed_3 = self.vector_mix(vectors).chunk(3, dim=2)
        x = x + scale_product * (mixed_1 * mixed_2).sum(1) + shift
        if self.angles is not None:
            scalars = self.angles(vectors, scalars, harmonics, edge_index)
        return x, vectors + scale_vector.unsqueeze(1) * mixed_3 + gathered, scalars

    def _messages(self, query: Tensor, key: Tensor, value: Tensor, f: Tensor, envelope: Tensor | None) -> list[Tensor]:
        """Weighted values ``[..., F]`` and the factors of the vectors that they make: of neighbours' and of directions."""
        value = value * nn.functional.silu(self.value_filter(f))
        key_filter = nn.functional.silu(self.key_filter(f))
        message = attend(query, key, key_filter, value, envelope, self.config.num_heads)
        factors = nn.functional.silu(self.send(message))
        if self.config.vector_cutoff and envelope is not None:
            factors = factors * envelope
        return [message, *factors.split(message.shape[-1], dim=-1)]


class Angles(nn.Module):
    """Edges' scalars from products of their atoms' vectors, less what lies along the edge: cosines of dihedral angles."""

    def __init__(self, num_features: int, lmax: int) -> None:
        super().__init__()
        self.along_edge = 2 - lmax
        """<a - (a.d) d, b - (b.d) d> = <a, b> - (2 - |d|^2) (a.d) (b.d), where harmonics d up to lmax have |d|^2 = lmax."""
        self.filter = glorot_linear(num_features, num_features)
        self.centre = glorot_linear(num_features, num_features, bias=False)
        self.neighbor = glorot_linear(num_features, num_features, bias=False)

    def forward(self, vectors: Tensor, scalars: EdgeScalars, harmonics: Tensor, edge_index: Tensor) -> EdgeScalars:
        """Vectors ``[N, C, F]`` and the layer's other arguments; the new f, in which the two directions differ."""
        of_edges, of_atoms = scalars
        at_centre, at_neighbor = self.centre(vectors), self.neighbor(vectors)
        a, b = at_centre.index_select(0, edge_index[0]), at_neighbor.index_select(0, edge_index[1])
        product = (a * b).sum(1)
        if self.along_edge:
            d = harmonics.unsqueeze(2)
            product = product - self.along_edge * (a * d).sum(1) * (b * d).sum(1)
        product = product.view(2, -1, product.shape[1])
        of_edges = of_edges + nn.functional.silu(self.filter(of_edges)) * product
        of_atoms = of_atoms + nn.functional.silu(self.filter(of_atoms)) * (at_centre * at_neighbor).sum(1)
        return of_edges, of_atoms


class ViSNet(Model):
    """Scalars ``[N, F]`` and vectors ``[N, 3, F / 2]`` of every atom."""

    config: ViSNetConfig

    def __init__(self, config: ViSNetConfig) -> None:
        super().__init__()
        self.config = config
        num_features, num_layers = config.num_features, config.num_layers
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.embedding = NeighborEmbedding(MAX_ATOMIC_NUMBER + 1, num_features, config.num_radial)
        self.edge_embedding = glorot_linear(config.num_radial, num_features)
        self.layers = nn.ModuleList(Layer(config, n == 0, n == num_layers - 1) for n in range(num_layers))
        self.norm = nn.LayerNorm(num_features)
        self.readout = GatedReadout(num_features, config.norm_epsilon)

    @property
    def num_vectors(self) -> int:
        return self.config.num_features // 2

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vectors are polar."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.norm.weight.dtype)
        distances = r_ij.norm(dim=1)
        harmonics = solid_harmonics(r_ij / distances.unsqueeze(1), self.config.lmax)
        radial, envelope = self.radial(distances), self.envelope(distances)

        x, vectors = self.embedding(graph.atomic_numbers, radial, envelope, edge_index), None
        i, j = graph.pairs
        scalars = (
            ((x.index_select(0, i) + x.index_select(0, j)) * self.edge_embedding(radial)).unsqueeze(0),
            2 * x * self.edge_embedding(self.radial(distances.new_zeros(1))),
        )
        for layer in self.layers:
            x, vectors, scalars = layer(x, vectors, scalars, harmonics, envelope.unsqueeze(1), edge_index)
        features = self.readout(self.norm(x), vectors)
        return Features(scalar=features.scalar, vector=features.vector[:, :3])


def solid_harmonics(directions: Tensor, lmax: int) -> Tensor:
    """Real solid harmonics of degree 1 to lmax of the edges ``[E, C]``, C = 3 or 8, from the pairs' directions ``[P, 3]``.

    Those of a degree have length 1; those of degree 2 are the same for both directions of a pair.
    """
    if lmax == 1:
        return torch.cat((directions, -directions))
    x, y, z = directions.unbind(1)
    squares = (0.5 * (x * x - y * y), (2 * z * z - x * x - y * y) / 12**0.5)
    second = 3**0.5 * torch.stack((y * z, x * z, x * y, *squares), dim=1)
    return torch.cat((torch.cat((directions, second), dim=1), torch.cat((-directions, second), dim=1)))
