"""PaiNN's features from tabulated filters: the equations of mlff/models/painn.py, its sums over neighbours in kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from mlff.models import PaiNN
from mlff.models.painn import Interaction

from .ops import Edges, Rule, neighbor_sum
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
    q = model.embedding(numbers)
    mu = None
    for interaction, mixing, table in zip(model.interactions, model.mixings, tables):
        if mu is None:  # scalars are the elements' still, and vectors zero
            sums = neighbor_sum(elements[numbers], edges, table, Rule.VECTOR_MESSAGE_FIRST)
            q, mu = q + sums[:, 0], sums[:, 1:].contiguous()  # of a slice, `vector_mix` would be a product an atom
        else:
            assert isinstance(interaction, Interaction)
            x, along_direction, along_mu = interaction.context(q).unflatten(1, (3, -1)).unbind(1)
            sources = torch.cat((x.unsqueeze(1), along_direction.unsqueeze(1), along_mu.unsqueeze(1) * mu), dim=1)
            sums = neighbor_sum(sources, edges, table, Rule.VECTOR_MESSAGE)
            q, mu = q + sums[:, 0], mu + sums[:, 1:]
        q, mu = mixing(q, mu)
    return q


def _first(model: PaiNN) -> Interaction:
    interaction = model.interactions[0]
    assert isinstance(interaction, Interaction)
    return interaction
