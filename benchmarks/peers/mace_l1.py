"""MACE with 128x0e + 128x1o features, 2 layers, correlation 3, l up to 3 (MACE's defaults)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from mace.calculators import MACECalculator
from mace.data import AtomicData, config_from_atoms
from mace.modules import ScaleShiftMACE, interaction_classes
from mace.tools import torch_geometric
from mace.tools.torch_tools import default_dtype
from mace.tools.utils import AtomicNumberTable
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, SPECIES, Labelled, Peer, Predict, run

AVERAGE_NEIGHBORS = 20.0


def build_model() -> nn.Module:
    """The model, always with the same weights."""
    from e3nn import o3  # after mace, which lets it load its constants

    torch.manual_seed(0)
    interaction = interaction_classes["RealAgnosticResidualInteractionBlock"]
    with default_dtype(torch.float32):
        return ScaleShiftMACE(
            r_max=CUTOFF, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, interaction_cls=interaction,
            interaction_cls_first=interaction, num_interactions=2, num_elements=len(SPECIES),
            hidden_irreps=o3.Irreps("128x0e + 128x1o"), MLP_irreps=o3.Irreps("16x0e"), gate=nn.functional.silu,
            atomic_energies=np.zeros(len(SPECIES)), avg_num_neighbors=AVERAGE_NEIGHBORS, atomic_numbers=list(SPECIES),
            correlation=3, radial_MLP=[64, 64, 64], radial_type="bessel", atomic_inter_scale=1.0, atomic_inter_shift=0.0,
        )  # fmt: skip


def calculator(mode: str, atoms: Atoms) -> Calculator:
    """MACE's calculator."""
    compile_mode = "default" if mode == "compiled" else None
    return MACECalculator(models=build_model(), device="cpu", default_dtype="float32", compile_mode=compile_mode)


def training(mode: str, batches: list[list[Labelled]]) -> tuple[nn.Module, Predict]:
    """Predictions for batches whose neighbours are known."""
    model = build_model().train()
    table = AtomicNumberTable(list(SPECIES))
    inputs = []
    with default_dtype(torch.float32):
        for batch in batches:
            frames = [AtomicData.from_config(config_from_atoms(each.atoms), z_table=table, cutoff=CUTOFF) for each in batch]
            inputs.append(torch_geometric.Batch.from_data_list(frames).to_dict())

    def predict(index: int) -> tuple[Tensor, Tensor]:
        found = model(dict(inputs[index]), training=True)
        return found["energy"], found["forces"]

    return model, predict


if __name__ == "__main__":
    run(Peer("mace-torch", "MACE 128x0e+128x1o", calculator, training, modes=("eager", "compiled")))
