"""NequIP with l = 1: 64 features, 3 layers, no odd scalars; eager, and compiled by NequIP's own means.

Compiled is ahead of time by AOTInductor for MD (what `nequip-compile --mode aotinductor --target ase` does) and NequIP's
train-time compilation for training. The package that AOTInductor makes is kept in build/peers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from nequip.data import AtomicDataDict, from_ase
from nequip.integrations.ase import NequIPCalculator
from nequip.integrations.utils import basic_transforms
from nequip.model import NequIPGNNModel
from nequip.scripts._compile_utils import ASE_TARGET
from nequip.utils.global_state import set_global_state
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import COMPILED, CUTOFF, SYMBOLS, Labelled, Peer, Predict, run
from mlff.benchmarks.machine import versions
from mlff.benchmarks.systems import benchmark_system

FEATURES, LAYERS = 64, 3
AVERAGE_NEIGHBORS = 20.0
MOST = 2**20
"""Bound of the numbers of atoms and of edges of compiled code."""


def build_model(compile_mode: str = "eager") -> nn.Module:
    """The model, always with the same weights."""
    set_global_state(allow_tf32=False)
    return NequIPGNNModel(
        seed=0, model_dtype="float32", r_max=CUTOFF, type_names=list(SYMBOLS), l_max=1, num_layers=LAYERS, parity=False,
        num_features=FEATURES, avg_num_neighbors=AVERAGE_NEIGHBORS, per_type_energy_scales=1.0, per_type_energy_shifts=0.0,
        compile_mode=compile_mode,
    )  # fmt: skip


def transforms(model: nn.Module) -> list:
    """What NequIP does to a structure before the model sees it: types, neighbours."""
    return basic_transforms(model.metadata, CUTOFF, list(SYMBOLS), {symbol: symbol for symbol in SYMBOLS})


def data_of(atoms: Atoms, steps: list) -> AtomicDataDict.Type:
    data = from_ase(atoms)
    for step in steps:
        data = step(data)
    return data


def calculator(mode: str, atoms: Atoms) -> Calculator:
    """NequIP's calculator with the model or its compiled package."""
    model = build_model().eval().requires_grad_(False)
    if mode == "compiled":
        return NequIPCalculator.from_compiled_model(str(_package(model)), chemical_species_to_atom_type_map=True)
    return NequIPCalculator(model, "cpu", transforms=transforms(model))


def _package(model: nn.Module) -> Path:
    """The compiled package, made where there is none of these versions."""
    from nequip.scripts.compile import _AOT_METADATA_KEY
    from nequip.utils.aot import aot_export_model
    from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
    from nequip.utils.global_state import get_latest_global_state

    known = versions()
    path = COMPILED / f"nequip-{known['nequip']}-torch-{known['torch']}.nequip.pt2"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ASE_TARGET["data_settings"](data_of(benchmark_system("water-192"), transforms(model)))
    sizes = {name: torch.export.Dim(f"num_{name}s", min=2, max=MOST) for name in ("node", "edge")}
    metadata = model.metadata | get_latest_global_state(only_metadata_related=True)
    metadata = {key: str(int(value)) if isinstance(value, bool) else str(value) for key, value in metadata.items()}
    metadata[NEQUIP_AOTI_INPUTS_KEY] = serialize_aoti_keys(ASE_TARGET["input"])
    metadata[NEQUIP_AOTI_OUTPUTS_KEY] = serialize_aoti_keys(ASE_TARGET["output"])
    aside = path.with_name(f"partial-{path.name}")
    aot_export_model(
        model, "cpu", ASE_TARGET["input"], ASE_TARGET["output"], data,
        ASE_TARGET["batch_map_settings"](sizes | {"graph": torch.export.Dim.STATIC}), str(aside),
        inductor_configs={_AOT_METADATA_KEY: metadata},
    )  # fmt: skip
    return aside.rename(path)


def training(mode: str, batches: list[list[Labelled]]) -> tuple[nn.Module, Predict]:
    """Predictions for batches whose neighbours are known."""
    model = build_model("compile" if mode == "compiled" else "eager").train()
    steps = transforms(model)
    inputs = [AtomicDataDict.batched_from_list([data_of(each.atoms, steps) for each in batch]) for batch in batches]

    def predict(index: int) -> tuple[Tensor, Tensor]:
        found = model(dict(inputs[index]))
        return found[AtomicDataDict.TOTAL_ENERGY_KEY][:, 0], found[AtomicDataDict.FORCE_KEY]

    return model, predict


if __name__ == "__main__":
    run(Peer("nequip", "NequIP l=1", calculator, training, modes=("eager", "compiled")))
