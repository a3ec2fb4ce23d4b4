"""EGNN's features from a kernel for its edge network: the equations of mlff/models/egnn.py, the distance's part tabulated."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mlff.models import EGNN
from mlff.models.egnn import EGNNLayer

from .ops import EdgeNetwork, Edges, edge_centres, edge_network
from .tables import block_table, filter_coefficients, in_float64


def constants(model: EGNN) -> list[Tensor]:
    """Of every layer the table of what its first linear layer makes of the distance; then of every layer, flat, the weights of
    the squared distance ``[F]``, of the message and, where positions are updated, of the shift ``[2, F, F]``."""
    radial = None if model.radial is None else in_float64(model.radial)
    linear = [(layer.edge.weight.detach().double(), layer.edge.bias.detach().double()) for layer in _layers(model)]
    first = 2 * model.config.num_features + 1

    def attributes(distances: Tensor) -> Tensor:
        values = distances.new_zeros(len(distances), 0) if radial is None else radial(distances)
        return torch.stack([values @ weight[:, first:].T + bias for weight, bias in linear], dim=1)

    dtype = model.embedding.weight.dtype
    coefficients = filter_coefficients(attributes, model.cutoff, dtype)
    tables = [block_table(coefficients[:, [index]], dtype) for index in range(len(model.layers))]
    weights: list[Tensor] = []
    for layer in _layers(model):
        weights += [layer.edge.weight[:, first - 1].detach().contiguous(), _both_ways(_linear(layer.message, 1))]
        if layer.shift is not None:
            weights.append(_both_ways(_linear(layer.shift, 0)))
    return [*tables, *weights]


def scalars(model: EGNN, numbers: Tensor, edges: Edges, tables_and_weights: list[Tensor]) -> Tensor:
    """Scalar features ``[N, F]``; `tables_and_weights` are ``constants(model)``."""
    layers = _layers(model)
    tables, weights = tables_and_weights[: len(layers)], iter(tables_and_weights[len(layers) :])
    centres, neighbors = edge_centres(edges), edges.neighbors.long()
    distances = edges.vectors.norm(dim=1)
    envelope = torch.ones_like(distances) if model.envelope is None else model.envelope(distances)
    h = model.embedding(numbers)
    moved = edges.vectors.new_zeros(numbers.shape[0], 3)
    for layer, table in zip(layers, tables):
        r_ij = edges.vectors + moved.index_select(0, neighbors) - moved.index_select(0, centres)
        squared = r_ij.square().sum(1)
        of_centre, of_neighbor = layer.edge.weight[:, : 2 * h.shape[1]].chunk(2, dim=1)
        network = _network(layer, table, next(weights), next(weights), None if layer.shift is None else next(weights))
        gathered, coefficients = edge_network(
            h @ of_centre.T, h @ of_neighbor.T, squared, envelope, centres, edges, network
        )
        if layer.shift is not None:
            for bound in list(layer.shift)[3:]:
                coefficients = bound(coefficients)
            lengths, columns, weight = squared.unsqueeze(1), coefficients.unsqueeze(1), envelope.unsqueeze(1)
            moved = moved + layer.shifts(r_ij, lengths, columns, weight, centres, numbers.shape[0])
        h = layer.updated(h, gathered)
    return h


def _network(
    layer: EGNNLayer, table: Tensor, squared_weights: Tensor, message_weights: Tensor, shift_weights: Tensor | None
) -> EdgeNetwork:
    network = EdgeNetwork(table, squared_weights, message_weights, _linear(layer.message, 1).bias)
    if layer.gate is not None:
        gate = _linear(layer.gate, 0)
        network = replace(network, gate=gate.weight[0], gate_bias=gate.bias)
    if layer.shift is not None:
        first, last = _linear(layer.shift, 0), _linear(layer.shift, 2)
        network = replace(
            network, shift_weights=shift_weights, shift_bias=first.bias, shift_last=last.weight[0]
        )
    return network


def _linear(network: nn.Sequential, place: int) -> nn.Linear:
    linear = network[place]
    assert isinstance(linear, nn.Linear)
    return linear


def _both_ways(linear: nn.Linear) -> Tensor:
    return torch.stack((linear.weight.detach().T, linear.weight.detach()))


def _layers(model: EGNN) -> list[EGNNLayer]:
    return [layer for layer in model.layers if isinstance(layer, EGNNLayer)]
