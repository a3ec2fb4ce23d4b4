"""Our ET with the weights of TorchMD-Net's gives TorchMD-Net's energies and forces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Edges, Structure, assert_same, batch
from .weights import load_torchmdnet_et

pytest.importorskip("torchmdnet", reason="TorchMD-Net is not installed: run `make test-peers`")

from torchmdnet.models.model import create_model

FEATURES, LAYERS, HEADS, RADIAL = 128, 6, 8, 50
pytestmark = pytest.mark.filterwarnings("ignore:Skipping gradients")  # of the lone atom, whose vectors are zero


@pytest.fixture(params=[False, True], ids=["values fade", "vectors fade"])
def vector_cutoff(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(autouse=True)
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """TorchMD-Net's ET makes its intermediate tensors in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def reference(vector_cutoff: bool, dtype: torch.dtype) -> nn.Module:
    """TorchMD-Net's ET with the defaults of its class, and biases that count."""
    torch.manual_seed(0)
    model = create_model(
        dict(
            model="equivariant-transformer", embedding_dimension=FEATURES, num_layers=LAYERS, num_heads=HEADS,
            num_rbf=RADIAL, rbf_type="expnorm", trainable_rbf=True, activation="silu", attn_activation="silu",
            neighbor_embedding=True, distance_influence="both", cutoff_lower=0.0, cutoff_upper=CUTOFF, max_z=100,
            max_num_neighbors=64, vector_cutoff=vector_cutoff, output_model="Scalar", reduce_op="sum",
            precision=64 if dtype == torch.float64 else 32, derivative=True, prior_model=None, atom_filter=-1,
        )
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model.to(dtype).eval()


def ours(peer: nn.Module, vector_cutoff: bool, dtype: torch.dtype) -> Potential:
    config = model_config(
        "et", num_features=FEATURES, num_layers=LAYERS, num_heads=HEADS, num_radial=RADIAL, cutoff=CUTOFF,
        radial="expnorm", envelope="cosine", vector_cutoff=vector_cutoff, norm_epsilon=1e-24,
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES).to(dtype).eval()
    load_torchmdnet_et(potential, peer)
    radial = peer.representation_model.distance_expansion
    torch.testing.assert_close(radial.means, potential.model.radial.centres, rtol=1e-6, atol=1e-7)
    assert radial.betas.detach().numpy() == pytest.approx(potential.model.radial.beta, rel=1e-6)
    with torch.no_grad():  # the peer's constants were rounded to float32 before they were cast
        radial.means.copy_(potential.model.radial.centres)
        radial.betas.fill_(potential.model.radial.beta)
    return potential


def expected(peer: nn.Module, structures: list[Structure], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies ``[B]`` and forces ``[N, 3]`` of the peer, which finds the neighbours itself."""
    atoms, cell = Edges(structures), structures[0].cell
    box = None if cell is None else torch.from_numpy(cell).to(dtype)
    energy, forces = peer(atoms.numbers, atoms.positions.to(dtype), atoms.batch, box=box)
    return energy[:, 0], forces


def test_molecules_have_the_energies_and_forces_of_torchmdnet(
    frames: list[Structure], vector_cutoff: bool, dtype: torch.dtype
) -> None:
    peer = reference(vector_cutoff, dtype)
    potential = ours(peer, vector_cutoff, dtype)
    assert_same(potential(batch(frames)), *expected(peer, frames, dtype), dtype)


def test_crystals_have_the_energies_and_forces_of_torchmdnet(
    crystal: Structure, vector_cutoff: bool, dtype: torch.dtype
) -> None:
    peer = reference(vector_cutoff, dtype)
    potential = ours(peer, vector_cutoff, dtype)
    assert_same(potential(batch([crystal])), *expected(peer, [crystal], dtype), dtype)
