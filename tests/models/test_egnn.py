"""EGNN against the equations of its paper (arXiv:2102.09844), written again in numpy, edge by edge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mlff.graph import build_graph
from mlff.models import EGNN, EGNNConfig
from mlff.models.egnn import EGNNLayer

FEATURES = 6
NUM_ATOMS = 5
Array = NDArray[np.float64]

PAPER = [
    dict(attention=attention, normalize=normalize, tanh=tanh, residual=residual, aggregation=aggregation)
    for attention, normalize, tanh, residual, aggregation in itertools.product(
        (False, True), (False, True), (False, True), (False, True), ("sum", "mean")
    )
]


def options_id(options: dict) -> str:
    return "-".join(f"{key}={value}" for key, value in options.items())


def silu(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = layer.weight.detach().numpy() @ x
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def reference_layer(
    layer: EGNNLayer, options: dict, h: Array, x: Array, edges: list[tuple[int, int]], attributes: Array
) -> tuple[Array, Array]:
    """Equations 3 to 6 with the options of the paper's code (``E_GCL``), one edge at a time."""
    message = np.zeros((len(edges), FEATURES))
    shift = np.zeros((len(edges), 3))
    for e, (i, j) in enumerate(edges):
        difference = x[i] - x[j]
        squared = difference @ difference
        hidden = silu(linear(layer.edge, np.concatenate((h[i], h[j], [squared], attributes[e]))))  # equation 3
        message[e] = silu(linear(layer.message[1], hidden))
        if options["attention"]:
            message[e] *= 1.0 / (1.0 + np.exp(-linear(layer.gate[0], message[e])))
        if options["normalize"]:
            difference = difference / (np.sqrt(squared) + 1e-8)
        if layer.shift is not None:
            weight = linear(layer.shift[2], silu(linear(layer.shift[0], message[e])))
            shift[e] = difference * (np.tanh(weight) if options["tanh"] else weight)
    h_new, x_new = np.zeros_like(h), x.copy()
    for i in range(len(h)):
        own = [e for e, (centre, _) in enumerate(edges) if centre == i]
        if layer.shift is not None:
            total = shift[own].sum(0)
            x_new[i] += total / max(len(own), 1) if options["aggregation"] == "mean" else total  # equation 4
        gathered = message[own].sum(0)  # equation 5
        update = linear(layer.node[2], silu(linear(layer.node[0], np.concatenate((h[i], gathered)))))  # equation 6
        h_new[i] = h[i] + update if options["residual"] else update
    return h_new, x_new


def strong(module: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough for every term to count; the coordinates' last layer starts at a thousandth."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double()


@pytest.fixture
def structure() -> tuple[Array, Array]:
    """Positions (Å) of a cloud of atoms, and random scalars."""
    generator = np.random.default_rng(3)
    return generator.normal(size=(NUM_ATOMS, 3)) * 1.5, generator.normal(size=(NUM_ATOMS, FEATURES))


@pytest.mark.parametrize("options", PAPER, ids=options_id)
@pytest.mark.parametrize("num_radial", [0, 3])
def test_layer_obeys_the_equations_of_the_paper(structure, options, num_radial) -> None:
    x, h = structure
    torch.manual_seed(1)
    config = EGNNConfig(num_features=FEATURES, num_radial=num_radial, envelope="none", **options)
    layer = strong(EGNNLayer(config, update_coordinates=True))
    # Some pairs left out, so that atoms have different numbers of neighbours, and one atom none.
    pairs = np.array([(i, j) for i in range(NUM_ATOMS - 1) for j in range(i) if (i, j) != (2, 1)])
    attributes = np.random.default_rng(5).normal(size=(len(pairs), num_radial))

    index = torch.from_numpy(np.concatenate((pairs, pairs[:, ::-1])).T.copy())
    r_ij = torch.from_numpy(x[pairs[:, 1]] - x[pairs[:, 0]])
    h_new, moved = layer(
        torch.from_numpy(h),
        torch.zeros(NUM_ATOMS, 3, dtype=torch.float64),
        r_ij,
        index,
        torch.from_numpy(attributes),
        torch.ones(2 * len(pairs), 1, dtype=torch.float64),
    )

    edges = [tuple(edge) for edge in np.concatenate((pairs, pairs[:, ::-1]))]
    h_expected, x_expected = reference_layer(layer, options, h, x, edges, np.concatenate((attributes, attributes)))
    np.testing.assert_allclose(h_new.detach().numpy(), h_expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x + moved.detach().numpy(), x_expected, rtol=1e-12, atol=1e-12)
    assert np.abs(x_expected - x).max() > 1e-3  # the test would be void if nothing moved


@pytest.mark.parametrize("update_coordinates", [True, False])
@pytest.mark.parametrize("options", PAPER[::5], ids=options_id)
def test_network_is_the_paper_s_layers_one_after_another(structure, options, update_coordinates) -> None:
    x, _ = structure
    torch.manual_seed(2)
    config = EGNNConfig(
        num_features=FEATURES, num_layers=3, num_radial=0, envelope="none", cutoff=100.0,
        update_coordinates=update_coordinates, **options,
    )  # fmt: skip
    model = strong(EGNN(config))
    numbers = np.array([1, 6, 7, 8, 6])
    features = model(build_graph(x, numbers, config.cutoff))

    edges = [(i, j) for i in range(NUM_ATOMS) for j in range(NUM_ATOMS) if i != j]
    h, moving = model.embedding.weight.detach().numpy()[numbers], x
    for layer in model.layers:
        h, moving = reference_layer(layer, options, h, moving, edges, np.zeros((len(edges), 0)))
    np.testing.assert_allclose(features.scalar.detach().numpy(), h, rtol=1e-10, atol=1e-10)
    if update_coordinates:
        np.testing.assert_allclose(features.vector[..., 0].detach().numpy(), moving - x, rtol=1e-10, atol=1e-10)
    else:
        assert features.vector is None


def test_mean_divides_by_the_number_of_near_neighbors_and_by_one_for_an_isolated_atom() -> None:
    layer = EGNNLayer(EGNNConfig(num_features=FEATURES, aggregation="mean"), update_coordinates=True)
    centre = torch.tensor([0] * 20)
    count = layer._count(torch.ones(20, 1), centre, 2)
    assert count[:, 0].tolist() == pytest.approx([20.0, 1.0], abs=1e-6)


def test_coordinates_start_nearly_at_rest() -> None:
    """The paper's code starts the last layer of the shifts a thousandfold smaller, which keeps deep networks stable."""
    torch.manual_seed(0)
    config = EGNNConfig(num_features=FEATURES, num_layers=3)
    features = EGNN(config)(build_graph(np.random.default_rng(0).normal(size=(6, 3)) * 2, [6] * 6, config.cutoff))
    assert features.vector.abs().max() < 1e-2
