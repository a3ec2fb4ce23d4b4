"""TorchMD-Net's models in its own ASE calculator, and in training.

Compiled is the calculator's own mode: torch.compile of the energy with static shapes, for which the list of neighbours has
room for as many pairs as `max_num_neighbors` says. It is given those of the start and a tenth more, since every empty place is
computed, too. Its training offers no compilation.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list
from torch import Tensor, nn
from torchmdnet.calculators import TMDNETCalculator
from torchmdnet.models.model import create_model

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, Labelled, Peer, Predict

MOST_NEIGHBORS = 96
"""Water has 53 within 5 angstrom on average; the default of 64 could be too few for an atom."""
ROOM = 1.1
"""Places in the list of static shapes for each pair at the start."""
SHARED = {
    "trainable_rbf": False, "activation": "silu", "cutoff_lower": 0.0, "cutoff_upper": CUTOFF, "max_z": 128,
    "max_num_neighbors": MOST_NEIGHBORS, "output_model": "Scalar", "reduce_op": "sum", "precision": 32, "derivative": True,
    "prior_model": None, "atom_filter": -1, "remove_ref_energy": False, "static_shapes": False,
}  # fmt: skip


def build_model(settings: dict[str, Any]) -> nn.Module:
    """The model of these settings, always with the same weights."""
    torch.manual_seed(0)
    return create_model(SHARED | settings)


def static_neighbors(atoms: Atoms) -> int:
    """Places an atom in a list of static shapes; TensorNet counts the atom itself."""
    return math.ceil(ROOM * (1 + len(neighbor_list("i", atoms, CUTOFF)) / len(atoms)))


def torchmdnet_peer(model: str, settings: dict[str, Any], **options: Any) -> Peer:
    """A model of TorchMD-Net's with these settings on top of those that all have."""

    def calculator(mode: str, atoms: Atoms) -> Calculator:
        compiled = mode == "compiled"
        atoms.info["charge"] = 0.0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.ckpt"
            weights = {f"model.{name}": value for name, value in build_model(settings).state_dict().items()}
            torch.save({"hyper_parameters": SHARED | settings, "state_dict": weights}, path)
            neighbors = static_neighbors(atoms) if compiled else MOST_NEIGHBORS
            return TMDNETCalculator(str(path), remove_ref_energy=False, max_num_neighbors=neighbors, compile=compiled)

    def training(mode: str, batches: list[list[Labelled]]) -> tuple[nn.Module, Predict]:
        network = build_model(settings).train()
        inputs = []
        for batch in batches:
            numbers = torch.cat([torch.tensor(each.atoms.numbers) for each in batch])
            positions = torch.cat([torch.tensor(each.atoms.positions, dtype=torch.float32) for each in batch])
            counts = torch.tensor([len(each.atoms) for each in batch])
            inputs.append((numbers, positions, torch.repeat_interleave(torch.arange(len(batch)), counts)))

        def predict(index: int) -> tuple[Tensor, Tensor]:
            energy, forces = network(*inputs[index])
            return energy[:, 0], forces

        return network, predict

    return Peer("torchmd-net", model, calculator, training, **options)
