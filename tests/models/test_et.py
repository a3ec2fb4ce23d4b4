"""ET against the equations of its paper (arXiv:2202.02541), written again in numpy, one ordered pair of atoms at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mlff.graph import build_graph
from mlff.models import ET, ETConfig, model_config

from .variants import CELL, NUMBERS, POSITIONS, crystal, make_potential, molecule

Array = NDArray[np.float64]
FEATURES, HEADS, RADIAL, CUTOFF = 6, 3, 5, 3.5
Links = list[tuple[int, int, Array]]
"""Atom i, atom j and the vector from i to j; an atom is linked to itself by zero."""


def silu(x: Array) -> Array:
    return x * expit(x)


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def normalized(layer: torch.nn.LayerNorm, x: Array) -> Array:
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + layer.eps)
    return scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def radial_basis(r: float) -> Array:
    """The paper's equation for e^RBF, the cosine in it included."""
    start = np.exp(-CUTOFF)
    centres, beta = np.linspace(start, 1, RADIAL), (2 / RADIAL * (1 - start)) ** -2
    return 0.5 * (1 + np.cos(np.pi * r / CUTOFF)) * np.exp(-beta * (np.exp(-5 / CUTOFF * r) - centres) ** 2)


def fade(model: ET, r: float) -> float:
    if model.config.envelope == "cosine":
        return 0.5 * (1 + np.cos(np.pi * r / CUTOFF))
    return 1 - 28 * (r / CUTOFF) ** 6 + 48 * (r / CUTOFF) ** 7 - 21 * (r / CUTOFF) ** 8


def attention(model: ET, layer: torch.nn.Module, x: Array, v: Array, links: Links) -> tuple[Array, Array]:
    """x ``[N, F]`` and v ``[N, 3, F]`` after one layer; in the first, v is zero."""
    first = layer.vector_mix is None
    y, gathered, w = normalized(layer.norm, x), np.zeros_like(x), np.zeros_like(v)
    for i, j, r_ij in links:
        r = np.linalg.norm(r_ij)
        envelope = fade(model, r)
        query, key = linear(layer.query, y[i]), linear(layer.key, y[j])
        key_filter = silu(linear(layer.key_filter, radial_basis(r)))
        score = (query * key * key_filter).reshape(HEADS, -1).sum(1)
        weight = np.repeat(silu(score), FEATURES // HEADS)
        values = (linear(layer.value, y[j]) * silu(linear(layer.value_filter, radial_basis(r)))).reshape(-1, FEATURES)
        vector_fade = envelope if model.config.vector_cutoff else 1.0
        gathered[i] += weight * envelope * values[0]
        w[i] += np.outer(r_ij / r if r else r_ij, values[1]) * vector_fade
        w[i] += 0.0 if first else v[j] * values[2] * vector_fade
    q = linear(layer.output, gathered)
    if first:
        return x + q, w
    q1, q2, q3 = np.split(q, 3, axis=1)
    u1, u2, u3 = np.split(linear(layer.vector_mix, v), 3, axis=2)
    return x + q3 + q2 * (u1 * u2).sum(1), v + w + q1[:, None] * u3


def reference(model: ET, numbers: Array, links: Links) -> tuple[Array, Array]:
    """Scalars ``[N, F]`` and vectors ``[N, 3, F / 2]``."""
    embedding, readout = model.embedding, model.readout
    around = np.zeros((len(numbers), FEATURES))
    for i, j, r_ij in links:
        if r := np.linalg.norm(r_ij):
            element = embedding.neighbor.weight.detach().numpy()[numbers[j]]
            around[i] += element * linear(embedding.filters, radial_basis(r)) * fade(model, r)
    x = linear(embedding.combine, np.concatenate((embedding.element.weight.detach().numpy()[numbers], around), axis=1))
    v = np.zeros((len(numbers), 3, FEATURES))
    for layer in model.layers:
        x, v = attention(model, layer, x, v, links)
    x, epsilon = normalized(model.norm, x), model.config.norm_epsilon
    lengths = np.sqrt((linear(readout.measure, v) ** 2).sum(1) + epsilon)
    hidden = silu(linear(readout.network[0], np.concatenate((x, lengths), axis=1)))
    scalar, gate = np.split(linear(readout.network[2], hidden), 2, axis=1)
    v = gate[:, None] * linear(readout.mix, v)
    return np.concatenate((silu(scalar), np.sqrt((linear(readout.measure_mixed, v) ** 2).sum(1) + epsilon)), axis=1), v


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("envelope, vector_cutoff", [("polynomial", True), ("cosine", True), ("cosine", False)])
def test_network_obeys_the_equations_of_the_paper(envelope: str, vector_cutoff: bool, periodic: bool) -> None:
    torch.manual_seed(0)
    config = ETConfig(
        num_features=FEATURES, num_layers=3, num_heads=HEADS, num_radial=RADIAL, cutoff=CUTOFF, envelope=envelope,
        vector_cutoff=vector_cutoff,
    )  # fmt: skip
    model = ET(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double()
    shifts = np.stack(np.meshgrid(*[range(-2, 3)] * 3), axis=-1).reshape(-1, 3) if periodic else np.zeros((1, 3))
    links = [
        (i, j, vector)
        for i in range(len(POSITIONS))
        for j in range(len(POSITIONS))
        for vector in POSITIONS[j] - POSITIONS[i] + shifts @ CELL
        if np.linalg.norm(vector) < CUTOFF
    ]
    s, v = reference(model, NUMBERS, links)
    features = model(build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[periodic] * 3))
    np.testing.assert_allclose(features.scalar.detach().numpy(), s, rtol=1e-6, atol=1e-6 * np.abs(s).max())
    np.testing.assert_allclose(features.vector.detach().numpy(), v, rtol=1e-6, atol=1e-6 * np.abs(v).max())


@pytest.mark.parametrize("heads, features", [(3, 128), (7, 7), (256, 128)])
def test_heads_that_do_not_share_the_features_are_refused(heads: int, features: int) -> None:
    with pytest.raises(ValueError, match=f"num_features={features} must be even and a multiple of num_heads"):
        model_config("et", num_heads=heads, num_features=features)


def test_the_default_number_of_heads_is_checked_too() -> None:
    with pytest.raises(ValueError, match="num_heads=8.*num_features=12 must be even and a multiple"):
        model_config("et", num_features=12)


def test_the_smooth_constant_in_lengths_hardly_changes_forces() -> None:
    smooth, sharp = make_potential("et"), make_potential("et")
    sharp.model.readout.norm_epsilon = 1e-24
    for graph in (molecule(), crystal()):
        there, here = sharp(graph)["forces"], smooth(graph)["forces"]
        assert 0 < (there - here).abs().max() < 1e-4 * there.abs().max()
