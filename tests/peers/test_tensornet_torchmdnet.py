"""Our TensorNet with the weights of TorchMD-Net's gives TorchMD-Net's energies and forces."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from mlff.models import model_config
from mlff.potential.potential import Potential

from .structures import CUTOFF, SPECIES, Structure, assert_same, batch
from .weights import load_torchmdnet

pytest.importorskip("torchmdnet", reason="TorchMD-Net is not installed: run `make test-peers`")

from torchmdnet.models import tensornet
from torchmdnet.models.model import create_model

FEATURES, LAYERS, RADIAL = 64, 2, 32
Group = Literal["O(3)", "SO(3)"]


@pytest.fixture(params=["O(3)", "SO(3)"])
def group(request: pytest.FixtureRequest) -> Group:
    return request.param


@pytest.fixture(autouse=True)
def exact_operations(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """In float64, TorchMD-Net's plain operations: its compiled ones hold 1/3 rounded to float32 (3e-8)."""
    if dtype == torch.float64:
        monkeypatch.setattr(tensornet, "OPT", False)
        for name in ("compose_tensor", "decompose_tensor", "tensor_matmul_o3", "tensor_matmul_so3"):
            monkeypatch.setattr(tensornet, name, getattr(tensornet, f"_{name}"))


def reference(group: Group, dtype: torch.dtype) -> nn.Module:
    """TorchMD-Net's TensorNet with its own settings, and biases that count."""
    torch.manual_seed(0)
    model = create_model(
        dict(
            model="tensornet", embedding_dimension=FEATURES, num_layers=LAYERS, num_rbf=RADIAL, rbf_type="expnorm",
            trainable_rbf=False, activation="silu", cutoff_lower=0.0, cutoff_upper=CUTOFF, max_z=128,
            max_num_neighbors=64, equivariance_invariance_group=group, output_model="Scalar", reduce_op="sum",
            precision=64 if dtype == torch.float64 else 32, derivative=True, prior_model=None, atom_filter=-1,
        )
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
        elif "linears_tensor" in name:
            parameter.data *= 3.0  # fresh weights hardly mix the parts: the products would not be tested
    return model.to(dtype).eval()


def ours(peer: nn.Module, group: Group, dtype: torch.dtype) -> Potential:
    config = model_config(
        "tensornet", num_features=FEATURES, num_layers=LAYERS, num_radial=RADIAL, cutoff=CUTOFF, group=group,
        radial="expnorm", envelope="cosine", self_loops=True,
    )  # fmt: skip
    potential = Potential.build(config, species=SPECIES).to(dtype).eval()
    load_torchmdnet(potential, peer)
    if dtype == torch.float64:  # the peer's constants were rounded to float32 before they were cast
        radial = peer.representation_model.distance_expansion
        torch.testing.assert_close(radial.means, potential.model.radial.centres, rtol=1e-6, atol=1e-7)
        assert radial.betas.numpy() == pytest.approx(potential.model.radial.beta, rel=1e-6)
        radial.means.copy_(potential.model.radial.centres)
        radial.betas.fill_(potential.model.radial.beta)
    return potential


def expected(
    peer: nn.Module, structures: list[Structure], dtype: torch.dtype, mirrored: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies ``[B]`` and forces ``[N, 3]`` of the peer, which finds the neighbours itself."""
    sign = -1.0 if mirrored else 1.0
    numbers = torch.cat([torch.from_numpy(structure.numbers) for structure in structures])
    positions = torch.cat([torch.from_numpy(sign * structure.positions) for structure in structures]).to(dtype)
    counts = torch.tensor([len(structure.numbers) for structure in structures])
    cell = structures[0].cell
    box = None if cell is None else torch.from_numpy(cell).to(dtype)
    energy, forces = peer(numbers, positions, torch.repeat_interleave(torch.arange(len(structures)), counts), box=box)
    return energy[:, 0], sign * forces


def plain_so3(group: Group, dtype: torch.dtype) -> bool:
    """TorchMD-Net's plain operations give A the opposite sign of its compiled ones (and of the paper's r_j - r_i).

    O(3) energies do not depend on it; of the SO(3) ones it makes those of the mirror image.
    """
    return group == "SO(3)" and dtype == torch.float64


def test_molecules_have_the_energies_and_forces_of_torchmdnet(
    frames: list[Structure], group: Group, dtype: torch.dtype
) -> None:
    peer = reference(group, dtype)
    potential = ours(peer, group, dtype)
    assert_same(potential(batch(frames)), *expected(peer, frames, dtype, mirrored=plain_so3(group, dtype)), dtype)


def test_crystals_have_the_energies_and_forces_of_torchmdnet(
    crystal: Structure, group: Group, dtype: torch.dtype
) -> None:
    peer = reference(group, dtype)
    potential = ours(peer, group, dtype)
    assert_same(potential(batch([crystal])), *expected(peer, [crystal], dtype, mirrored=plain_so3(group, dtype)), dtype)


def test_the_comparison_of_so3_would_notice_the_order_of_the_products(frames: list[Structure]) -> None:
    peer = reference("SO(3)", torch.float64)
    there, mirrored = (expected(peer, frames, torch.float64, mirrored=mirrored)[1] for mirrored in (False, True))
    assert (there - mirrored).abs().max() > 1e-3 * there.abs().max()  # a hundred times the bound of `assert_same`
