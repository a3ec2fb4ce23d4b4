"""PaiNN's features from tabulated filters: the equations of mlff/models/painn.py, its sums over neighbours in kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from mlff.models import PaiNN
from mlff.models.painn import Interaction

from .ops import Edges, Rule, neighbor_sum
from .tables import block_table, filter_coefficients, in_float64


def constants(model: PaiNN) -> list[Tensor]:
    """The table of every layer's filters."""
    radial, envelope, linear = (in_float64(module) for module in (model.radial, model.envelope, model.filters))

    def filters(distances: Tensor) -> Tensor:
        values = linear(radial(distances)) * envelope(distances).unsqueeze(1)
        return values.unflatten(1, (-1, model.config.num_features))

    dtype = model.filters.weight.dtype
    coefficients = filter_coefficients(filters, model.cutoff, dtype)
    return [block_table(coefficients[:, 3 * layer : 3 * layer + 3], dtype) for layer in range(model.config.num_layers)]


def scalars(model: PaiNN, numbers: Tensor, edges: Edges, tables: list[Tensor]) -> Tensor:
    """Scalar features ``[N, F]``; `tables` are ``constants(model)``."""
    q = model.embedding(numbers)
    mu = None
    for interaction, mixing, table in zip(model.interactions, model.mixings, tables):
        assert isinstance(interaction, Interaction)
        x, along_direction, along_mu = interaction.context(q).unflatten(1, (3, -1)).unbind(1)
        if mu is None:  # the vectors are zero still, and so is what comes of them
            sums = neighbor_sum(torch.stack((x, along_direction), dim=1), edges, table, Rule.VECTOR_MESSAGE_FIRST)
            q, mu = q + sums[:, 0], sums[:, 1:].contiguous()  # of a slice, `vector_mix` would be a product an atom
        else:
            sources = torch.cat((x.unsqueeze(1), along_direction.unsqueeze(1), along_mu.unsqueeze(1) * mu), dim=1)
            sums = neighbor_sum(sources, edges, table, Rule.VECTOR_MESSAGE)
            q, mu = q + sums[:, 0], mu + sums[:, 1:]
        q, mu = mixing(q, mu)
    return q
