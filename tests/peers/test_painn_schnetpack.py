"""Our PaiNN with the weights of SchNetPack's gives SchNetPack's energies and forces."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from torch import nn

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Structure, assert_same, batch
from .weights import load_schnetpack

pytest.importorskip("schnetpack", reason="SchNetPack is not installed: run `make test-peers`")

import schnetpack as spk
from schnetpack import properties

FEATURES, LAYERS, RADIAL = 64, 3, 20


def reference(dtype: torch.dtype) -> nn.Module:
    """SchNetPack's PaiNN as its users build it, with biases that count."""
    torch.manual_seed(0)
    painn = spk.representation.PaiNN(
        n_atom_basis=FEATURES,
        n_interactions=LAYERS,
        radial_basis=spk.nn.GaussianRBF(n_rbf=RADIAL, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )
    model = spk.model.NeuralNetworkPotential(
        painn,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model.to(dtype).eval()


def ours(peer: nn.Module, dtype: torch.dtype) -> Potential:
    config = model_config(
        "painn", num_features=FEATURES, num_layers=LAYERS, num_radial=RADIAL, cutoff=CUTOFF,
        radial="gaussian", envelope="cosine",
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES).to(dtype).eval()
    load_schnetpack(potential, peer)
    if dtype == torch.float64:  # the peer's constants were rounded to float32 before they were cast
        radial = peer.representation.radial_basis
        torch.testing.assert_close(radial.offsets, potential.model.radial.centres, rtol=1e-6, atol=0)
        assert radial.widths.numpy() == pytest.approx(potential.model.radial.width, rel=1e-6)
        radial.offsets.copy_(potential.model.radial.centres)
        radial.widths.fill_(potential.model.radial.width)
    return potential


def inputs(structures: list[Structure], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A batch for SchNetPack, its neighbours found by ASE."""
    centre, neighbor, offsets, first = [], [], [], 0
    for structure in structures:
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.cell is not None)
        i, j, shift = neighbor_list("ijS", atoms, CUTOFF)
        centre.append(torch.from_numpy(i) + first)
        neighbor.append(torch.from_numpy(j) + first)
        offsets.append(torch.from_numpy(shift @ atoms.cell.array))
        first += len(atoms)
    counts = torch.tensor([len(structure.numbers) for structure in structures])
    return {
        properties.Z: torch.cat([torch.from_numpy(structure.numbers) for structure in structures]),
        properties.R: torch.cat([torch.from_numpy(structure.positions) for structure in structures]).to(dtype),
        properties.idx_i: torch.cat(centre),
        properties.idx_j: torch.cat(neighbor),
        properties.offsets: torch.cat(offsets).to(dtype),
        properties.idx_m: torch.repeat_interleave(torch.arange(len(structures)), counts),
        properties.n_atoms: counts,
    }


def test_molecules_have_the_energies_and_forces_of_schnetpack(frames: list[Structure], dtype: torch.dtype) -> None:
    peer = reference(dtype)
    potential = ours(peer, dtype)
    expected = peer(inputs(frames, dtype))
    assert_same(potential(batch(frames)), expected["energy"], expected["forces"], dtype)


def test_crystals_have_the_energies_and_forces_of_schnetpack(crystal: Structure, dtype: torch.dtype) -> None:
    peer = reference(dtype)
    potential = ours(peer, dtype)
    expected = peer(inputs([crystal], dtype))
    assert_same(potential(batch([crystal])), expected["energy"], expected["forces"], dtype)
