"""SchNetPack's PaiNN: 128 features, 3 layers, 20 Gaussians, cosine cutoff; the neighbour list of matscipy with a skin.

Scripted is TorchScript, as its own MD (`script_model`) and `spkdeploy` make it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import schnetpack as spk
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from schnetpack.interfaces.ase_interface import AtomsConverter, SpkCalculator
from schnetpack.transform import MatScipyNeighborList, SkinNeighborList
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers.peer import CUTOFF, SPECIES, Labelled, Peer, Predict, run

FEATURES, LAYERS, RADIAL = 128, 3, 20
SKIN = 1.0
"""Angstrom, as the default of mlff's calculator."""


def build_model() -> nn.Module:
    """The model as SchNetPack's users build it, always with the same weights."""
    torch.manual_seed(0)
    painn = spk.representation.PaiNN(
        n_atom_basis=FEATURES,
        n_interactions=LAYERS,
        radial_basis=spk.nn.GaussianRBF(n_rbf=RADIAL, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )
    return spk.model.NeuralNetworkPotential(
        painn,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )


def calculator(mode: str, atoms: Atoms) -> Calculator:
    """SchNetPack's calculator with its neighbour list for MD; the weights are frozen."""
    neighbors = SkinNeighborList(MatScipyNeighborList(CUTOFF), cutoff_skin=SKIN)
    model = build_model().eval().requires_grad_(False)
    if mode == "scripted":
        model = torch.jit.script(model)
    return SpkCalculator(model, neighbors, energy_unit="eV", position_unit="Ang", dtype=torch.float32)


def training(mode: str, batches: list[list[Labelled]]) -> tuple[nn.Module, Predict]:
    """Predictions of the model for batches that its converter made."""
    model = build_model().train()
    convert = AtomsConverter(MatScipyNeighborList(CUTOFF), dtype=torch.float32)
    inputs = [convert([each.atoms for each in batch]) for batch in batches]

    def predict(index: int) -> tuple[Tensor, Tensor]:
        found = model(dict(inputs[index]))
        return found["energy"], found["forces"]

    return model, predict


def save_ours(folder: Path) -> None:
    """mlff's PaiNN with these weights, SchNetPack's basis and cutoff."""
    from mlff import Potential, save_potential
    from mlff.models import model_config
    from tests.peers.weights import load_schnetpack

    config = model_config(
        "painn", num_features=FEATURES, num_layers=LAYERS, num_radial=RADIAL, cutoff=CUTOFF,
        radial="gaussian", envelope="cosine",
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES)
    load_schnetpack(potential, build_model())
    save_potential(potential, folder)


if __name__ == "__main__":
    run(Peer("schnetpack", "PaiNN", calculator, training, modes=("eager", "scripted"), save_ours=save_ours))
