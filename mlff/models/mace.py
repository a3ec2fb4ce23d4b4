"""MACE: Batatia, Kovács, Simm, Ortner, Csányi, "MACE: higher order equivariant message passing neural networks for fast and
accurate force fields", NeurIPS 2022, arXiv:2206.07697. The layers are those of the package mace-torch
(github.com/ACEsuite/mace); the last linear layer of each readout is the potential's head."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ..graph import Graph
from ..nn import Features
from .adapter import Adapter, ElementConfig, building, polar_vectors, required


class MACEConfig(ElementConfig):
    """The defaults are those of mace-torch's command line."""

    name: Literal["mace"] = "mace"
    num_layers: int = Field(default=2, ge=2)
    lmax: int = Field(default=1, ge=0, le=3)
    """Highest degree of the features that layers exchange: 0 for scalars, 1 for vectors too."""
    edge_lmax: int = Field(default=3, ge=0, le=6)
    """Highest degree of the spherical harmonics of the directions to neighbours."""
    correlation: int = Field(default=3, ge=1, le=4)
    """Body order of a message less one: how many neighbours a product of features joins."""
    num_radial: int = Field(default=8, ge=1)
    cutoff_power: int = Field(default=5, ge=3)
    """p of the polynomial envelope; energies are smooth to the second derivative from 3 on."""
    readout_features: int = Field(default=16, ge=1)
    """Width of the network that reads the last layer."""


class MACE(Adapter):
    """Scalars of all layers ``[N, (L - 1) F + readout_features]``; vectors ``[N, 3, F]`` of the last layer but one."""

    config: MACEConfig

    def __init__(self, config: MACEConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.species)
        modules = required("mace.modules", model="mace", extra="mace")
        o3 = required("e3nn.o3", model="mace", extra="mace")
        irreps = o3.Irreps(" + ".join(f"{config.num_features}x{degree}{'eo'[degree % 2]}" for degree in range(config.lmax + 1)))
        interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        with building():
            network = modules.MACE(
                r_max=config.cutoff, num_bessel=config.num_radial, num_polynomial_cutoff=config.cutoff_power,
                max_ell=config.edge_lmax, interaction_cls=interaction, interaction_cls_first=interaction,
                num_interactions=config.num_layers, num_elements=len(config.species), hidden_irreps=irreps,
                MLP_irreps=o3.Irreps(f"{config.readout_features}x0e"), atomic_energies=torch.zeros(len(config.species)).numpy(),
                avg_num_neighbors=config.average_neighbors or 1.0, atomic_numbers=list(config.species),
                correlation=config.correlation, gate=nn.functional.silu,
            )  # fmt: skip
        self.irreps = irreps
        self.node_embedding = network.node_embedding
        self.spherical_harmonics = network.spherical_harmonics
        self.radial_embedding = network.radial_embedding
        self.interactions, self.products = network.interactions, network.products
        self.readout = nn.Sequential(network.readouts[-1].linear_1, network.readouts[-1].non_linearity)
        self.register_buffer("atomic_numbers", network.atomic_numbers, persistent=False)
        self.keep_constants()
        self.to(torch.get_default_dtype())

    @property
    def num_features(self) -> int:
        return (self.config.num_layers - 1) * self.config.num_features + self.config.readout_features

    @property
    def num_vectors(self) -> int:
        return self.config.num_features if self.config.lmax > 0 else 0

    @property
    def linear_readout(self) -> bool:
        return True

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors where ``lmax`` is 0."""
        types = self.element_index(graph.atomic_numbers)
        dtype = next(self.parameters()).dtype
        elements = nn.functional.one_hot(types, len(self.config.species)).to(dtype)
        edge_index = graph.edge_index.flip(0)  # a message goes from row 0 to row 1
        vectors = -graph.edge_vectors(dtype)
        harmonics = self.spherical_harmonics(vectors)
        radial, envelope = self.radial_embedding(
            vectors.norm(dim=1, keepdim=True), elements, edge_index, self.get_buffer("atomic_numbers")
        )
        x, layers = self.node_embedding(elements), []
        for number, (interaction, product) in enumerate(zip(self.interactions, self.products)):
            x, skip = interaction(
                node_attrs=elements, node_feats=x, edge_attrs=harmonics, edge_feats=radial, edge_index=edge_index,
                cutoff=envelope, first_layer=number == 0,
            )  # fmt: skip
            x = product(node_feats=x, sc=skip, node_attrs=elements)
            layers.append(x)
        scalars = [layer[:, : self.config.num_features] for layer in layers[:-1]]
        return Features(
            scalar=torch.cat([*scalars, self.readout(layers[-1])], dim=1), vector=polar_vectors(layers[-2], self.irreps)
        )
