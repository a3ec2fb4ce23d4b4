"""GVP-GNN: Jing, Eismann, Suriana, Townshend, Dror, "Learning from protein structure with geometric vector perceptrons", ICLR
2021, arXiv:2009.01411, with the vector gates of Jing, Eismann, Soni, Dror, "Equivariant graph neural networks for 3D
macromolecular structure", 2021, arXiv:2106.03843. Many scalars s and few vectors V of every atom; every layer of the networks
that make messages and updates is a perceptron that takes and gives both.

Made a force field: messages fade with an envelope at the cutoff and are summed instead of averaged, because a mean jumps when
a neighbour leaves; activations are smooth (SiLU for ReLU), there is no dropout, and first weights are Glorot's, with which it
learns faster than with torch's own."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, glorot_linear, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig

Both = tuple[Tensor, Tensor]
"""Scalars ``[..., n]`` and vectors ``[..., 3, v]``."""


class GVPConfig(ModelConfig):
    """``radial="gaussian", num_radial=16`` are the papers'."""

    name: Literal["gvp"] = "gvp"
    num_layers: int = Field(default=5, ge=1)
    num_vectors: int = Field(default=16, ge=1)
    """Vectors v of an atom; scalars are ``num_features``."""
    num_message_layers: int = Field(default=3, ge=1)
    """Perceptrons that a message goes through."""
    num_radial: int = Field(default=20, ge=1)
    radial: RadialName = "bessel"
    envelope: EnvelopeName = "polynomial"
    vector_norm_epsilon: float = Field(default=1.0, ge=1e-3)
    """Added to the mean squared length by whose root an atom's vectors are divided. With 1, small vectors stay small. With the
    papers' 1e-8 a first neighbour would be seen all at once when it comes within the cutoff, and gradients of symmetric
    structures overflow in float32."""


class GVP(nn.Module):
    """A geometric vector perceptron (algorithm 1 of the first paper) with the vector gate of the second.

    ``V_h = W_h V``, ``s_m = W_m [s, |V_h|] + b``, ``s' = silu(s_m)``, ``V' = sigmoid(W_g s_m + b_g) * W_mu V_h``.
    """

    def __init__(self, num_scalars: tuple[int, int], num_vectors: tuple[int, int], activate: bool = True) -> None:
        """Numbers that go in and come out; no gate where no vector comes out; no silu without ``activate``."""
        super().__init__()
        num_hidden = max(num_vectors)
        self.activate = activate
        self.hidden = glorot_linear(num_vectors[0], num_hidden, bias=False)
        self.scalar = glorot_linear(num_scalars[0] + num_hidden, num_scalars[1])
        self.vector = glorot_linear(num_hidden, num_vectors[1], bias=False) if num_vectors[1] else None
        self.gate = glorot_linear(num_scalars[1], num_vectors[1]) if num_vectors[1] else None

    def forward(self, s: Tensor, vectors: Tensor) -> Both:
        """New scalars and vectors."""
        hidden = self.hidden(vectors)
        return self.finish(self.scalar(torch.cat((s, lengths(hidden)), dim=-1)), hidden)

    def finish(self, s_m: Tensor, hidden: Tensor) -> Both:
        """New scalars and vectors from s_m and V_h."""
        s = nn.functional.silu(s_m) if self.activate else s_m
        if self.vector is None or self.gate is None:
            return s, hidden[..., :0]
        return s, self.vector(hidden) * torch.sigmoid(self.gate(s_m)).unsqueeze(-2)


class Norm(nn.Module):
    """Layer norm of the scalars; the vectors over the root of their mean squared length."""

    def __init__(self, num_scalars: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.scalar = nn.LayerNorm(num_scalars)

    def forward(self, s: Tensor, vectors: Tensor) -> Both:
        """Normalised scalars and vectors."""
        mean = vectors.square().sum(-2, keepdim=True).mean(-1, keepdim=True)
        return self.scalar(s), vectors * (mean + self.epsilon).rsqrt()


class Layer(nn.Module):
    """Messages from the neighbours, then a network on every atom, each added and normalised."""

    def __init__(self, config: GVPConfig) -> None:
        super().__init__()
        n, v = config.num_features, config.num_vectors
        last = config.num_message_layers - 1
        self.inputs = (n, n, config.num_radial, 2 * v + 1)
        self.message = GVP((2 * n + config.num_radial, n), (2 * v + 1, v), activate=last > 0)
        self.message_layers = nn.ModuleList(GVP((n, n), (v, v), activate=layer < last) for layer in range(1, last + 1))
        self.update_layers = nn.ModuleList((GVP((n, 4 * n), (v, 2 * v)), GVP((4 * n, n), (2 * v, v), activate=False)))
        self.norms = nn.ModuleList(Norm(n, config.vector_norm_epsilon) for _ in range(2))

    def forward(
        self, s: Tensor, vectors: Tensor, radial: Tensor, envelope: Tensor, directions: Tensor, edge_index: Tensor
    ) -> Both:
        """``s`` [N, F], ``vectors`` [N, 3, v]; radial basis ``[P, K]``, envelope ``[E, 1]``, directions ``[E, 3]``."""
        centre, num_atoms = edge_index[0], s.shape[0]
        ds, dv = self._first_message(s, vectors, radial, directions, edge_index)
        for layer in self.message_layers:
            ds, dv = layer(ds, dv)
        ds, dv = ds * envelope, dv * envelope.unsqueeze(2)
        s, vectors = self.norms[0](s + scatter_sum(ds, centre, num_atoms), vectors + scatter_sum(dv, centre, num_atoms))
        ds, dv = s, vectors
        for layer in self.update_layers:
            ds, dv = layer(ds, dv)
        return self.norms[1](s + ds, vectors + dv)

    def _first_message(
        self, s: Tensor, vectors: Tensor, radial: Tensor, directions: Tensor, edge_index: Tensor
    ) -> Both:
        """The first perceptron, of [s_j, s_i, e(r_ij)] and [V_j, V_i, r_ij / |r_ij|].

        Its linear layers are split into the parts of the neighbour, of the centre and of the pair or direction.
        """
        centre, neighbor = edge_index
        v = vectors.shape[2]
        of_neighbor, of_centre, of_direction = self.message.hidden.weight.split((v, v, 1), dim=1)
        hidden = (vectors @ of_neighbor.T).index_select(0, neighbor) + (vectors @ of_centre.T).index_select(0, centre)
        hidden = hidden + directions.unsqueeze(2) * of_direction.T
        of_neighbor, of_centre, of_pair, of_lengths = self.message.scalar.weight.split(self.inputs, dim=1)
        pair = nn.functional.linear(radial, of_pair, self.message.scalar.bias)
        s_m = (s @ of_neighbor.T).index_select(0, neighbor) + (s @ of_centre.T).index_select(0, centre)
        s_m = (s_m.view(2, -1, s_m.shape[1]) + pair).view(-1, s_m.shape[1]) + lengths(hidden) @ of_lengths.T
        return self.message.finish(s_m, hidden)


class GVPGNN(Model):
    """Scalars ``[N, F]`` and vectors ``[N, 3, v]`` of every atom."""

    config: GVPConfig

    def __init__(self, config: GVPConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.num_features)
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.readout = GVP((config.num_features, config.num_features), (config.num_vectors, 0))

    @property
    def num_vectors(self) -> int:
        return self.config.num_vectors

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; the vectors are polar."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.embedding.weight.dtype)
        distances = r_ij.norm(dim=1)
        directions = r_ij / distances.unsqueeze(1)
        directions = torch.cat((directions, -directions))
        radial, envelope = self.radial(distances), self.envelope(distances).unsqueeze(1)
        envelope = torch.cat((envelope, envelope))

        s = self.embedding(graph.atomic_numbers)
        vectors = s.new_zeros(graph.num_atoms, 3, self.config.num_vectors)
        for layer in self.layers:
            s, vectors = layer(s, vectors, radial, envelope, directions, edge_index)
        return Features(scalar=self.readout(s, vectors)[0], vector=vectors)


def lengths(vectors: Tensor) -> Tensor:
    """``[..., 3, v]`` to ``[..., v]``; the constant keeps the slope finite where a vector is zero."""
    return (vectors.square().sum(-2) + 1e-8).sqrt()
