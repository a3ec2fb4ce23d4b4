"""ET against the equations of its paper (arXiv:2202.02541), written again in numpy, one ordered pair of atoms at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlff.graph import build_graph
from mlff.models import ET, ETConfig, model_config

from .numpy_layers import (
    Array,
    Links,
    envelope,
    expnorm,
    gated_readout,
    layer_norm,
    linear,
    links_within,
    neighbor_embedding,
    silu,
)
from .variants import CELL, NUMBERS, POSITIONS, crystal, make_potential, molecule

FEATURES, HEADS, RADIAL, CUTOFF = 6, 3, 5, 3.5


def attention(model: ET, layer: torch.nn.Module, x: Array, v: Array, links: Links) -> tuple[Array, Array]:
    """x ``[N, F]`` and v ``[N, 3, F]`` after one layer; in the first, v is zero."""
    first = layer.vector_mix is None
    y, gathered, w = layer_norm(layer.norm, x), np.zeros_like(x), np.zeros_like(v)
    for i, j, r_ij in links:
        r = np.linalg.norm(r_ij)
        radial, fade = expnorm(r, RADIAL, CUTOFF), envelope(model.config.envelope, r, CUTOFF)
        query, key, key_filter = linear(layer.query, y[i]), linear(layer.key, y[j]), silu(linear(layer.key_filter, radial))
        weight = np.repeat(silu((query * key * key_filter).reshape(HEADS, -1).sum(1)), FEATURES // HEADS)
        values = (linear(layer.value, y[j]) * silu(linear(layer.value_filter, radial))).reshape(-1, FEATURES)
        vector_fade = fade if model.config.vector_cutoff else 1.0
        gathered[i] += weight * fade * values[0]
        w[i] += np.outer(r_ij / r if r else r_ij, values[1]) * vector_fade
        w[i] += 0.0 if first else v[j] * values[2] * vector_fade
    q = linear(layer.output, gathered)
    if first:
        return x + q, w
    q1, q2, q3 = np.split(q, 3, axis=1)
    u1, u2, u3 = np.split(linear(layer.vector_mix, v), 3, axis=2)
    return x + q3 + q2 * (u1 * u2).sum(1), v + w + q1[:, None] * u3


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
    links = links_within(CUTOFF, periodic)
    x, v = neighbor_embedding(model, NUMBERS, links), np.zeros((len(NUMBERS), 3, FEATURES))
    for layer in model.layers:
        x, v = attention(model, layer, x, v, links)
    s, v = gated_readout(model, x, v)
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
