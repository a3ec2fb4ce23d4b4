"""SchNet against the equations of its paper (arXiv:1706.08566), written again in numpy, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mlff.graph import build_graph
from mlff.models import SchNet, SchNetConfig
from mlff.models.schnet import ShiftedSoftplus

from .variants import CELL, NUMBERS, POSITIONS

Array = NDArray[np.float64]
FEATURES, RADIAL, CUTOFF = 5, 4, 3.5


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def network(layers: torch.nn.Sequential, x: Array) -> Array:
    return linear(layers[2], np.log(0.5 * np.exp(linear(layers[0], x)) + 0.5))


def reference(model: SchNet, numbers: Array, edges: list[tuple[int, int, float]]) -> Array:
    """Scalars ``[N, F]``; edges are i, j and their distance."""
    x = model.embedding.weight.detach().numpy()[numbers]
    for interaction in model.interactions:
        convolved = np.zeros_like(x)
        for i, j, r in edges:
            width = CUTOFF / (RADIAL - 1)
            basis = np.exp(-0.5 * ((r - np.arange(RADIAL) * width) / width) ** 2)
            if model.config.envelope == "cosine":
                envelope = 0.5 * (1 + np.cos(np.pi * r / CUTOFF))
            else:
                envelope = 1 - 28 * (r / CUTOFF) ** 6 + 48 * (r / CUTOFF) ** 7 - 21 * (r / CUTOFF) ** 8
            convolved[i] += linear(interaction.before, x[j]) * network(interaction.filters, basis) * envelope
        x = x + network(interaction.after, convolved)
    return x


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("envelope", ["polynomial", "cosine"])
def test_network_obeys_the_equations_of_the_paper(envelope: str, periodic: bool) -> None:
    torch.manual_seed(0)
    model = SchNet(
        SchNetConfig(num_features=FEATURES, num_layers=3, num_radial=RADIAL, cutoff=CUTOFF, envelope=envelope)
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double()
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3), axis=-1).reshape(-1, 3) if periodic else np.zeros((1, 3))
    edges = [
        (i, j, distance)
        for i in range(len(POSITIONS))
        for j in range(len(POSITIONS))
        for distance in np.linalg.norm(POSITIONS[j] - POSITIONS[i] + shifts @ CELL, axis=1)
        if 0 < distance < CUTOFF
    ]
    graph = build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[periodic] * 3)
    features = model(graph)
    expected = reference(model, NUMBERS, edges)
    assert graph.edge_index.shape[1] == len(edges) and features.vector is None
    np.testing.assert_allclose(features.scalar.detach().numpy(), expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_shifted_softplus_is_zero_at_zero_and_linear_far_out() -> None:
    x = torch.tensor([-800.0, 0.0, 800.0], dtype=torch.float64, requires_grad=True)
    y = ShiftedSoftplus()(x)
    torch.testing.assert_close(y, torch.tensor([-np.log(2), 0.0, 800 - np.log(2)]), atol=1e-12, rtol=0)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))


def test_fresh_weights_are_those_of_the_reference() -> None:
    """Glorot weights and no bias."""
    torch.manual_seed(0)
    model = SchNet(SchNetConfig())
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))
    assert model.interactions[0].filters[0].weight.abs().max() <= (6 / (50 + 128)) ** 0.5
