"""DimeNet++: Gasteiger, Giri, Margraf, Günnemann, "Fast and uncertainty-aware directional message passing for non-equilibrium
molecules", arXiv:2011.14115 (2020); after Gasteiger, Groß, Günnemann, "Directional message passing for molecular graphs", ICLR
2020, arXiv:2003.03123. Messages on the directed edges k -> j -> i, which know the angle between them. The blocks are those of
torch_geometric; the last linear layers of its output blocks are the potential's head. Triplets and the basis of distances and
angles are computed here, because torch_geometric's know no periodic images and have no derivative where three atoms are on a
line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features
from .adapter import required
from .model import Model, ModelConfig

MOST_ELEMENTS = 95
"""Rows of torch_geometric's embedding, from atomic number 0 on."""


class DimeNetConfig(ModelConfig):
    """The defaults are those of the paper."""

    name: Literal["dimenet++"] = "dimenet++"
    num_layers: int = Field(default=4, ge=1)
    num_radial: int = Field(default=6, ge=1, le=32)
    num_spherical: int = Field(default=7, ge=2, le=8)
    """Legendre polynomials of the angle."""
    triplet_features: int = Field(default=64, ge=1)
    """Features of a message where it meets another one at an angle."""
    basis_features: int = Field(default=8, ge=1)
    readout_features: int = Field(default=256, ge=1)
    """Width of the output blocks, and of an atom's scalars after each of them."""
    envelope_exponent: int = Field(default=5, ge=2)
    """Shape of the envelope, which is smooth to the second derivative."""

    def for_species(self, species: Sequence[int]) -> ModelConfig:
        """The same settings; the embedding ends at americium's neighbour, plutonium."""
        if unknown := [z for z in species if z >= MOST_ELEMENTS]:
            raise ValueError(f"dimenet++ has no embedding of the elements Z = {unknown}; it ends at Z = {MOST_ELEMENTS - 1}")
        return self


class DimeNetPlusPlus(Model):
    """Scalars of every atom, ``[N, (L + 1) readout_features]``: those that each of the output blocks makes."""

    config: DimeNetConfig

    def __init__(self, config: DimeNetConfig) -> None:
        super().__init__()
        self.config = config
        blocks = required("torch_geometric.nn.models.dimenet", model="dimenet++", extra="dimenet")
        self.radial = blocks.BesselBasisLayer(config.num_radial, config.cutoff, config.envelope_exponent)
        self.spherical = SphericalBasis(config.num_spherical, config.num_radial)
        self.embedding = blocks.EmbeddingBlock(config.num_radial, config.num_features, nn.functional.silu)
        self.interactions = nn.ModuleList(
            blocks.InteractionPPBlock(
                hidden_channels=config.num_features, int_emb_size=config.triplet_features, act=nn.functional.silu,
                basis_emb_size=config.basis_features, num_spherical=config.num_spherical, num_radial=config.num_radial,
                num_before_skip=1, num_after_skip=2,
            )
            for _ in range(config.num_layers)
        )  # fmt: skip
        self.outputs = nn.ModuleList(
            blocks.OutputPPBlock(
                num_radial=config.num_radial, hidden_channels=config.num_features, out_channels=1,
                out_emb_channels=config.readout_features, num_layers=3, act=nn.functional.silu,
            )
            for _ in range(config.num_layers + 1)
        )  # fmt: skip
        for output in self.outputs:
            output.lin = nn.Identity()

    @property
    def num_features(self) -> int:
        return (self.config.num_layers + 1) * self.config.readout_features

    @property
    def linear_readout(self) -> bool:
        return True

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors."""
        centre, neighbor = graph.edge_index
        r_ij = graph.pair_vectors(next(self.parameters()).dtype)
        distances = r_ij.norm(dim=1)
        radial = self.radial(distances).repeat(2, 1)
        outer, inner = triplets(graph)
        directions = r_ij / distances.unsqueeze(1)
        directions = torch.cat((directions, -directions))
        cosines = (directions.index_select(0, outer) * directions.index_select(0, inner)).sum(1)
        envelope = self.radial.envelope(distances / self.config.cutoff)
        spherical = self.spherical(distances / self.config.cutoff, envelope, cosines, inner)

        x = self.embedding(graph.atomic_numbers, radial, centre, neighbor)
        scalars = [self.outputs[0](x, radial, centre, graph.num_atoms)]
        for interaction, output in zip(self.interactions, self.outputs[1:]):
            x = interaction(x, radial, spherical, inner, outer)
            scalars.append(output(x, radial, centre, graph.num_atoms))
        return Features(scalar=torch.cat(scalars, dim=1))


class SphericalBasis(nn.Module):
    """Spherical Bessel functions of a distance times Legendre polynomials of an angle (eq. 6 of arXiv:2003.03123).

    The Bessel functions are computed in float64, as those of high order are small differences of large terms.
    """

    def __init__(self, num_spherical: int, num_radial: int) -> None:
        from scipy.special import spherical_jn

        super().__init__()
        zeros = bessel_zeros(num_spherical, num_radial)
        orders = np.arange(num_spherical)[:, None]
        norms = np.sqrt(2.0) / np.abs(spherical_jn(orders + 1, zeros))
        harmonics = np.sqrt((2 * orders + 1) / (4 * np.pi))
        self.zeros, self.factors = torch.from_numpy(zeros), torch.from_numpy(norms * harmonics)
        self.num_spherical = num_spherical

    def forward(self, x: Tensor, envelope: Tensor, cosines: Tensor, inner: Tensor) -> Tensor:
        """The basis of every triplet, ``[T, num_spherical num_radial]``.

        Args:
            x: distance over cutoff of every pair, ``[P]``.
            envelope: of every pair, ``[P]``.
            cosines: of the angle of every triplet, ``[T]``.
            inner: edge k -> j of every triplet, ``[T]``.
        """
        self.zeros, self.factors = self.zeros.to(x.device), self.factors.to(x.device)
        radial = spherical_bessel(x.double()[:, None, None] * self.zeros) * self.factors
        radial = (radial.to(x.dtype) * envelope[:, None, None]).repeat(2, 1, 1)
        angular = [torch.ones_like(cosines), cosines]
        for order in range(2, self.num_spherical):
            angular.append(((2 * order - 1) * cosines * angular[-1] - (order - 1) * angular[-2]) / order)
        return (radial.index_select(0, inner) * torch.stack(angular, dim=1).unsqueeze(2)).flatten(1)


def triplets(graph: Graph) -> tuple[Tensor, Tensor]:
    """Edges (j -> i) and (k -> j) of every path k -> j -> i of two edges that does not go back at once: int64 ``[T]`` each.

    Where k is an image of i the path counts: only the reverse of the edge itself is left out.
    """
    centre, neighbor = graph.edge_index
    num_edges = len(centre)
    by_centre = centre.argsort(stable=True)
    counts = torch.bincount(centre, minlength=graph.num_atoms)
    starts = counts.cumsum(0) - counts
    outer = torch.arange(num_edges, device=centre.device).repeat_interleave(counts.index_select(0, neighbor))
    ahead = counts.index_select(0, neighbor).cumsum(0) - counts.index_select(0, neighbor)
    place = torch.arange(len(outer), device=centre.device) - ahead.index_select(0, outer)
    inner = by_centre.index_select(0, starts.index_select(0, neighbor).index_select(0, outer) + place)
    back = (outer + num_edges // 2) % max(num_edges, 1)
    kept = inner != back
    return outer[kept], inner[kept]


def spherical_bessel(x: Tensor) -> Tensor:
    """``j_l(x[:, l])`` for the orders l along the second axis, ``[P, L, K]``, by upward recursion; x > 0."""
    previous = torch.sin(x) / x
    current = previous / x - torch.cos(x) / x
    values = [previous[:, 0], current[:, 1]]
    for order in range(1, x.shape[1] - 1):
        previous, current = current, (2 * order + 1) / x * current - previous
        values.append(current[:, order + 1])
    return torch.stack(values, dim=1)


def bessel_zeros(num_orders: int, num_zeros: int) -> np.ndarray:
    """The first zeros of the spherical Bessel functions, ``[num_orders, num_zeros]``; those of two orders interlace."""
    from scipy.optimize import brentq
    from scipy.special import spherical_jn

    bounds = np.pi * np.arange(1, num_zeros + num_orders)
    zeros = [bounds[:num_zeros]]
    for order in range(1, num_orders):
        bounds = np.array([brentq(partial(spherical_jn, order), a, b, xtol=1e-14) for a, b in zip(bounds, bounds[1:])])
        zeros.append(bounds[:num_zeros])
    return np.array(zeros)
