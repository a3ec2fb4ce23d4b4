"""PaiNN against the equations of its paper (arXiv:2102.03150), written again in numpy, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mlff.graph import build_graph
from mlff.models import PaiNN, PaiNNConfig

from .variants import CELL, NUMBERS, POSITIONS

Array = NDArray[np.float64]
FEATURES, RADIAL, CUTOFF = 5, 4, 3.5


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def network(layers: torch.nn.Sequential, x: Array) -> Array:
    hidden = linear(layers[0], x)
    return linear(layers[2], hidden * expit(hidden))


def reference(model: PaiNN, numbers: Array, edges: list[tuple[int, int, Array]]) -> tuple[Array, Array]:
    """Scalars ``[N, F]`` and vectors ``[N, 3, F]``; edges are i, j and the vector from i to j."""
    s = model.embedding.weight.detach().numpy()[numbers]
    v = np.zeros((len(s), 3, FEATURES))
    for layer, (interaction, mixing) in enumerate(zip(model.interactions, model.mixings)):
        ds, dv = np.zeros_like(s), np.zeros_like(v)
        for i, j, r_ij in edges:
            r = np.linalg.norm(r_ij)
            if model.config.radial == "bessel":
                basis = np.sqrt(2 / CUTOFF) * np.sin(np.arange(1, RADIAL + 1) * np.pi * r / CUTOFF) / r
            else:
                width = CUTOFF / (RADIAL - 1)
                basis = np.exp(-0.5 * ((r - np.arange(RADIAL) * width) / width) ** 2)
            if model.config.envelope == "cosine":
                envelope = 0.5 * (1 + np.cos(np.pi * r / CUTOFF))
            else:
                x = r / CUTOFF
                envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
            filters = (linear(model.filters, basis) * envelope).reshape(-1, 3, FEATURES)[layer]
            phi = network(interaction.context, s[j]).reshape(3, FEATURES) * filters
            ds[i] += phi[0]  # equation 7
            dv[i] += np.outer(r_ij / r, phi[1]) + v[j] * phi[2]  # equation 8
        s, v = s + ds, v + dv
        mixed = linear(mixing.vector_mix, v)
        vv, uv = mixed[..., :FEATURES], mixed[..., FEATURES:]
        norm = np.sqrt((vv**2).sum(1) + 1e-8)
        a = network(mixing.context, np.concatenate((s, norm), axis=1)).reshape(-1, 3, FEATURES)
        s = s + a[:, 0] + a[:, 2] * (uv * vv).sum(1)  # equation 9
        v = v + a[:, 1, None] * uv  # equation 10
    return s, v


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("envelope", ["polynomial", "cosine"])
@pytest.mark.parametrize("radial", ["bessel", "gaussian"])
def test_network_obeys_the_equations_of_the_paper(radial: str, envelope: str, periodic: bool) -> None:
    torch.manual_seed(0)
    config = PaiNNConfig(
        num_features=FEATURES, num_layers=2, num_radial=RADIAL, cutoff=CUTOFF, radial=radial, envelope=envelope
    )
    model = PaiNN(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double()
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3), axis=-1).reshape(-1, 3) if periodic else np.zeros((1, 3))
    edges = [
        (i, j, vector)
        for i in range(len(POSITIONS))
        for j in range(len(POSITIONS))
        for vector in POSITIONS[j] - POSITIONS[i] + shifts @ CELL
        if 0 < np.linalg.norm(vector) < CUTOFF
    ]
    s, v = reference(model, NUMBERS, edges)
    graph = build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[periodic] * 3)
    features = model(graph)
    assert graph.edge_index.shape[1] == len(edges)
    np.testing.assert_allclose(features.scalar.detach().numpy(), s, rtol=1e-6, atol=1e-6 * np.abs(s).max())
    np.testing.assert_allclose(features.vector.detach().numpy(), v, rtol=1e-6, atol=1e-6 * np.abs(v).max())


def test_fresh_weights_are_those_of_the_reference() -> None:
    """Glorot weights and no bias; the embedding is a normal distribution of width one."""
    torch.manual_seed(0)
    model = PaiNN(PaiNNConfig())
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))
    assert model.filters.weight.abs().max() <= (6 / (20 + 3 * 3 * 128)) ** 0.5
    assert model.embedding.weight.std().item() == pytest.approx(1.0, abs=0.02)
