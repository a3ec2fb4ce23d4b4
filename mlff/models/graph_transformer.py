"""A graph transformer: every atom attends to every other of its molecule, beside messages along bonds (GPS: Rampášek, Galkin,
Dwivedi, Luu, Wolf, Beaini, NeurIPS 2022, arXiv:2205.12454), and what tells atoms apart are encodings of the Laplacian (Dwivedi,
Bresson, "A generalization of transformer networks to graphs", arXiv:2012.09699, 2020) and of degrees. A token more, CLS, reads
the molecule out (Devlin, Chang, Lee, Toutanova, "BERT", NAACL 2019, arXiv:1810.04805; on graphs, with degrees: Ying et al., "Do
transformers really perform badly for graph representation?", NeurIPS 2021, arXiv:2106.05234). The layers are torch_geometric's.

Eigenvectors of the Laplacian have no sign, and those of a degenerate eigenvalue, which symmetric molecules have, no choice of
basis either, so that a network that reads their components gives another energy when atoms are renumbered. Products of
eigenvectors have neither freedom: the encodings here are elements of the heat kernel, ``exp(-t L) = sum_k exp(-t lambda_k) v_k
v_k^T``, at several times t. A diagonal element (Sun, Ovsjanikov, Guibas, 2009) says how an atom lies in its molecule, element
i, j how i lies to j."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from ..graph import Graph
from ..nn import checked_heads
from .model import MAX_ATOMIC_NUMBER, Features, Model
from .topological import TopologicalConfig, connections, layers_for

SHORTEST_TIME = 0.5
MOST_NEIGHBORS = 12
"""Atoms with more have the features of those with as many."""


class GraphTransformerConfig(TopologicalConfig):
    """Time and memory grow with the square of a molecule's size, the diagonalisation with its cube: this is for molecules."""

    name: Literal["graph-transformer"] = "graph-transformer"
    num_layers: int = Field(default=4, ge=1)
    num_heads: int = Field(default=8, ge=1)
    num_times: int = Field(default=8, ge=1)
    """Times of the heat kernel: 0.5, 1, 2, 4, ...; eigenvalues are from 0 to 2."""

    @field_validator("num_heads")
    @classmethod
    def _heads_share_the_features(cls, num_heads: int, info: ValidationInfo) -> int:
        return checked_heads(num_heads, info)


class Block(nn.Module):
    """Messages along bonds beside attention among all, then a network on every token: what a layer of GPS is. What comes in is
    normalised first and added to what comes out."""

    def __init__(self, config: GraphTransformerConfig) -> None:
        super().__init__()
        layers, num_features = layers_for("graph-transformer"), config.num_features
        self.before = nn.LayerNorm(num_features)
        self.messages = layers.GINConv(
            nn.Sequential(nn.Linear(num_features, num_features), nn.SiLU(), nn.Linear(num_features, num_features)),
            train_eps=True,
        )  # fmt: skip
        self.attention = layers.TransformerConv(
            num_features, num_features // config.num_heads, heads=config.num_heads, edge_dim=config.num_times + 2
        )
        self.network = nn.Sequential(
            nn.LayerNorm(num_features), nn.Linear(num_features, 2 * num_features), nn.SiLU(),
            nn.Linear(2 * num_features, num_features),
        )  # fmt: skip

    def forward(self, x: Tensor, bonds: Tensor, pairs: Tensor, encodings: Tensor) -> Tensor:
        """``x`` of every token, the atoms of bonds ``[2, E]``, all pairs of tokens of a molecule (source, target) ``[2, E']``
        and their encodings ``[E', K]``; the new x."""
        before = self.before(x)
        x = x + self.messages(before, bonds) + self.attention(before, pairs, encodings)
        return x + self.network(x)


class GraphTransformer(Model):
    """Scalars ``[N, F]`` of every atom: those of its molecule's CLS token, so that a molecule's energy is the number of its
    atoms times what the head makes of the token.

    A molecule is what connections hold together: molecules far from each other in one structure do not attend to each other,
    and their energies add. Attention averages over the atoms of the cell of a crystal, and encodings are those of its graph
    with periodic images as further connections; a supercell has another graph, and other energies an atom.
    """

    config: GraphTransformerConfig

    def __init__(self, config: GraphTransformerConfig) -> None:
        super().__init__()
        self.config = config
        num_features = config.num_features
        self.elements = nn.Embedding(MAX_ATOMIC_NUMBER + 1, num_features)
        self.degrees = nn.Embedding(MOST_NEIGHBORS + 1, num_features)
        self.token = nn.Parameter(torch.randn(num_features))
        self.encode = nn.Linear(config.num_times, num_features)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.last = nn.LayerNorm(num_features)
        times = SHORTEST_TIME * 2.0 ** torch.arange(config.num_times)  # powers of two are exact in every dtype
        self.register_buffer("times", times, persistent=False)

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        edge_index = connections(graph, self.cutoff)
        molecule, num_molecules = molecules(edge_index, graph.num_atoms)
        place = places_in(molecule, num_molecules)
        adjacency = adjacencies(edge_index, molecule, place, num_molecules)
        kernels = heat_kernels(adjacency, self.get_buffer("times").double())

        # Tokens are the atoms, then CLS of every molecule, which has place 0 there; its encoding is a mark.
        tokens = torch.cat((molecule, torch.arange(num_molecules, device=molecule.device)))
        places = torch.cat((place + 1, place.new_zeros(num_molecules)))
        table = tokens.new_full((num_molecules, adjacency.shape[1] + 1), -1)
        table[tokens, places] = torch.arange(len(tokens), device=tokens.device)
        together = (table[:, :, None] >= 0) & (table[:, None, :] >= 0)
        of_atoms = torch.cat((kernels, adjacency.unsqueeze(3)), dim=3)
        encodings = nn.functional.pad(of_atoms, (0, 1, 1, 0, 1, 0))
        encodings[:, 0, :, -1] = encodings[:, :, 0, -1] = 1.0
        m, p, q = together.nonzero(as_tuple=True)
        pairs, encoded = torch.stack((table[m, q], table[m, p])), encodings[m, p, q].to(self.token.dtype)

        own = kernels[molecule, place, place].to(self.token.dtype)
        degrees = torch.bincount(edge_index[0], minlength=graph.num_atoms).clamp(max=MOST_NEIGHBORS)
        atoms = self.elements(graph.atomic_numbers) + self.degrees(degrees) + self.encode(own)
        x = torch.cat((atoms, self.token.expand(num_molecules, -1)))
        for block in self.blocks:
            x = block(x, edge_index, pairs, encoded)
        return Features(scalar=self.last(x[graph.num_atoms :]).index_select(0, molecule))


def molecules(edge_index: Tensor, num_atoms: int) -> tuple[Tensor, int]:
    """Which connected part of the graph every atom belongs to, int64 ``[N]``, and how many there are."""
    i, j = edge_index
    least = torch.arange(num_atoms, device=edge_index.device)  # the least atom known to be connected to each
    while True:
        found = least.scatter_reduce(0, i, least.index_select(0, j), "amin")
        found = found.index_select(0, found)
        if torch.equal(found, least):
            break
        least = found
    firsts, molecule = least.unique(return_inverse=True)
    return molecule, len(firsts)


def places_in(molecule: Tensor, num_molecules: int) -> Tensor:
    """Place of every atom in its molecule, from 0, int64 ``[N]``."""
    order = molecule.argsort(stable=True)
    sizes = torch.bincount(molecule, minlength=num_molecules)
    starts = sizes.cumsum(0) - sizes
    place = torch.empty_like(molecule)
    place[order] = torch.arange(len(molecule), device=molecule.device) - starts.index_select(0, molecule[order])
    return place


def adjacencies(edge_index: Tensor, molecule: Tensor, place: Tensor, num_molecules: int) -> Tensor:
    """Numbers of connections between the atoms of each of M molecules, float64 ``[M, n, n]``, zero beyond a molecule's size."""
    largest = int(place.max()) + 1
    matrix = torch.zeros(num_molecules, largest, largest, dtype=torch.float64, device=place.device)
    i, j = edge_index
    ones = matrix.new_ones(len(i))
    return matrix.index_put((molecule[i], place[i], place[j]), ones, accumulate=True)


def heat_kernels(adjacency: Tensor, times: Tensor) -> Tensor:
    """``exp(-t L)`` of the normalised Laplacians ``L = 1 - D^-1/2 A D^-1/2``, ``[M, n, n, T]``.

    Args:
        adjacency: A, ``[M, n, n]``; an atom without connections, and what fills a matrix up, has a row of zeros in L.
        times: T of them.
    """
    degrees = adjacency.sum(dim=2)
    roots = torch.where(degrees > 0, degrees.clamp(min=1).rsqrt(), 0.0)
    laplacian = torch.diag_embed((degrees > 0).to(adjacency.dtype)) - roots[:, :, None] * adjacency * roots[:, None, :]
    values, vectors = torch.linalg.eigh(laplacian)
    return torch.einsum("mik,mkt,mjk->mijt", vectors, torch.exp(-values[:, :, None] * times), vectors)
