"""PaiNN's features from tabulated filters: the equations of mlff/models/painn.py, its sums over neighbours in kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from mlff.graph import Graph
from mlff.models import PaiNN
from mlff.models.painn import Interaction
from mlff.nn import Features

from .ops import Edges, Rule, messages, neighbor_sum
from .tables import block_table, filter_coefficients, in_float64


def constants(model: PaiNN) -> list[Tensor]:
    """The table of every layer's filters, then what the first layer's network makes of every element, ``[elements, 2, F]``."""
    radial, envelope, linear = (in_float64(module) for module in (model.radial, model.envelope, model.filters))

    def filters(distances: Tensor) -> Tensor:
        values = linear(radial(distances)) * envelope(distances).unsqueeze(1)
        return values.unflatten(1, (-1, model.config.num_features))

    dtype = model.filters.weight.dtype
    coefficients = filter_coefficients(filters, model.cutoff, dtype)
    tables = [block_table(coefficients[:, 3 * layer : 3 * layer + 3], dtype) for layer in range(model.config.num_layers)]
    with torch.no_grad():
        elements = _first(model).context(model.embedding.weight).unflatten(1, (3, -1))
    return [*tables, elements[:, :2].contiguous()]  # the last third is for vectors, which are zero still


def scalars(model: PaiNN, numbers: Tensor, edges: Edges, tables_and_elements: list[Tensor]) -> Tensor:
    """Scalar features ``[N, F]``; `tables_and_elements` are ``constants(model)``."""
    *tables, elements = tables_and_elements
    return _features(model, numbers, elements, [partial(neighbor_sum, edges=edges, table=table) for table in tables]).scalar


def trained(model: PaiNN, graph: Graph) -> Features:
    """What ``model(graph)`` is, as a function that is compiled for training: filters from the weights, sums in kernels."""
    r_ij = graph.pair_vectors(model.filters.weight.dtype)
    distances = r_ij.norm(dim=1)
    directions = r_ij / distances.unsqueeze(1)
    # The bias is a column of the weights, and the envelope multiplies the basis: 21 numbers a pair, not all of its filters.
    envelope = model.envelope(distances).unsqueeze(1)
    basis = torch.cat((model.radial(distances) * envelope, envelope), dim=1)
    weights = torch.cat((model.filters.weight, model.filters.bias.unsqueeze(1)), dim=1)
    sums = []
    for weight in weights.chunk(model.config.num_layers):
        filters = (basis @ weight.T).unflatten(1, (3, -1))
        sums.append(partial(messages, filters=filters, directions=directions, pairs=graph.pairs))
    elements = _first(model).context(model.embedding.weight).unflatten(1, (3, -1))[:, :2]
    return _features(model, graph.atomic_numbers, elements, sums)


def _features(model: PaiNN, numbers: Tensor, elements: Tensor, sums: Sequence[Callable[..., Tensor]]) -> Features:
    """The layers, given what the first one's network makes of every element and how each sums over neighbours."""
    q = model.embedding(numbers)
    mu = None
    for interaction, mixing, sum_over_neighbors in zip(model.interactions, model.mixings, sums):
        if mu is None:  # scalars are the elements' still, and vectors zero
            summed = sum_over_neighbors(elements[numbers], rule=Rule.VECTOR_MESSAGE_FIRST)
            q, mu = q + summed[:, 0], summed[:, 1:].contiguous()  # of a slice, `vector_mix` would be a product an atom
        else:
            assert isinstance(interaction, Interaction)
            x, along_direction, along_mu = interaction.context(q).unflatten(1, (3, -1)).unbind(1)
            sources = torch.cat((x.unsqueeze(1), along_direction.unsqueeze(1), along_mu.unsqueeze(1) * mu), dim=1)
            summed = sum_over_neighbors(sources, rule=Rule.VECTOR_MESSAGE)
            q, mu = q + summed[:, 0], mu + summed[:, 1:]
        q, mu = mixing(q, mu)
    return Features(scalar=q, vector=mu)


def _first(model: PaiNN) -> Interaction:
    interaction = model.interactions[0]
    assert isinstance(interaction, Interaction)
    return interaction
