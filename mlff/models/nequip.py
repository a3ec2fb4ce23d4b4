"""NequIP: Batzner, Musaelian, Sun, Geiger, Mailoa, Kornbluth, Molinari, Smidt, Kozinsky, "E(3)-equivariant graph neural
networks for data-efficient and accurate interatomic potentials", Nature Communications 13, 2453 (2022), arXiv:2101.03164.
The layers are those of the package nequip (github.com/mir-group/nequip); the last linear layer is the potential's head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features
from .adapter import Adapter, ElementConfig, building, polar_vectors, required

READOUTS = ("per_atom_energy_readout", "edge_readout")
"""Where nequip's and Allegro's networks turn features into energies."""


class NequIPConfig(ElementConfig):
    """``parity=False`` and the radial network are what nequip's presets have; its functions' own defaults stand beside."""

    name: Literal["nequip"] = "nequip"
    num_features: int = Field(default=64, gt=0)
    """Features of each degree; nequip: 32."""
    num_layers: int = Field(default=4, ge=1)
    lmax: int = Field(default=1, ge=0, le=4)
    """Highest degree of features and of the harmonics of directions."""
    parity: bool = False
    """Whether there are pseudo-scalars, axial vectors, ... beside scalars, polar vectors, ...; nequip: true."""
    num_radial: int = Field(default=8, ge=1)
    radial_width: int = Field(default=128, ge=1)
    cutoff_power: int = Field(default=6, ge=3)
    """p of the polynomial envelope; energies are smooth to the second derivative from 3 on."""


class NequIPAdapter(Adapter):
    """A network of nequip's modules, which hand a dict of fields on to each other."""

    network: nn.Sequential

    def take(self, energy_model: Any) -> None:
        """Take over the modules of a nequip model up to its last linear layer, which the potential's head replaces."""
        children: dict[str, Any] = dict(energy_model.model.func.named_children())
        self.network = nn.Sequential()
        for name, module in children.items():
            if name in READOUTS:
                module.mlp_module.mlp = module.mlp_module.mlp[:-1]
                module.out_field = module.field
            elif name in ("per_type_energy_scale_shift", "total_energy_sum"):
                continue
            elif name == "edge_eng_sum":
                module.field = "edge_features"
            self.network.add_module(name, module)
        self.keep_constants()
        self.to(torch.get_default_dtype())

    @property
    def linear_readout(self) -> bool:
        return True

    def fields(self, graph: Graph) -> dict[str, Tensor]:
        """What the first module reads. Vectors are float64: nequip computes what depends on distances alone in it."""
        return {
            "pos": graph.positions, "edge_index": graph.edge_index, "edge_vectors": graph.edge_vectors(torch.float64),
            "atom_types": self.element_index(graph.atomic_numbers),
        }  # fmt: skip

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        if not hasattr(self, "_constants"):
            return self
        dtype = next(self.parameters()).dtype
        for path, module in self.named_modules():
            if hasattr(module, "_output_dtype"):
                module._output_dtype = dtype  # what they give; they compute with constants in float64
            if hasattr(module, "_output_dtype") or hasattr(module, "_rmax_recip"):
                for name, value in module.named_buffers(path, recurse=False):
                    module.register_buffer(name.rpartition(".")[2], self._constants[name].to(value.device))
        return self


class NequIP(NequIPAdapter):
    """Scalars ``[N, F]``; vectors ``[N, 3, F]`` of the last layer but one."""

    config: NequIPConfig

    def __init__(self, config: NequIPConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.species)
        models = required("nequip.model", model="nequip", extra="nequip")
        with nequip_state(), building():
            model = models.NequIPGNNModel(
                **common_options(config), num_layers=config.num_layers, l_max=config.lmax, parity=config.parity,
                num_features=config.num_features, num_bessels=config.num_radial, radial_mlp_width=config.radial_width,
                polynomial_cutoff_p=config.cutoff_power,
            )  # fmt: skip
        self.take(model)

    @property
    def num_vectors(self) -> int:
        return self.config.num_features if self.config.lmax > 0 and self.config.num_layers > 1 else 0

    def forward(self, graph: Graph) -> Features:
        """Features of every atom; no vectors where ``lmax`` is 0 or there is one layer."""
        data, vectors = self.fields(graph), None
        modules: dict[str, Any] = dict(self.network.named_children())
        for name, module in modules.items():
            if name == f"layer{self.config.num_layers - 1}_convnet" and self.config.num_layers > 1:
                vectors = polar_vectors(data["node_features"], module.irreps_in["node_features"])
            data = module(data)
        return Features(scalar=data["node_features"], vector=vectors)


def common_options(config: ElementConfig) -> dict[str, Any]:
    """The arguments that the builders of nequip and of Allegro share; weights are drawn from torch's global generator."""
    return dict(
        seed=int(torch.randint(2**31, ())), model_dtype="float64", compile_mode="eager", r_max=config.cutoff,
        type_names=[f"Z{z}" for z in config.species], avg_num_neighbors=config.average_neighbors or 1.0,
        per_type_energy_scales=1.0, per_type_energy_shifts=0.0, do_derivatives=False,
    )  # fmt: skip


@contextmanager
def nequip_state() -> Iterator[None]:
    """nequip builds models only after it has set seeds, the default dtype and more for the whole process: undo that."""
    state = required("nequip.utils.global_state", model="nequip", extra="nequip")
    if not state.global_state_initialized():
        isolate_rng = required("lightning.pytorch.utilities.seed", model="nequip", extra="nequip").isolate_rng
        backends: Any = torch.backends
        precision = backends.fp32_precision
        with building(torch.get_default_dtype()), isolate_rng():
            state.set_global_state(allow_tf32=False)
        backends.fp32_precision = precision
    yield
