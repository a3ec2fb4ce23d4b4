"""Radial Field against its row in table 1 of arXiv:2102.09844, in numpy, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mlff.graph import build_graph
from mlff.models import RadialField, RadialFieldConfig

from .numpy_layers import Array, envelope, linear, links_within, silu
from .variants import CUTOFF, NUMBERS, POSITIONS, crystal, molecule


def strong(config: RadialFieldConfig) -> RadialField:
    """Weights large enough for every term to count; the layers that move atoms start at a thousandth."""
    torch.manual_seed(1)
    model = RadialField(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double()


def reference(model: RadialField, numbers: NDArray[np.int64], periodic: bool) -> tuple[Array, Array]:
    """Scalars and how far every atom moved."""
    elements = model.embedding.weight.detach().numpy()[numbers]
    moved = np.zeros((len(numbers), 3))
    edges = [(i, j, r) for i, j, r in links_within(CUTOFF, periodic) if np.linalg.norm(r)]

    def phi(function: torch.nn.Module, i: int, j: int, r: Array) -> Array:
        radial = model.radial(torch.tensor(np.linalg.norm(r))).numpy()
        hidden = linear(function.centre, elements[i]) + linear(function.neighbor, elements[j])
        hidden = hidden + linear(function.distance, radial)
        return linear(function.last, silu(hidden))

    for layer in model.fields:
        shift = np.zeros_like(moved)
        for i, j, r_ij in edges:
            now = r_ij + moved[j] - moved[i]
            shift[i] += phi(layer, i, j, now) * now * envelope(model.config.envelope, np.linalg.norm(r_ij), CUTOFF)
        moved = moved + shift
    scalars = elements.copy()
    for i, j, r_ij in edges:
        weight = envelope(model.config.envelope, np.linalg.norm(r_ij), CUTOFF)
        scalars[i] += phi(model.readout, i, j, r_ij + moved[j] - moved[i]) * weight
    return scalars, moved


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("kind", ["polynomial", "cosine"])
def test_network_obeys_the_equations_of_the_paper(kind: str, periodic: bool) -> None:
    model = strong(RadialFieldConfig(num_features=6, num_layers=3, num_radial=5, cutoff=CUTOFF, envelope=kind))
    features = model((crystal if periodic else molecule)())
    scalars, moved = reference(model, NUMBERS, periodic)
    assert np.abs(moved).max() > 1e-2  # the test would be void if nothing moved
    np.testing.assert_allclose(features.scalar.detach().numpy(), scalars, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(features.vector[..., 0].detach().numpy(), moved, rtol=1e-10, atol=1e-12)


def test_two_atoms_move_along_the_line_between_them() -> None:
    model = strong(RadialFieldConfig(num_features=6, num_layers=2, cutoff=CUTOFF))
    line = np.array([0.3, 1.1, -0.4])
    moved = model(build_graph([[0, 0, 0], line], [6, 8], CUTOFF)).vector[..., 0].detach().numpy()
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(np.cross(moved, line), 0, atol=1e-14)


def test_many_bodies_count_though_it_is_read_from_pairs() -> None:
    """Moved by a third atom, two atoms have another energy than the sum over pairs alone would give."""
    model = strong(RadialFieldConfig(num_features=6, num_layers=2, cutoff=CUTOFF))
    places = {"a": [0, 0, 0], "b": [1.2, 0, 0], "c": [0, 1.3, 0]}

    def scalars(names: str) -> torch.Tensor:
        return model(build_graph([places[name] for name in names], [6] * len(names), CUTOFF)).scalar.sum(0)

    pairs = sum(scalars(names) - scalars(names[0]) - scalars(names[1]) for names in ("ab", "bc", "ac"))
    lone = scalars("a") + scalars("b") + scalars("c")
    assert (scalars("abc") - lone - pairs).abs().max() > 1e-3


def test_atoms_hardly_move_at_first() -> None:
    torch.manual_seed(0)
    features = RadialField(RadialFieldConfig(num_features=16))(molecule(POSITIONS, NUMBERS))
    assert 0 < features.vector.abs().max() < 0.05
