"""Our PaiNN with the weights of SchNetPack's gives SchNetPack's energies and forces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Edges, Structure, assert_same, batch
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
    edges = Edges(structures)
    return {
        properties.Z: edges.numbers,
        properties.R: edges.positions.to(dtype),
        properties.idx_i: edges.index[1],
        properties.idx_j: edges.index[0],
        properties.offsets: edges.offsets.to(dtype),
        properties.idx_m: edges.batch,
        properties.n_atoms: edges.counts,
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
