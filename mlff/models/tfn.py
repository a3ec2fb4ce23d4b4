"""Tensor Field Network: Thomas, Smidt, Kearnes, Yang, Li, Kohlhoff, Riley, "Tensor field networks: rotation- and
translation-equivariant neural networks for 3D point clouds", arXiv:1802.08219 (2018). Atoms have scalars, vectors and
tensors of degrees l <= lmax; a message is the Clebsch-Gordan product of a neighbour's features with the spherical harmonics
of its direction, weighted by learned functions of the distance. Products, harmonics and gates are those of e3nn (Geiger,
Smidt, arXiv:2207.09453).

Other than in the paper: features have a parity (O(3) instead of SO(3)); tensors are scaled by gates (Weiler et al.,
arXiv:1807.02547) instead of by functions of their lengths, which have no slope at zero; every layer adds a linear function
of the atom's own features; sums are divided by the root of the average number of neighbours, and fade with an envelope at
the cutoff."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import EnvelopeName, Features, RadialName, build_envelope, build_radial, glorot_linear, scatter_sum
from .adapter import Adapter, ElementConfig, building, polar_vectors, required


class TFNConfig(ElementConfig):
    """``parity=True, radial="gaussian"`` is nearest to the paper, whose paths ignore parity."""

    name: Literal["tfn"] = "tfn"
    num_features: int = Field(default=64, gt=0)
    """Features of each degree (and parity)."""
    num_layers: int = Field(default=3, ge=1)
    lmax: int = Field(default=1, ge=0, le=3)
    """Highest degree of features and of the harmonics of directions."""
    parity: bool = False
    """Whether there are pseudo-scalars, axial vectors, ... beside scalars, polar vectors, ...: products of two vectors then
    include the cross product, which reaches the energy from four layers on (from three with ``lmax`` 2)."""
    num_radial: int = Field(default=20, ge=1)
    radial: RadialName = "bessel"
    radial_width: int = Field(default=64, ge=1)
    """Width of the network that makes a message's weights of the distance."""
    envelope: EnvelopeName = "polynomial"


class TFNLayer(nn.Module):
    """Self-interaction, convolution over the neighbours, self-interaction, nonlinearity: section 4.1 of the paper."""

    def __init__(self, config: TFNConfig, irreps_in: Any, irreps_out: Any) -> None:
        super().__init__()
        o3, gates = part_of_e3nn(".o3"), part_of_e3nn(".nn")
        harmonics = o3.Irreps.spherical_harmonics(config.lmax)
        reached = {ir for _, a in irreps_in for _, b in harmonics for ir in a * b}
        scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0 and ir in reached])
        tensors = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0 and ir in reached])
        activations = [nn.functional.silu if ir.p == 1 else torch.tanh for _, ir in scalars]
        self.gate = gates.Gate(
            scalars, activations, o3.Irreps([(mul, "0e") for mul, _ in tensors]), [torch.sigmoid] * len(tensors), tensors
        )
        self.irreps_out = self.gate.irreps_out

        kept = {ir for _, ir in self.gate.irreps_in}
        paths = [(i, j, mul, ir) for i, (mul, a) in enumerate(irreps_in) for j, (_, b) in enumerate(harmonics)
                 for ir in a * b if ir in kept]  # fmt: skip
        products, places, _ = o3.Irreps([(mul, ir) for _, _, mul, ir in paths]).sort()
        instructions = [(i, j, places[k], "uvu", True) for k, (i, j, _, _) in enumerate(paths)]
        self.before = o3.Linear(irreps_in, irreps_in)
        self.product = o3.TensorProduct(
            irreps_in, harmonics, products, instructions, internal_weights=False, shared_weights=False
        )
        self.weights = nn.Sequential(
            glorot_linear(config.num_radial, config.radial_width), nn.SiLU(),
            glorot_linear(config.radial_width, self.product.weight_numel, bias=False),
        )  # fmt: skip
        self.after = o3.Linear(products.simplify(), self.gate.irreps_in)
        self.own = o3.Linear(irreps_in, self.gate.irreps_in)
        self.factor = (config.average_neighbors or 1.0) ** -0.5

    def forward(self, x: Tensor, harmonics: Tensor, radial: Tensor, envelope: Tensor, edge_index: Tensor) -> Tensor:
        """Features ``[N, dim]``, harmonics ``[E, (lmax + 1)^2]``, radial basis ``[P, K]``, envelope ``[P, 1]``; new x."""
        centre, neighbor = edge_index
        weights = (self.weights(radial) * (envelope * self.factor)).repeat(2, 1)
        messages = self.product(self.before(x).index_select(0, neighbor), harmonics, weights)
        return self.gate(self.own(x) + self.after(scatter_sum(messages, centre, x.shape[0])))


class TFN(Adapter):
    """Scalars ``[N, F]``; vectors ``[N, 3, F]`` of the last layer but one, as the last makes scalars only."""

    config: TFNConfig

    def __init__(self, config: TFNConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.species)
        o3 = part_of_e3nn(".o3")
        scalars = o3.Irreps(f"{config.num_features}x0e")
        hidden = o3.Irreps([
            (config.num_features, (degree, parity)) for degree in range(config.lmax + 1)
            for parity in ((1, -1) if config.parity else ((-1) ** degree,))
        ])  # fmt: skip
        with building(), unscripted():
            self.embedding = nn.Embedding(len(config.species), config.num_features)
            self.radial = build_radial(config.radial, config.num_radial, config.cutoff)
            self.envelope = build_envelope(config.envelope, config.cutoff)
            self.harmonics = o3.SphericalHarmonics(list(range(config.lmax + 1)), normalize=True, normalization="component")
            self.layers = nn.ModuleList()
            irreps = scalars
            for layer in range(config.num_layers):
                self.before_last = irreps
                self.layers.append(TFNLayer(config, irreps, hidden if layer < config.num_layers - 1 else scalars))
                irreps = self.layers[-1].irreps_out
        self.keep_constants()
        self.to(torch.get_default_dtype())

    @property
    def num_vectors(self) -> int:
        return self.config.num_features if self.config.lmax > 0 and self.config.num_layers > 1 else 0

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors where ``lmax`` is 0 or there is one layer."""
        edge_index = graph.edge_index
        r_ij = graph.pair_vectors(self.embedding.weight.dtype)
        distances = r_ij.norm(dim=1)
        radial, envelope = self.radial(distances), self.envelope(distances).unsqueeze(1)
        harmonics = self.harmonics(torch.cat((r_ij, -r_ij)))
        x = before = self.embedding(self.element_index(graph.atomic_numbers))
        for layer in self.layers:
            before, x = x, layer(x, harmonics, radial, envelope, edge_index)
        return Features(scalar=x, vector=polar_vectors(before, self.before_last))


@contextmanager
def unscripted() -> Iterator[None]:
    """Build e3nn's modules as plain torch, which can be traced, whatever another package has made their default."""
    e3nn = part_of_e3nn()
    before = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(**before)


def part_of_e3nn(name: str = "") -> ModuleType:
    """e3nn or the module of it with this name, or an ImportError that says how to install it."""
    if not recent_enough():
        raise ImportError(f"the model `tfn` needs e3nn 0.6, and e3nn {version('e3nn')} is installed, as mace-torch wants it; "
                          f'in another environment: pip install "mlff[e3nn]"')
    return required(f"e3nn{name}", model="tfn", extra="e3nn")


def recent_enough() -> bool:
    """Whether e3nn, if there is one, is 0.6 or later: 0.4, which mace-torch wants, cannot be imported with today's torch."""
    try:
        return tuple(int(part) for part in version("e3nn").split(".")[:2]) >= (0, 6)
    except PackageNotFoundError:
        return True
