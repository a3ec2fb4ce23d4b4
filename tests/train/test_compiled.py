import shutil

import numpy as np
import pytest
import torch

from mlff.models import MODELS, model_config
from mlff.potential.potential import Potential
from mlff.train import compiled
from mlff.train.compiled import CompiledGradient
from mlff.train.config import LossConfig, TrainConfig
from mlff.train.loaders import BatchLoader
from mlff.train.loss import loss_terms, value_counts, weighted_loss

CONFIG = LossConfig(kind="mae")


@pytest.fixture
def potential(azobenzene):
    torch.manual_seed(0)
    model = model_config("egnn", num_features=4, num_layers=1, num_radial=2, cutoff=3.0, attention=False)
    return Potential.build(model, species=[1, 6, 7], scale=2.0).train()


def eager(potential, graph, targets):
    sums, absolute = loss_terms(potential(graph), targets, CONFIG)
    loss = weighted_loss(sums, value_counts(targets, forces=True, stress=False), CONFIG)
    return loss.detach(), absolute, torch.autograd.grad(loss, list(potential.parameters()))


def ask(gradient, graph, targets):
    counts = value_counts(targets, forces=True, stress=False)
    return gradient(graph, targets, counts, forces=True, stress=False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
def test_the_compiled_gradient_is_the_eager_one_for_batches_of_any_size(potential, azobenzene):
    loader = BatchLoader(azobenzene, potential.cutoff)
    gradient = CompiledGradient(potential, CONFIG)
    for frames in (np.arange(5), np.arange(40, 47), np.arange(100, 103)):
        graph, targets = loader.load(frames)
        found = ask(gradient, graph, targets)
        assert found is not None
        loss, absolute, gradients = eager(potential, graph, targets)
        torch.testing.assert_close(found[0], loss)
        torch.testing.assert_close(found[1], absolute)
        for mine, expected in zip(found[2], gradients):
            torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", list(MODELS))
def test_tracing_a_fresh_model_leaves_it_usable(name, azobenzene, monkeypatch):
    """Nothing that is made while tracing may be kept: TensorNet once cached a constant that had no values."""
    monkeypatch.setattr(torch, "compile", lambda traced, **_: traced)
    torch.manual_seed(0)
    potential = Potential.build(model_config(name, num_features=8, num_layers=1), species=[1, 6, 7]).train()
    graph, targets = BatchLoader(azobenzene, potential.cutoff).load(np.arange(4))
    loss, _, _ = ask(CompiledGradient(potential, CONFIG), graph, targets)
    torch.testing.assert_close(loss, eager(potential, graph, targets)[0])


def test_a_single_structure_is_left_to_eager_torch(potential, azobenzene):
    graph, targets = BatchLoader(azobenzene, potential.cutoff).load(np.array([3]))
    assert ask(CompiledGradient(potential, CONFIG), graph, targets) is None


def test_where_compiling_fails_a_warning_says_so_once(potential, azobenzene, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler here\nand a long tail")

    monkeypatch.setattr(compiled, "make_fx", broken)
    gradient = CompiledGradient(potential, CONFIG)
    graph, targets = BatchLoader(azobenzene, potential.cutoff).load(np.arange(4))
    with pytest.warns(UserWarning, match="not compiled: it failed with RuntimeError: no compiler here; training goes on"):
        assert ask(gradient, graph, targets) is None
    assert ask(gradient, graph, targets) is None


def test_a_compiled_gradient_that_is_wrong_is_not_used(potential, azobenzene, monkeypatch):
    def wrong(traced, **_):
        return lambda *args: [2 * tensor for tensor in traced(*args)]

    monkeypatch.setattr(torch, "compile", wrong)
    graph, targets = BatchLoader(azobenzene, potential.cutoff).load(np.arange(4))
    with pytest.warns(UserWarning, match="differ from eager torch's by 1.0e"):
        assert ask(CompiledGradient(potential, CONFIG), graph, targets) is None


def test_compiling_and_bf16_exclude_each_other():
    with pytest.raises(ValueError, match="`compile` works with `precision` 32-true and 64-true"):
        TrainConfig.build({"compile": True, "precision": "bf16-mixed"})


def test_frozen_parameters_are_traced_without_a_gradient(potential, azobenzene, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda traced, **_: traced)
    names = ("model.embedding", "head.network.0")
    frozen = [parameter for name, parameter in potential.named_parameters() if name.startswith(names)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    trained = [parameter for parameter in potential.parameters() if parameter.requires_grad]
    assert frozen and trained
    graph, targets = BatchLoader(azobenzene, potential.cutoff).load(np.arange(4))
    loss, _, gradients = ask(CompiledGradient(potential, CONFIG), graph, targets)
    sums, _ = loss_terms(potential(graph), targets, CONFIG)
    expected = weighted_loss(sums, value_counts(targets, forces=True, stress=False), CONFIG)
    torch.testing.assert_close(loss, expected.detach())
    for mine, eager_gradient in zip(gradients, torch.autograd.grad(expected, trained), strict=True):
        torch.testing.assert_close(mine, eager_gradient, rtol=1e-3, atol=1e-4 * float(eager_gradient.abs().max()))
