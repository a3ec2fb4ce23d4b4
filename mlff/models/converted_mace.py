"""A MACE that mace-torch trained, with its own readouts, scale, shift and repulsion; `mlff convert` makes the settings."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph import Graph
from ..nn import Features
from .adapter import Adapter, ElementConfig, building, required

ARRAYS = ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")
IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")


class ConvertedMACEConfig(ElementConfig):
    """The arguments of mace's ScaleShiftMACE as JSON values: classes and activation by their names in mace, irreps as text."""

    name: Literal["converted-mace"] = "converted-mace"
    num_features: Literal[1] = 1
    """The energy of an atom."""
    options: dict[str, Any]
    head: int = Field(default=0, ge=0)
    """Which of the levels of theory that the model was trained on."""


class ConvertedMACE(Adapter):
    """Energies of the atoms ``[N, 1]``, eV, without the reference energies, which are the potential's."""

    config: ConvertedMACEConfig

    def __init__(self, config: ConvertedMACEConfig) -> None:
        super().__init__()
        self.config = config
        self.index_elements(config.species)
        with building():
            self.network = build_mace(config.options)
        self.network.get_buffer("atomic_energies_fn.atomic_energies").zero_()
        self.keep_constants()
        self.to(torch.get_default_dtype())

    @property
    def linear_readout(self) -> bool:
        return True

    def forward(self, graph: Graph) -> Features:
        """Energies of the atoms."""
        dtype = next(self.parameters()).dtype
        results = self.network(mace_inputs(graph, self.element_index(graph.atomic_numbers), len(self.config.species),
                                           self.config.head, dtype), compute_force=False)  # fmt: skip
        return Features(scalar=results["node_energy"].to(dtype).unsqueeze(1))


def build_mace(options: dict[str, Any]) -> nn.Module:
    """mace's model of these options, with fresh weights.

    Raises:
        ValueError: an option that names nothing in mace.
    """
    modules = required("mace.modules", model="converted-mace", extra="mace")
    irreps = required("e3nn.o3", model="converted-mace", extra="mace").Irreps
    arguments = dict(options)
    for key, known in (
        ("interaction_cls", modules.interaction_classes), ("interaction_cls_first", modules.interaction_classes),
        ("readout_cls", modules.readout_classes), ("gate", modules.gate_dict),
    ):  # fmt: skip
        if str(options[key]) not in known:
            raise ValueError(f"the model's `{key}` is {options[key]!r}, which mace does not have; it has {', '.join(known)}")
        arguments[key] = known[str(options[key])]
    arguments |= {key: irreps(options[key]) for key in IRREPS if options.get(key) is not None}
    arguments |= {key: np.array(options[key], dtype=np.float64) for key in ARRAYS}
    return modules.ScaleShiftMACE(**arguments)


def mace_inputs(graph: Graph, types: Tensor, num_elements: int, head: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What mace's models read. All atoms are at the origin and the shifts are the vectors between them, so that differences
    of positions keep the digits that positions have."""
    zeros = torch.zeros(graph.num_atoms, 3, dtype=dtype, device=graph.positions.device)
    sizes = torch.bincount(graph.batch, minlength=graph.num_graphs)
    vectors = -graph.edge_vectors(dtype)
    return {
        "positions": zeros, "shifts": vectors, "unit_shifts": torch.zeros_like(vectors),
        "cell": zeros.new_zeros(3 * graph.num_graphs, 3), "edge_index": graph.edge_index.flip(0), "batch": graph.batch,
        "node_attrs": nn.functional.one_hot(types, num_elements).to(dtype),
        "ptr": torch.cat((sizes.new_zeros(1), sizes.cumsum(0))),
        "head": torch.full((graph.num_graphs,), head, device=graph.batch.device),
    }  # fmt: skip
