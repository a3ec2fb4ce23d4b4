"""Our ViSNet with the weights of torch_geometric's gives torch_geometric's energies and forces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Edges, Structure, assert_same, batch
from .weights import load_pyg_visnet

pytest.importorskip("torch_geometric", reason="torch_geometric is not installed: run `make test-peers`")

from torch_geometric.nn.models import ViSNet

FEATURES, LAYERS, HEADS, RADIAL = 128, 6, 8, 32


@pytest.fixture(params=[1, 2], ids=["vectors", "degree 2"])
def lmax(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(autouse=True)
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch_geometric's ViSNet converts some factors to the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


class GivenNeighbors(nn.Module):
    """Edges, distances and vectors, self-loops among them, in place of torch_geometric's search, which knows no cells."""

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        self.edges = edges

    def forward(self, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors = self.edges.vectors(positions)
        distances = vectors.norm(dim=1)
        atoms = torch.arange(len(positions)).expand(2, -1)
        zeros = positions.new_zeros(len(positions), 3)
        return (
            torch.cat((self.edges.index, atoms), dim=1),
            torch.cat((distances, zeros[:, 0])),
            torch.cat((vectors, zeros)),
        )


def reference(lmax: int, dtype: torch.dtype) -> nn.Module:
    """torch_geometric's ViSNet with its defaults, and biases that count."""
    torch.manual_seed(0)
    model = ViSNet(
        lmax=lmax, num_heads=HEADS, num_layers=LAYERS, hidden_channels=FEATURES, num_rbf=RADIAL, cutoff=CUTOFF
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model.to(dtype).eval()


def ours(peer: nn.Module, lmax: int, dtype: torch.dtype) -> Potential:
    config = model_config(
        "visnet", num_features=FEATURES, num_layers=LAYERS, num_heads=HEADS, num_radial=RADIAL, cutoff=CUTOFF, lmax=lmax,
        radial="expnorm", envelope="cosine", vector_cutoff=False, norm_epsilon=1e-24,
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES).to(dtype).eval()
    load_pyg_visnet(potential, peer)
    radial = peer.representation_model.distance_expansion
    torch.testing.assert_close(radial.means, potential.model.radial.centres, rtol=1e-6, atol=1e-7)
    assert radial.betas.numpy() == pytest.approx(potential.model.radial.beta, rel=1e-6)
    radial.means.copy_(potential.model.radial.centres)  # the peer's constants were rounded to float32
    radial.betas.fill_(potential.model.radial.beta)
    return potential


def expected(peer: nn.Module, structures: list[Structure], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Energies ``[B]`` and forces ``[N, 3]`` of the peer."""
    edges = Edges(structures)
    peer.representation_model.distance = GivenNeighbors(edges)
    positions = edges.positions.to(dtype).requires_grad_(True)
    energy = peer(edges.numbers, positions, edges.batch)[0][:, 0]
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    return energy, -gradient


def test_molecules_have_the_energies_and_forces_of_torch_geometric(
    frames: list[Structure], lmax: int, dtype: torch.dtype
) -> None:
    peer = reference(lmax, dtype)
    potential = ours(peer, lmax, dtype)
    assert_same(potential(batch(frames)), *expected(peer, frames, dtype), dtype)


def test_crystals_have_the_energies_and_forces_of_torch_geometric(crystal: Structure, lmax: int, dtype: torch.dtype) -> None:
    peer = reference(lmax, dtype)
    potential = ours(peer, lmax, dtype)
    assert_same(potential(batch([crystal])), *expected(peer, [crystal], dtype), dtype)
