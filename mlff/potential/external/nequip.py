"""Trained models of nequip and of its extension Allegro."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from mlff.graph import Graph
from mlff.models.adapter import required
from mlff.models.converted_nequip import BUILDERS, ConvertedNequIPConfig
from mlff.models.nequip import nequip_state
from mlff.potential.external.convert import Trained

SHIFTS = "network.per_type_energy_scale_shift.shifts"


def read(path: Path, head: str | None) -> Trained:
    """Unpickle a model.

    Args:
        path: ``.ckpt`` of ``nequip-train`` (its averaged weights are taken where it kept an average) or ``.nequip.zip`` of
            ``nequip-package``.
        head: must be None; these models have one level of theory.

    Raises:
        ValueError: no such file, a model whose types are no elements, or one made of other parts than nequip's and Allegro's.
    """
    if head is not None:
        raise ValueError(f"models of nequip have one level of theory; leave --head {head} out")
    with nequip_state():
        model, options = (_package if path.name.endswith(".nequip.zip") else _checkpoint)(path)
        if options.get("_target_") not in BUILDERS:
            raise ValueError(f"the model in `{path}` is built by `{options.get('_target_')}`; only those of "
                             f"{', '.join(BUILDERS)} can be taken")
        numbers = [_atomic_number(name, path) for name in model.type_names]
    dtype = model.model_dtype
    energy_model = model.model.func
    tensors = {f"network.{name}": value for name, value in energy_model.state_dict().items()}
    shifts = tensors[SHIFTS].double().flatten()
    energies = shifts if len(shifts) == len(numbers) else shifts.sum() * torch.ones(len(numbers))  # one for all, or none
    tensors[SHIFTS] = torch.zeros_like(tensors[SHIFTS])
    config = ConvertedNequIPConfig(
        cutoff=float(options["r_max"]), species=tuple(numbers), types=tuple(numbers), options=options
    )
    atomic_energies = {z: float(energy) for z, energy in sorted(zip(numbers, energies))}
    return Trained(config, atomic_energies, tensors, dtype, _reference(model, numbers))


def _checkpoint(path: Path) -> tuple[Any, dict[str, Any]]:
    saved = required("nequip.model.saved_models", model="converted-nequip", extra="nequip")
    container = required("omegaconf", model="converted-nequip", extra="nequip").OmegaConf
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)["hyper_parameters"]["model"]
        models = saved.ModelFromCheckpoint(str(path))
    except Exception as error:  # whatever a pickle, or nequip on opening it, can raise
        raise ValueError(f"`{path}` cannot be opened as a checkpoint of nequip-train: {error}") from error
    options = container.to_container(found, resolve=True) if container.is_config(found) else found
    return _only(models, path), dict(options)


def _package(path: Path) -> tuple[Any, dict[str, Any]]:
    saved = required("nequip.model.saved_models", model="converted-nequip", extra="nequip")
    try:
        models = saved.ModelFromPackage(str(path))
        text = torch.package.PackageImporter(str(path)).load_text("model", "config.yaml")
        options = yaml.safe_load(text)["training_module"]["model"]
    except Exception as error:
        raise ValueError(f"`{path}` cannot be opened as a package of nequip-package: {error}") from error
    return _only(models, path), dict(options)


def _only(models: Any, path: Path) -> Any:
    if len(models) != 1:
        raise ValueError(f"`{path}` holds {len(models)} models ({', '.join(models)}); only one can be taken")
    return next(iter(models.values())).eval()


def _atomic_number(name: str, path: Path) -> int:
    """Of a type's name, which is an element's symbol wherever a structure alone decides the types."""
    numbers = required("nequip.data.misc", model="converted-nequip", extra="nequip").chemical_symbols_to_atomic_numbers_dict
    if name not in numbers:
        raise ValueError(f"the model in `{path}` has a type {name!r}, which is no element: types that a structure does not "
                         f"tell cannot be given here")
    return numbers[name]


def _reference(model: Any, numbers: list[int]) -> Callable[[Graph], tuple[Tensor, Tensor]]:
    types = {z: place for place, z in enumerate(numbers)}

    def reference(graph: Graph) -> tuple[Tensor, Tensor]:
        data = {
            "pos": graph.positions.double(), "edge_index": graph.edge_index, "batch": graph.batch,
            "atom_types": torch.tensor([types[z] for z in graph.atomic_numbers.tolist()]),
            "num_atoms": torch.bincount(graph.batch),
        }  # fmt: skip
        if graph.cell is not None and graph.pair_shifts is not None:
            data |= {"cell": graph.cell, "edge_cell_shift": torch.cat((graph.pair_shifts, -graph.pair_shifts))}
        results = model(data)
        return results["total_energy"].detach()[:, 0], results["forces"].detach()

    return reference
