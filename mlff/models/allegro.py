"""Allegro: Musaelian, Batzner, Johansson, Sun, Owen, Kornbluth, Kozinsky, "Learning local equivariant representations for
large-scale atomistic dynamics", Nature Communications 14, 579 (2023), arXiv:2204.05249. Strictly local: the energy of a pair
depends on the neighbours of its first atom alone. The layers are those of the package nequip-allegro
(github.com/mir-group/allegro); the last linear layer, which commutes with the sum over neighbours, is the potential's head."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..graph import Graph
from ..nn import Features
from .adapter import ElementConfig, building, required
from .nequip import NequIPAdapter, common_options, nequip_state


class AllegroConfig(ElementConfig):
    """The defaults are those of the package's tutorial."""

    name: Literal["allegro"] = "allegro"
    num_features: int = Field(default=64, gt=0)
    """Scalars of every pair."""
    num_tensor_features: int = Field(default=32, ge=1)
    """Tensors of every degree of every pair."""
    num_layers: int = Field(default=2, ge=1)
    lmax: int = Field(default=2, ge=0, le=4)
    parity: bool = True
    """Whether there are pseudo-scalars, axial vectors, ... beside scalars, polar vectors, ..."""
    num_radial: int = Field(default=8, ge=1)
    hidden_width: int = Field(default=64, ge=1)
    """Width of the networks inside the layers."""
    cutoff_power: int = Field(default=6, ge=3)
    """p of the polynomial envelope; energies are smooth to the second derivative from 3 on."""
    readout_features: int = Field(default=32, ge=1)
    """Width of the network that reads a pair, and length of an atom's scalars, which are its sums over neighbours."""


class Allegro(NequIPAdapter):
    """Scalars ``[N, readout_features]`` of every atom; its tensors belong to pairs, so there are no vectors."""

    config: AllegroConfig

    def __init__(self, config: AllegroConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.species)
        models = required("allegro.model", model="allegro", extra="allegro")
        with nequip_state(), building():
            model = models.AllegroModel(
                **common_options(config), l_max=config.lmax, parity=config.parity, num_layers=config.num_layers,
                num_scalar_features=config.num_features, num_tensor_features=config.num_tensor_features,
                radial_chemical_embed={
                    "_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": config.num_radial,
                    "polynomial_cutoff_p": config.cutoff_power,
                },
                scalar_embed_mlp_hidden_layers_width=config.hidden_width,
                allegro_mlp_hidden_layers_width=config.hidden_width,
                readout_mlp_hidden_layers_width=config.readout_features,
            )  # fmt: skip
        self.take(model)

    @property
    def num_features(self) -> int:
        return self.config.readout_features

    def forward(self, graph: Graph) -> Features:
        """Features of every atom."""
        data = self.fields(graph)
        for module in self.network:
            data = module(data)
        return Features(scalar=data["atomic_energy"])
