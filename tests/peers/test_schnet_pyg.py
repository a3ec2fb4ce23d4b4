"""Our SchNet with the weights of torch_geometric's gives torch_geometric's energies and forces."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mlff.models import model_config
from mlff.models.schnet import ShiftedSoftplus
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Edges, Structure, assert_same, batch
from .weights import load_pyg_schnet

pytest.importorskip("torch_geometric", reason="torch_geometric is not installed: run `make test-peers`")

from torch_geometric.nn.models import SchNet

FEATURES, LAYERS, RADIAL = 64, 6, 50


def reference(dtype: torch.dtype) -> nn.Module:
    """torch_geometric's SchNet with its own settings but the cutoff, and biases that count."""
    torch.manual_seed(0)
    model = SchNet(hidden_channels=FEATURES, num_filters=FEATURES, num_interactions=LAYERS, num_gaussians=RADIAL, cutoff=CUTOFF)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model.to(dtype).eval()


def ours(peer: nn.Module, dtype: torch.dtype) -> Potential:
    """Our potential; its head has the peer's activation here, which is the one difference to what users get."""
    config = model_config(
        "schnet", num_features=FEATURES, num_layers=LAYERS, num_radial=RADIAL, cutoff=CUTOFF, envelope="cosine"
    )
    potential = Potential.build(config, species=SPECIES).to(dtype).eval()
    potential.head.network[1] = ShiftedSoftplus()
    load_pyg_schnet(potential, peer)
    if dtype == torch.float64:  # the peer's constants were rounded to float32 before they were cast
        smearing, radial = peer.distance_expansion, potential.model.radial
        torch.testing.assert_close(smearing.offset, radial.centres, rtol=1e-6, atol=0)
        assert smearing.coeff == pytest.approx(-0.5 / radial.width**2, rel=1e-6)
        smearing.offset.copy_(radial.centres)
        smearing.coeff = -0.5 / radial.width**2
        for module in peer.modules():
            if hasattr(module, "shift"):
                module.shift = math.log(2.0)
    return potential


class GivenNeighbors(nn.Module):
    """Edges and their distances, in place of torch_geometric's search."""

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        self.edges = edges

    def forward(self, positions: torch.Tensor, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.edges.index, self.edges.vectors(positions).norm(dim=1)


def expected(peer: nn.Module, structures: list[Structure], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies ``[B]`` and forces ``[N, 3]`` of the peer, which is given the neighbours: its own list has no cells."""
    edges = Edges(structures)
    peer.interaction_graph = GivenNeighbors(edges)
    positions = edges.positions.to(dtype).requires_grad_(True)
    energy = peer(edges.numbers, positions, edges.batch)[:, 0]
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    return energy, -gradient


def test_molecules_have_the_energies_and_forces_of_torch_geometric(frames: list[Structure], dtype: torch.dtype) -> None:
    peer = reference(dtype)
    potential = ours(peer, dtype)
    assert_same(potential(batch(frames)), *expected(peer, frames, dtype), dtype)


def test_crystals_have_the_energies_and_forces_of_torch_geometric(crystal: Structure, dtype: torch.dtype) -> None:
    peer = reference(dtype)
    potential = ours(peer, dtype)
    assert_same(potential(batch([crystal])), *expected(peer, [crystal], dtype), dtype)
