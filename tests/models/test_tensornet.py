"""TensorNet against the equations of its paper (arXiv:2306.06482), written again with whole 3 x 3 matrices in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mlff.graph import build_graph
from mlff.models import TensorNet, TensorNetConfig

from .variants import NUMBERS, POSITIONS

Array = NDArray[np.float64]
FEATURES, RADIAL, CUTOFF = 4, 3, 3.5


def silu(x: Array) -> Array:
    return x * expit(x)


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def layer_norm(layer: torch.nn.LayerNorm, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def parts(x: Array) -> tuple[Array, Array, Array]:
    """I, A and S of matrices ``[3, 3, F]``: equation 1."""
    identity = np.eye(3)[:, :, None] * np.trace(x)[None, None] / 3
    transposed = x.transpose(1, 0, 2)
    return identity, 0.5 * (x - transposed), 0.5 * (x + transposed) - identity


def mix(layers: torch.nn.ModuleList, x: Array, factors: Array | None = None) -> Array:
    """The features of the parts mixed by a layer each, and multiplied by ``factors [3, F]``."""
    mixed = [linear(layer, part) for layer, part in zip(layers, parts(x))]
    return sum(m if factors is None else m * f for m, f in zip(mixed, np.ones(3) if factors is None else factors))


def squared_norm(x: Array) -> Array:
    return (x**2).sum((0, 1))


def product(a: Array, b: Array) -> Array:
    return np.einsum("ikf,kjf->ijf", a, b)


def reference(model: TensorNet, numbers: Array, edges: list[tuple[int, int, Array]]) -> Array:
    """Scalars ``[N, F]``; edges are i, j and the vector from i to j."""
    embedding, num_atoms = model.embedding, len(numbers)
    z = embedding.element.weight.detach().numpy()[numbers]
    basis = {}
    x = np.zeros((num_atoms, 3, 3, FEATURES))
    for e, (i, j, r_ij) in enumerate(edges):
        r = np.linalg.norm(r_ij)
        radial = model.radial(torch.tensor(r)).detach().numpy()
        envelope = model.envelope(torch.tensor(r)).item()
        basis[e] = radial, envelope
        a, b, c = r_ij / r if r > 0 else r_ij
        skew = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
        dyad = np.outer((a, b, c), (a, b, c))
        symmetric = dyad - np.eye(3) * np.trace(dyad) / 3
        factors = linear(embedding.radial, radial).reshape(3, FEATURES) * envelope
        factors = factors * linear(embedding.element_pair, np.concatenate((z[i], z[j])))
        for matrix, factor in zip((np.eye(3), skew, symmetric), factors):  # equations 6 to 8
            x[i] += matrix[:, :, None] * factor
    for i in range(num_atoms):
        scale = layer_norm(embedding.norm, squared_norm(x[i]))
        scale = silu(linear(embedding.scale[2], silu(linear(embedding.scale[0], scale))))
        x[i] = mix(embedding.mix, x[i], scale.reshape(FEATURES, 3).T)

    for layer in model.interactions:
        x = x / (1 + np.array([squared_norm(atom) for atom in x]))[:, None, None]
        y = np.array([mix(layer.mix_before, atom) for atom in x])
        message = np.zeros_like(x)
        for e, (i, j, _) in enumerate(edges):  # equation 10
            radial, envelope = basis[e]
            hidden = radial
            for index in (0, 2, 4):
                hidden = silu(linear(layer.filters[index], hidden))
            factors = (hidden * envelope).reshape(FEATURES, 3).T
            message[i] += sum(f * part for f, part in zip(factors, parts(y[j])))
        for i in range(num_atoms):  # equations 11 to 13
            ym, my = product(y[i], message[i]), product(message[i], y[i])
            dx = ym + my if model.config.group == "O(3)" else 2 * ym
            dx = mix(layer.mix_after, dx / (1 + squared_norm(dx)))
            x[i] = x[i] + dx + product(dx, dx)

    norms = np.array([np.concatenate([squared_norm(part) for part in parts(atom)]) for atom in x])
    return silu(linear(model.readout[0], layer_norm(model.norm, norms)))


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("num_layers", [0, 2])
def test_network_obeys_the_equations_of_the_paper(group: str, self_loops: bool, num_layers: int) -> None:
    torch.manual_seed(0)
    config = TensorNetConfig(
        num_features=FEATURES,
        num_layers=num_layers,
        num_radial=RADIAL,
        cutoff=CUTOFF,
        group=group,
        self_loops=self_loops,
    )
    model = TensorNet(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    model = model.double()
    edges = [
        (i, j, POSITIONS[j] - POSITIONS[i])
        for i in range(len(POSITIONS))
        for j in range(len(POSITIONS))
        if (self_loops if i == j else np.linalg.norm(POSITIONS[j] - POSITIONS[i]) < CUTOFF)
    ]
    features = model(build_graph(POSITIONS, NUMBERS, CUTOFF))
    expected = reference(model, NUMBERS, edges)
    assert expected.std() > 0.1
    np.testing.assert_allclose(features.scalar.detach().numpy(), expected, rtol=1e-10, atol=1e-10)
    assert features.vector is None


def test_the_two_groups_are_the_same_network_but_for_one_product() -> None:
    """Weights of one load into the other, and give other features."""
    torch.manual_seed(0)
    full, proper = (TensorNet(TensorNetConfig(num_features=FEATURES, group=group)) for group in ("O(3)", "SO(3)"))
    proper.load_state_dict(full.state_dict())
    graph = build_graph(POSITIONS, NUMBERS, 5.0)
    assert (full.symmetry, proper.symmetry) == ("O(3)", "SO(3)")
    assert (full(graph).scalar - proper(graph).scalar).abs().max() > 1e-6
