"""Trained models of mace-torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlff.graph import Graph
from mlff.models.adapter import required
from mlff.models.converted_mace import ARRAYS, IRREPS, ConvertedMACEConfig, mace_inputs
from mlff.potential.external.convert import Trained


def read(path: Path, head: str | None) -> Trained:
    """Unpickle a model.

    Args:
        path: what ``mace_run_train`` writes (``NAME.model``), or a foundation model.
        head: the level of theory; may be left out where there is one.

    Raises:
        ValueError: not a ScaleShiftMACE, one with inputs beside a structure, or no such head.
    """
    required("mace.modules", model="converted-mace", extra="mace")
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever a pickle can raise
        raise ValueError(f"`{path}` cannot be opened as a model of mace-torch: {error}") from error
    kind = type(model).__name__
    if kind != "ScaleShiftMACE":
        raise ValueError(f"`{path}` holds a {kind}; only a ScaleShiftMACE, whose energy is a sum over atoms, can be taken: "
                         f"NAME.model, not NAME_compiled.model, and not the checkpoints of the training, which hold no model")
    heads = list(getattr(model, "heads", None) or ["Default"])
    index = chosen_head(heads, head)
    numbers = [int(z) for z in model.atomic_numbers]
    options = json_options(model, path)
    energies = torch.atleast_2d(model.atomic_energies_fn.atomic_energies)[index].double()
    dtype = next(model.parameters()).dtype
    config = ConvertedMACEConfig(
        cutoff=float(model.r_max), species=tuple(numbers), average_neighbors=options["avg_num_neighbors"], options=options,
        head=index,
    )  # fmt: skip
    if sorted(numbers) != numbers:
        raise ValueError(f"the elements in `{path}` are not in ascending order: {numbers}")
    types = {z: place for place, z in enumerate(numbers)}

    def reference(graph: Graph) -> tuple[Tensor, Tensor]:
        kinds = torch.tensor([types[z] for z in graph.atomic_numbers.tolist()])
        inputs = mace_inputs(graph, kinds, len(numbers), index, dtype)
        shifts = graph.edge_vectors(dtype) - _differences(graph, dtype)
        inputs |= {"positions": graph.positions.to(dtype).clone(), "shifts": -shifts}
        results = model.eval()(inputs)
        return results["energy"].detach(), results["forces"].detach()

    tensors = {f"network.{name}": value for name, value in model.state_dict().items()}
    tensors["network.atomic_energies_fn.atomic_energies"] = torch.zeros(len(heads), len(numbers), dtype=dtype)
    atomic_energies = {z: float(energy) for z, energy in zip(numbers, energies)}
    return Trained(config, atomic_energies, tensors, dtype, reference)


def _differences(graph: Graph, dtype: torch.dtype) -> Tensor:
    centre, neighbor = graph.edge_index
    positions = graph.positions.to(dtype)
    return positions[neighbor] - positions[centre]


def chosen_head(heads: list[str], head: str | None) -> int:
    """The place of the head asked for, or of the only one."""
    if head is None and len(heads) > 1:
        raise ValueError(f"the model has the heads {', '.join(heads)}; choose one with --head")
    if head is not None and head not in heads:
        raise ValueError(f"the model has no head {head!r}; it has {', '.join(heads)}")
    return 0 if head is None else heads.index(head)


def json_options(model: Any, path: Path) -> dict[str, Any]:
    """The arguments that made a model, as JSON values."""
    found = required("mace.tools.scripts_utils", model="converted-mace", extra="mace").extract_config_mace_model(model)
    gates = required("mace.modules", model="converted-mace", extra="mace").gate_dict
    if found.get("cueq_config") is not None:
        raise ValueError(f"`{path}` was converted for cuEquivariance; convert it back first: mace_cueq_to_e3nn")
    if found.get("embedding_specs"):
        raise ValueError(f"the model in `{path}` reads {', '.join(found['embedding_specs'])} beside the structure, which "
                         f"cannot be given")
    for key in ("cueq_config", "embedding_specs", "use_embedding_readout"):
        found.pop(key, None)
    options = dict(found)
    for key in ("interaction_cls", "interaction_cls_first", "readout_cls"):
        options[key] = options[key].__name__
    options |= {key: str(options[key]) for key in IRREPS if options[key] is not None}
    options |= {key: options[key].astype(float).tolist() for key in ARRAYS}
    names = [name for name, gate in gates.items() if gate is options["gate"]]
    if not names:
        raise ValueError(f"the model in `{path}` has an activation that mace does not name: {options['gate']}")
    options |= {
        "gate": names[0], "atomic_numbers": [int(z) for z in options["atomic_numbers"]], "heads": list(options["heads"]),
        "avg_num_neighbors": float(options["avg_num_neighbors"]), "distance_transform": str(options["distance_transform"]),
        "num_polynomial_cutoff": int(options["num_polynomial_cutoff"]), "radial_MLP": [int(n) for n in options["radial_MLP"]],
    }  # fmt: skip
    return options
