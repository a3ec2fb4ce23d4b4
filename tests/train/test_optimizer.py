"""Muon and AdamW: orthogonal steps, torch's own implementations, which parameters go where."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from mlff.models import model_config
from mlff.potential.potential import Potential
from mlff.train.config import OptimizerConfig
from mlff.train.optimizer import SMALLEST, Optimizer, hidden_matrices, orthogonalized


@settings(deadline=None)
@given(
    rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 2**20), exponent=st.floats(-20, 10),
    condition=st.floats(1, 100),
)  # fmt: skip
def test_all_singular_values_become_about_one_and_the_vectors_stay(rows, columns, seed, exponent, condition):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(2, rows, columns, generator=generator, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), min(rows, columns), dtype=torch.float64)
    found = u.mT @ orthogonalized(10.0**exponent * u @ torch.diag(values) @ v) @ v.mT
    diagonal = found.diagonal(dim1=1, dim2=2)
    assert_close(found, torch.diag_embed(diagonal), atol=1e-9, rtol=0)
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()


@pytest.mark.parametrize("exponent", range(-44, 30, 2))
def test_no_size_of_a_gradient_overflows(exponent):
    """Squares of float32 numbers below 1e-23 are zero, so what is left of a gradient that vanished has no norm."""
    matrices = torch.randn(2, 64, 192, generator=torch.Generator().manual_seed(0)) * 10.0**exponent
    assert float(orthogonalized(matrices).abs().max()) < 1.3


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalized(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 1))


def trained(module: nn.Module, steps: int, *optimizers) -> list[torch.Tensor]:
    """Parameters after some steps on a loss that no step meets twice."""
    for number in range(steps):
        torch.manual_seed(number)
        for parameter in module.parameters():
            parameter.grad = None
        (module(torch.randn(200, 16)) - torch.randn(200, 1)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_adamw_is_that_of_torch_to_the_last_bit():
    config = OptimizerConfig(kind="adamw", learning_rate=3e-3, weight_decay=0.1)
    mine, torchs = network(), network()
    theirs = torch.optim.AdamW(torchs.parameters(), 3e-3, weight_decay=0.1, fused=True)
    for a, b in zip(trained(mine, 5, Optimizer(mine, config)), trained(torchs, 5, theirs), strict=True):
        assert torch.equal(a, b)


def test_muon_is_that_of_torch_with_more_digits():
    """torch.optim.Muon orthogonalises in bfloat16, whose 8 bits (of small singular values, fewer) are the difference."""
    config = OptimizerConfig(kind="muon", learning_rate=4e-3, weight_decay=0.1)
    mine, torchs = network(), network()
    hidden = [torchs[0].weight, torchs[2].weight]
    others = [parameter for parameter in torchs.parameters() if all(parameter is not each for each in hidden)]
    theirs = [
        torch.optim.Muon(hidden, 4e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, 4e-3, weight_decay=0.1),
    ]
    before = [parameter.detach().clone() for parameter in network().parameters()]
    for first, a, b in zip(before, trained(mine, 5, Optimizer(mine, config)), trained(torchs, 5, *theirs), strict=True):
        assert float((a - b).norm()) < 0.1 * float((a - first).norm())


def test_the_steps_are_as_long_as_those_of_adamw():
    module = network()
    before = module[2].weight.detach().clone()
    after = trained(module, 1, Optimizer(module, OptimizerConfig(learning_rate=1e-3, weight_decay=0)))[2]
    assert 0.13e-3 < float((after - before).square().mean().sqrt()) < 0.25e-3


def test_hidden_matrices_are_orthogonalised_and_nothing_else():
    potential = Potential.build(model_config("painn", num_features=16, num_layers=2), species=[1, 6], num_states=3)
    for parameter in potential.model.filters.parameters():
        parameter.requires_grad_(False)
    chosen = {id(parameter) for parameter in hidden_matrices(potential)}
    names = {name for name, parameter in potential.named_parameters() if id(parameter) in chosen}
    assert all(name.endswith("weight") for name in names)
    assert {"model.interactions.0.context.0.weight", "model.mixings.1.vector_mix.weight"} < names
    assert not names & {"model.embedding.weight", "model.filters.weight", "head.network.2.weight"}
    assert all(min(parameter.shape) >= SMALLEST for parameter in hidden_matrices(potential))


def test_the_defaults_of_each_kind():
    assert OptimizerConfig().learning_rate == OptimizerConfig(learning_rate=None).learning_rate == 4e-3
    assert OptimizerConfig(kind="adamw").learning_rate == 1e-3
    assert OptimizerConfig().weight_decay == 0.03 and OptimizerConfig(kind="adamw").weight_decay == 1e-2
    assert OptimizerConfig(learning_rate=5e-4).learning_rate == 5e-4
