"""ViSNet against the equations of its paper (arXiv:2210.16518), written again in numpy, one ordered pair of atoms at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mlff.graph import build_graph
from mlff.models import ViSNet, ViSNetConfig, model_config
from mlff.models.visnet import solid_harmonics

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
from .variants import CELL, NUMBERS, POSITIONS, make_potential
from .variants import CUTOFF as CONTRACT_CUTOFF

FEATURES, HEADS, RADIAL, CUTOFF = 6, 3, 5, 3.5


def harmonics(r_ij: Array, lmax: int) -> Array:
    """``[C]``; zero for an atom's link to itself."""
    r = np.linalg.norm(r_ij)
    both = solid_harmonics(torch.from_numpy(r_ij / r if r else r_ij)[None], lmax)
    return both[0].numpy()


def rejected(vectors: Array, d: Array) -> Array:
    """Vectors ``[C, F]`` less what lies along d ``[C]``."""
    return vectors - d[:, None] * (d @ vectors)


def one_layer(
    model: ViSNet, layer: torch.nn.Module, x: Array, v: Array, f: Array, links: Links
) -> tuple[Array, Array, Array]:
    """x ``[N, F]``, v ``[N, C, F]`` and f ``[E, F]`` after one layer; in the first, v is zero."""
    first, config = layer.vector_mix is None, model.config
    y, gathered, w, new_f = layer_norm(layer.norm, x), np.zeros_like(x), np.zeros_like(v), f.copy()
    for e, (i, j, r_ij) in enumerate(links):
        r, d = np.linalg.norm(r_ij), harmonics(r_ij, config.lmax)
        fade = envelope(config.envelope, r, CUTOFF)
        query, key, key_filter = linear(layer.query, y[i]), linear(layer.key, y[j]), silu(linear(layer.key_filter, f[e]))
        weight = np.repeat(silu((query * key * key_filter).reshape(HEADS, -1).sum(1)), FEATURES // HEADS)
        message = linear(layer.value, y[j]) * silu(linear(layer.value_filter, f[e])) * weight * fade
        sent = silu(linear(layer.send, message)).reshape(-1, FEATURES) * (fade if config.vector_cutoff else 1.0)
        gathered[i] += message
        w[i] += np.outer(d, sent[-1]) + (0.0 if first else v[j] * sent[0])
        if layer.angles is not None:
            a, b = (rejected(linear(part, v[k]), d) for part, k in ((layer.angles.centre, i), (layer.angles.neighbor, j)))
            new_f[e] += silu(linear(layer.angles.filter, f[e])) * (a * b).sum(0)
    q = linear(layer.output, gathered)
    if first:
        return x + q, w, new_f
    q1, q2, q3 = np.split(q, 3, axis=1)
    u1, u2, u3 = np.split(linear(layer.vector_mix, v), 3, axis=2)
    return x + q3 + q2 * (u1 * u2).sum(1), v + w + q1[:, None] * u3, new_f


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("envelope_name, vector_cutoff", [("polynomial", True), ("cosine", False)])
def test_network_obeys_the_equations_of_the_paper(
    envelope_name: str, vector_cutoff: bool, lmax: int, periodic: bool
) -> None:
    torch.manual_seed(0)
    config = ViSNetConfig(
        num_features=FEATURES, num_layers=4, num_heads=HEADS, num_radial=RADIAL, cutoff=CUTOFF, lmax=lmax,
        envelope=envelope_name, vector_cutoff=vector_cutoff,
    )  # fmt: skip
    model = ViSNet(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model = model.double()
    links = links_within(CUTOFF, periodic)
    x, v = neighbor_embedding(model, NUMBERS, links), np.zeros((len(NUMBERS), 3 if lmax == 1 else 8, FEATURES))
    f = np.array(
        [(x[i] + x[j]) * linear(model.edge_embedding, expnorm(np.linalg.norm(r_ij), RADIAL, CUTOFF)) for i, j, r_ij in links]
    )
    for layer in model.layers:
        x, v, f = one_layer(model, layer, x, v, f, links)
    s, v = gated_readout(model, x, v)
    features = model(build_graph(POSITIONS, NUMBERS, CUTOFF, cell=CELL, pbc=[periodic] * 3))
    np.testing.assert_allclose(features.scalar.detach().numpy(), s, rtol=1e-6, atol=1e-6 * np.abs(s).max())
    np.testing.assert_allclose(features.vector.detach().numpy(), v[:, :3], rtol=1e-6, atol=1e-6 * np.abs(v).max())


def test_products_of_harmonics_are_legendre_polynomials_of_the_angle() -> None:
    directions = torch.from_numpy(Rotation.random(6, random_state=0).as_matrix()[:, 0])
    both = solid_harmonics(directions, 2)
    cosines = directions @ directions.T
    first, second = both[:6, :3], both[:6, 3:]
    torch.testing.assert_close(first @ first.T, cosines)
    torch.testing.assert_close(second @ second.T, 1.5 * cosines**2 - 0.5)
    torch.testing.assert_close(both[6:], torch.cat((-first, second), dim=1))


def test_a_dihedral_angle_is_seen_within_one_cutoff_of_its_middle_bond() -> None:
    """The ends are further apart than the cutoff, all distances within it stay: a model of distances is blind."""

    def chain(angle: float) -> list[list[float]]:
        return [[-0.7, 1.9, 0], [0, 0, 0], [1.5, 0, 0], [2.2, 1.9 * np.cos(angle), 1.9 * np.sin(angle)]]

    def rise(name: str) -> float:
        model = make_potential(name).model
        scalars = [model(build_graph(chain(angle), [6, 7, 7, 8], CONTRACT_CUTOFF)).scalar for angle in (2.6, 3.1)]
        return (scalars[1] - scalars[0]).abs().max().item()

    assert np.linalg.norm(np.subtract(*[chain(2.6)[k] for k in (0, 3)])) > CONTRACT_CUTOFF
    assert rise("schnet") < 1e-12
    assert rise("visnet") > 1e-3


@pytest.mark.parametrize("heads, features", [(3, 128), (7, 7), (256, 128)])
def test_heads_that_do_not_share_the_features_are_refused(heads: int, features: int) -> None:
    with pytest.raises(ValueError, match=f"num_features={features} must be even and a multiple of num_heads"):
        model_config("visnet", num_heads=heads, num_features=features)
