"""EGNN against the equations of its paper (arXiv:2102.09844), written again in numpy, edge by edge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mlff.graph import build_graph
from mlff.models import EGNN, EGNNConfig

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
    return x * expit(x)


def linear(layer: torch.nn.Module, x: Array) -> Array:
    y = layer.weight.detach().numpy() @ x
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def reference_layer(
    layer: torch.nn.Module, options: dict, h: Array, x: Array, edges: list[tuple[int, int]], attributes: Array
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
            message[e] *= expit(linear(layer.gate[0], message[e]))
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
        torch.nn.init.normal_(parameter, std=0.4)
    return module.double()


@pytest.mark.parametrize("options", PAPER, ids=options_id)
@pytest.mark.parametrize("num_radial", [0, 3])
@pytest.mark.parametrize("update_coordinates", [True, False])
def test_network_obeys_the_equations_of_the_paper(options, num_radial, update_coordinates) -> None:
    """Three layers; the radial functions are the paper's edge attributes. The last atom has no neighbour."""
    x = np.random.default_rng(3).normal(size=(NUM_ATOMS, 3)) * 1.2
    x[-1] += 50.0
    numbers = np.array([1, 6, 7, 8, 6])
    torch.manual_seed(1)
    config = EGNNConfig(
        num_features=FEATURES, num_layers=3, num_radial=num_radial, envelope="none", cutoff=4.5,
        update_coordinates=update_coordinates, **options,
    )  # fmt: skip
    model = strong(EGNN(config))
    features = model(build_graph(x, numbers, config.cutoff))

    distances = np.linalg.norm(x[:, None] - x, axis=2)
    edges = [(i, j) for i, j in itertools.permutations(range(NUM_ATOMS), 2) if distances[i, j] < config.cutoff]
    assert 0 < len(edges) < (NUM_ATOMS - 1) * (NUM_ATOMS - 2)  # not all atoms see each other
    attributes = np.zeros((len(edges), 0))
    if num_radial:
        attributes = model.radial(torch.tensor([distances[edge] for edge in edges])).detach().numpy()
    h, moving = model.embedding.weight.detach().numpy()[numbers], x
    for layer in model.layers:
        h, moving = reference_layer(layer, options, h, moving, edges, attributes)
    np.testing.assert_allclose(features.scalar.detach().numpy(), h, rtol=1e-10, atol=1e-12)
    if update_coordinates:
        np.testing.assert_allclose(features.vector[..., 0].detach().numpy(), moving - x, rtol=1e-10, atol=1e-12)
        assert np.abs(moving - x).max() > 1e-3  # the test would be void if nothing moved
    else:
        assert features.vector is None


def test_mean_counts_neighbors_by_their_envelope_so_that_none_enters_at_once() -> None:
    """Near the cutoff a neighbour counts for nothing; the mean over 1 neighbour and over 1 + epsilon is the same."""
    torch.manual_seed(0)
    config = EGNNConfig(num_features=FEATURES, num_layers=2, aggregation="mean", cutoff=3.0)
    model = strong(EGNN(config))

    def shift_of_first_atom(distance: float) -> torch.Tensor:
        graph = build_graph([[0, 0, 0], [1.1, 0, 0], [0, 0, distance]], [6, 1, 8], config.cutoff)
        return model(graph).vector[0]

    inside, outside = shift_of_first_atom(3.0 - 1e-4), shift_of_first_atom(3.0 + 1e-4)
    torch.testing.assert_close(inside, outside, rtol=0, atol=1e-8)
    assert inside.abs().max() > 1e-3


def test_coordinates_start_nearly_at_rest() -> None:
    """The paper's code starts the last layer of the shifts a thousandfold smaller, which keeps deep networks stable."""
    torch.manual_seed(0)
    config = EGNNConfig(num_features=FEATURES, num_layers=3)
    features = EGNN(config)(build_graph(np.random.default_rng(0).normal(size=(6, 3)) * 2, [6] * 6, config.cutoff))
    assert features.vector.abs().max() < 1e-2
