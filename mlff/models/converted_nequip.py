"""A NequIP or Allegro that nequip-train trained, with its own readout and scales; `mlff convert` makes the settings."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from ..graph import Graph
from ..nn import Features
from .adapter import building, required
from .nequip import ElementConfig, NequIPAdapter, nequip_state

BUILDERS = {
    f"{package}.model.{name}": (f"{package}.model", name)
    for package, names in (
        ("nequip", ("NequIPGNNModel", "PresetNequIPGNNModel", "FullNequIPGNNModel")),
        ("allegro", ("AllegroModel", "FullAllegroModel")),
    )
    for name in names
}
"""What may build a model: the names in a checkpoint are looked up here and never called otherwise."""
PARTS = {
    "allegro.nn.TwoBodyBesselScalarEmbed", "allegro.nn.TwoBodySplineScalarEmbed", "nequip.nn.pair_potential.ZBL",
}  # fmt: skip
"""What may be built inside a model."""


class ConvertedNequIPConfig(ElementConfig):
    """The section ``model`` of nequip's configuration."""

    name: Literal["converted-nequip"] = "converted-nequip"
    num_features: Literal[1] = 1
    """The energy of an atom."""
    types: tuple[int, ...]
    """Atomic number of each of the model's types, in its order."""
    options: dict[str, Any]


class ConvertedNequIP(NequIPAdapter):
    """Energies of the atoms ``[N, 1]``, eV, without the reference energies, which are the potential's."""

    config: ConvertedNequIPConfig

    def __init__(self, config: ConvertedNequIPConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.types)
        with nequip_state(), building():
            model: Any = build_nequip(config.options)
        self.network = nn.Sequential()
        for name, module in model.model.func.named_children():
            if name != "total_energy_sum":
                self.network.add_module(name, module)
        shifts = self.network.get_submodule("per_type_energy_scale_shift").shifts
        with torch.no_grad():
            shifts.zero_()  # type: ignore[operator]
        self.keep_constants()
        self.to(torch.get_default_dtype())

    def forward(self, graph: Graph) -> Features:
        """Energies of the atoms."""
        data = self.fields(graph)
        for module in self.network:
            data = module(data)
        return Features(scalar=data["atomic_energy"].to(next(self.parameters()).dtype))


def build_nequip(options: dict[str, Any]) -> nn.Module:
    """nequip's model of this configuration, with fresh weights, in float64.

    Raises:
        ValueError: it names something else than a model of nequip or Allegro, or a part that is not known.
    """
    builder = options.get("_target_")
    if builder not in BUILDERS:
        raise ValueError(f"the model is built by `{builder}`; only {', '.join(BUILDERS)} can be taken")
    _check_parts({key: value for key, value in options.items() if key != "_target_"})
    package, name = BUILDERS[builder]
    arguments = {key: value for key, value in options.items() if key not in ("_target_", "model_dtype", "compile_mode")}
    models = required(package, model="converted-nequip", extra=package)
    return getattr(models, name)(**arguments | {"model_dtype": "float64", "compile_mode": "eager", "do_derivatives": False})


def _check_parts(value: Any) -> None:
    if isinstance(value, dict):
        if "_target_" in value and value["_target_"] not in PARTS:
            raise ValueError(f"the model has a part `{value['_target_']}`; only {', '.join(sorted(PARTS))} can be taken")
        for each in value.values():
            _check_parts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_parts(each)
