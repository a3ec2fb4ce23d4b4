"""TensorNet: Simeon, De Fabritiis, "TensorNet: Cartesian tensor representations for efficient learning of molecular
potentials", NeurIPS 2023, arXiv:2306.06482. Every atom carries F matrices X of 3 x 3; each is a scalar part I (its trace), a
vector part A (antisymmetric) and a tensor part S (symmetric, traceless), which linear layers treat apart and which matrix
products mix.

A matrix is kept as its nine components: 1 for I, 3 for A, 5 for S, in an orthonormal basis (``_basis``), so a squared
Frobenius norm is a sum of squares, the three parts are slices, and a message is a product of 9 numbers, not of 27."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, RadialName, build_envelope, build_radial, scatter_sum
from .model import MAX_ATOMIC_NUMBER, Features, Model, ModelConfig, Symmetry

PARTS = (1, 3, 5)
"""Components of I, A and S."""
Radial = tuple[Tensor, Tensor]
"""Radial basis ``[P, K]`` and envelope ``[P]`` of distances."""


class TensorNetConfig(ModelConfig):
    """``radial="expnorm", envelope="cosine", self_loops=True`` are TorchMD-Net's settings."""

    name: Literal["tensornet"] = "tensornet"
    num_layers: int = Field(default=2, ge=0)
    num_radial: int = Field(default=32, ge=1)
    radial: RadialName = "expnorm"
    envelope: EnvelopeName = "polynomial"
    group: Literal["O(3)", "SO(3)"] = "O(3)"
    """O(3): energies are the same for mirror images. SO(3): one matrix product instead of two, which breaks that."""
    self_loops: bool = True
    """Whether an atom is its own neighbour at distance zero, as in the reference."""


class Embedding(nn.Module):
    """Matrices from the pairs of elements and the directions of the neighbours: the paper's equations 4 to 8."""

    def __init__(self, num_features: int, num_radial: int) -> None:
        super().__init__()
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, num_features)
        self.element_pair = nn.Linear(2 * num_features, num_features)
        self.radial = nn.Linear(num_radial, 3 * num_features)
        self.norm = nn.LayerNorm(num_features)
        self.mix = nn.ModuleList(nn.Linear(num_features, num_features, bias=False) for _ in PARTS)
        self.scale = nn.Sequential(
            nn.Linear(num_features, 2 * num_features), nn.SiLU(), nn.Linear(2 * num_features, 3 * num_features), nn.SiLU()
        )

    def forward(self, numbers: Tensor, edge_index: Tensor, radial: Tensor, envelope: Tensor, dyads: Tensor) -> Tensor:
        """Radial basis ``[E, K]``, envelope ``[E]`` and direction dyads ``[E, 9]`` of the edges; X ``[N, 9, F]``."""
        centre, neighbor = edge_index
        z = self.element(numbers)
        centre_weight, neighbor_weight = self.element_pair.weight.chunk(2, dim=1)
        z_ij = (z @ centre_weight.T + self.element_pair.bias).index_select(0, centre)
        z_ij = (z_ij + (z @ neighbor_weight.T).index_select(0, neighbor)) * envelope.unsqueeze(1)
        factors = self.radial(radial).unflatten(1, (3, -1)) * z_ij.unsqueeze(1)
        x = scatter_sum(_spread(factors) * dyads.unsqueeze(2), centre, numbers.shape[0])
        scale = self.scale(self.norm(_squared_norm(x))).unflatten(1, (-1, 3)).transpose(1, 2)
        return _mix(self.mix, x) * _spread(scale)


class Interaction(nn.Module):
    """Messages of the neighbours' matrices and a matrix product within the atom: the paper's equations 9 to 13."""

    def __init__(self, num_features: int, num_radial: int, group: Literal["O(3)", "SO(3)"]) -> None:
        super().__init__()
        self.group = group
        self.filters = nn.Sequential(
            nn.Linear(num_radial, num_features),
            nn.SiLU(),
            nn.Linear(num_features, 2 * num_features),
            nn.SiLU(),
            nn.Linear(2 * num_features, 3 * num_features),
            nn.SiLU(),
        )
        self.mix_before = nn.ModuleList(nn.Linear(num_features, num_features, bias=False) for _ in PARTS)
        self.mix_after = nn.ModuleList(nn.Linear(num_features, num_features, bias=False) for _ in PARTS)

    def forward(self, x: Tensor, edge_index: Tensor, pairs: Radial, itself: Radial | None) -> Tensor:
        """X ``[N, 9, F]`` and the radial parts of the pairs and of an atom's distance to itself; the new X."""
        centre, neighbor = edge_index
        num_atoms, _, num_features = x.shape
        x = x / (_squared_norm(x) + 1).unsqueeze(1)
        y = _mix(self.mix_before, x)
        messages = y.index_select(0, neighbor).view(2, -1, 9, num_features) * self._filter(*pairs)
        message = scatter_sum(messages.view(-1, 9, num_features), centre, num_atoms)
        if itself is not None:
            message = message + y * self._filter(*itself)
        message, matrix = _to_matrix(message), _to_matrix(y)
        product = _product(matrix, message)
        product = product + (_product(message, matrix) if self.group == "O(3)" else product)
        dx = _from_matrix(product)
        dx = _mix(self.mix_after, dx / (_squared_norm(dx) + 1).unsqueeze(1))
        dx_matrix = _to_matrix(dx)
        return x + dx + _from_matrix(_product(dx_matrix, dx_matrix))

    def _filter(self, radial: Tensor, envelope: Tensor) -> Tensor:
        """Factors of the nine components, ``[P, 9, F]``."""
        filters = self.filters(radial) * envelope.unsqueeze(1)
        return _spread(filters.unflatten(1, (-1, 3)).transpose(1, 2))


class TensorNet(Model):
    """Scalars ``[N, F]`` from the norms of every atom's matrices, and their vector parts as vectors."""

    config: TensorNetConfig

    def __init__(self, config: TensorNetConfig) -> None:
        super().__init__()
        self.config = config
        num_features = config.num_features
        self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
        self.envelope = build_envelope(config.envelope, config.cutoff)
        self.embedding = Embedding(num_features, config.num_radial)
        self.interactions = nn.ModuleList(
            Interaction(num_features, config.num_radial, config.group) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(3 * num_features)
        self.readout = nn.Sequential(nn.Linear(3 * num_features, num_features), nn.SiLU())

    @property
    def symmetry(self) -> Symmetry:
        """As configured: the SO(3) variant tells mirror images apart."""
        return self.config.group

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors (A is polar or axial depending on the way it came about)."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.norm.weight.dtype)
        distances = r_ij.norm(dim=1)
        directions = r_ij / distances.unsqueeze(1)
        radial, envelope = self.radial(distances), self.envelope(distances)
        zero = distances.new_zeros(1)
        self_radial, self_envelope = self.radial(zero), self.envelope(zero)

        index, dyads = edge_index, torch.cat((_dyads(directions), _dyads(-directions)))
        edge_radial, edge_envelope = torch.cat((radial, radial)), torch.cat((envelope, envelope))
        if self.config.self_loops:
            atoms = torch.arange(graph.num_atoms, device=index.device)
            index = torch.cat((index, atoms.expand(2, -1)), dim=1)
            edge_radial = torch.cat((edge_radial, self_radial.expand(graph.num_atoms, -1)))
            edge_envelope = torch.cat((edge_envelope, self_envelope.expand(graph.num_atoms)))
            dyads = torch.cat((dyads, _dyads(directions.new_zeros(1, 3)).expand(graph.num_atoms, -1)))
        x = self.embedding(graph.atomic_numbers, index, edge_radial, edge_envelope, dyads)
        for layer in self.interactions:
            x = layer(x, edge_index, (radial, envelope), (self_radial, self_envelope) if self.config.self_loops else None)
        norms = torch.cat([part.square().sum(1) for part in x.split(PARTS, dim=1)], dim=1)
        return Features(scalar=self.readout(self.norm(norms)))


def _basis() -> Tensor:
    """Orthonormal 3 x 3 matrices, as rows of nine: identity, three antisymmetric, five symmetric traceless."""
    basis = torch.zeros(9, 3, 3, dtype=torch.float64)
    basis[0] = torch.eye(3, dtype=torch.float64) / 3**0.5
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        basis[1 + k, j, i], basis[1 + k, i, j] = 2**-0.5, -(2**-0.5)  # the matrix of v x, v along axis k
        basis[4 + k, j, i] = basis[4 + k, i, j] = 2**-0.5
    basis[7] = torch.diag(basis.new_tensor([1.0, -1.0, 0.0])) / 2**0.5
    basis[8] = torch.diag(basis.new_tensor([-1.0, -1.0, 2.0])) / 6**0.5
    return basis.view(9, 9)


_BASIS = _basis()


def _dyads(v: Tensor) -> Tensor:
    """Components ``[E, 9]`` of the identity, of the matrix of v x, and of v v^T less its trace, for vectors ``[E, 3]``."""
    x, y, z = v.unbind(1)
    identity = torch.full_like(x, 3**0.5)
    symmetric = (y * z, x * z, x * y, 0.5 * (x * x - y * y), (2 * z * z - x * x - y * y) / 12**0.5)
    return torch.stack((identity, *(2**0.5 * a for a in (x, y, z, *symmetric))), dim=1)


def _to_matrix(components: Tensor) -> Tensor:
    """``[N, 9, F]`` to ``[N, 3, 3, F]``."""
    basis = _BASIS.to(components)
    return torch.matmul(basis.T, components).view(components.shape[0], 3, 3, -1)


def _from_matrix(matrix: Tensor) -> Tensor:
    """``[N, 3, 3, F]`` to ``[N, 9, F]``."""
    return torch.matmul(_BASIS.to(matrix), matrix.reshape(matrix.shape[0], 9, -1))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product of every feature's matrices: ``[N, 3, 3, F]``."""
    return a[:, :, 0, None] * b[:, None, 0] + a[:, :, 1, None] * b[:, None, 1] + a[:, :, 2, None] * b[:, None, 2]


def _squared_norm(x: Tensor) -> Tensor:
    """Squared Frobenius norm of every feature's matrix: ``[N, 9, F]`` to ``[N, F]``."""
    return x.square().sum(1)


def _spread(factors: Tensor) -> Tensor:
    """One factor a part, ``[K, 3, F]``, repeated for each of its components: ``[K, 9, F]``."""
    return torch.cat([factors[:, p : p + 1].expand(-1, n, -1) for p, n in enumerate(PARTS)], dim=1)


def _mix(layers: nn.ModuleList, x: Tensor) -> Tensor:
    """The features of I, A and S mixed by a linear layer each: ``[N, 9, F]``."""
    return torch.cat([layer(part) for layer, part in zip(layers, x.split(PARTS, dim=1))], dim=1)
