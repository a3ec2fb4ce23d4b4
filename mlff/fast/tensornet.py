"""TensorNet's features from tabulated filters: the equations of mlff/models/tensornet.py, its sums in kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mlff.graph import Graph
from mlff.models import TensorNet
from mlff.models.tensornet import PARTS, Interaction
from mlff.nn import Features

from .ops import Edges, Rule, messages, neighbor_sum
from .tables import block_table, filter_coefficients, in_float64

NUM_PARTS = len(PARTS)
DYAD_NORMS = (3**0.5, 2**0.5, 2**0.5)
"""What the kernels' polynomials of a direction are multiplied by to be the components of its dyads."""


def constants(model: TensorNet) -> list[Tensor]:
    """Tables of the embedding's and of every layer's filters, the filters ``[3, F]`` of an atom on itself for each of these,
    and what the embedding makes of every element as centre and as neighbour, ``[elements, 2, F]``."""
    radial, envelope, first = (in_float64(module) for module in (model.radial, model.envelope, model.embedding.radial))
    layers = [in_float64(layer.filters) for layer in _interactions(model)]
    norms = torch.tensor(DYAD_NORMS, dtype=torch.float64).unsqueeze(1)

    def filters(distances: Tensor) -> Tensor:
        basis = radial(distances)
        embedding = first(basis).unflatten(1, (NUM_PARTS, -1)) * norms
        others = (layer(basis).unflatten(1, (-1, NUM_PARTS)).transpose(1, 2) for layer in layers)
        return torch.cat((embedding, *others), dim=1) * envelope(distances)[:, None, None]

    dtype = model.norm.weight.dtype
    coefficients = filter_coefficients(filters, model.cutoff, dtype)
    starts = range(0, coefficients.shape[1], NUM_PARTS)
    tables = [block_table(coefficients[:, start : start + NUM_PARTS], dtype) for start in starts]
    itself = filters(torch.zeros(1, dtype=torch.float64))[0].to(dtype) * float(model.config.self_loops)
    return [*tables, *itself.split(NUM_PARTS), _elements(model).detach()]


def scalars(model: TensorNet, numbers: Tensor, edges: Edges, tables_and_more: list[Tensor]) -> Tensor:
    """Scalar features ``[N, F]``; `tables_and_more` are ``constants(model)``."""
    *filters, elements = tables_and_more
    half = len(filters) // 2
    sums = [partial(neighbor_sum, edges=edges, table=table) for table in filters[:half]]
    return _scalars(model, elements[numbers], sums, filters[half:])


def trained(model: TensorNet, graph: Graph) -> Features:
    """What ``model(graph)`` is, as a function that is compiled for training: filters from the weights, sums in kernels."""
    r_ij = graph.pair_vectors(model.norm.weight.dtype)
    distances = r_ij.norm(dim=1)
    directions = r_ij / distances.unsqueeze(1)
    # Last comes the distance of an atom to itself, whose filters are those of self-loops.
    lengths = torch.cat((distances, distances.new_zeros(1)))
    basis, envelope = model.radial(lengths), model.envelope(lengths)[:, None, None]
    norms = basis.new_tensor(DYAD_NORMS).unsqueeze(1)
    all_filters = [model.embedding.radial(basis).unflatten(1, (NUM_PARTS, -1)) * norms * envelope]
    for layer in _interactions(model):
        *inner, last, activation = layer.filters.children()
        assert isinstance(last, nn.Linear)
        values = nn.Sequential(*inner)(basis)
        # The weights of the three parts stand in turn; as blocks, a filter of all features is one row.
        weight = last.weight.unflatten(0, (-1, NUM_PARTS)).transpose(0, 1).flatten(0, 1)
        bias = last.bias.unflatten(0, (-1, NUM_PARTS)).T.flatten()
        values = activation(torch.nn.functional.linear(values, weight, bias)).unflatten(1, (NUM_PARTS, -1))
        all_filters.append(values * envelope)
    sums = [partial(messages, filters=f[:-1], directions=directions, pairs=graph.pairs) for f in all_filters]
    itself = [filters[-1] * float(model.config.self_loops) for filters in all_filters]
    return Features(scalar=_scalars(model, _elements(model)[graph.atomic_numbers], sums, itself))


def _scalars(model: TensorNet, elements: Tensor, sums: Sequence[Callable[..., Tensor]], itself: Sequence[Tensor]) -> Tensor:
    """The layers, given every atom's part in the factors of pairs, how each layer sums over neighbours, and its filters
    ``[3, F]`` of an atom on itself."""
    x = _embedding(model, elements, sums[0], itself[0])
    for layer, sum_over_neighbors, on_itself in zip(_interactions(model), sums[1:], itself[1:]):
        x = [part / (_squared_norm(x) + 1).unsqueeze(1) for part in x]
        y = _mix(layer.mix_before, x)
        message = sum_over_neighbors(torch.cat(y, dim=1), rule=Rule.TENSOR_MESSAGE).split(PARTS, dim=1)
        message = [from_others + part * factor for from_others, part, factor in zip(message, y, on_itself)]
        matrix, other = _to_matrix(y), _to_matrix(message)
        product = _product(matrix, other)
        if layer.group == "O(3)":
            product = [[a + b for a, b in zip(*rows)] for rows in zip(product, _product(other, matrix))]
        else:
            product = [[2 * a for a in row] for row in product]
        dx = _from_matrix(product)
        dx = _mix(layer.mix_after, [part / (_squared_norm(dx) + 1).unsqueeze(1) for part in dx])
        dx_matrix = _to_matrix(dx)
        squares = _from_matrix(_product(dx_matrix, dx_matrix))
        x = [a + b + c for a, b, c in zip(x, dx, squares)]
    return model.readout(model.norm(torch.cat([part.square().sum(1) for part in x], dim=1)))


Parts = list[Tensor]
"""The components of I, A and S: ``[N, 1, F]``, ``[N, 3, F]``, ``[N, 5, F]``."""
Matrix = list[list[Tensor]]
"""The nine elements of every feature's matrix, each ``[N, F]``."""


def _elements(model: TensorNet) -> Tensor:
    """Every element's part, as centre and as neighbour, in the factors of pairs: ``[elements, 2, F]``."""
    z, pair = model.embedding.element.weight, model.embedding.element_pair
    centre_weight, neighbor_weight = pair.weight.chunk(2, dim=1)
    return torch.stack((z @ centre_weight.T + pair.bias, z @ neighbor_weight.T), dim=1)


def _embedding(model: TensorNet, elements: Tensor, sum_over_neighbors: Callable[..., Tensor], itself: Tensor) -> Parts:
    embedding = model.embedding
    centre, neighbor = elements.unbind(1)
    sums = sum_over_neighbors(torch.stack((torch.ones_like(neighbor), neighbor), dim=1), rule=Rule.TENSOR_EMBEDDING)
    x = centre.unsqueeze(1) * sums[:, :9] + sums[:, 9:]
    parts = list(x.split(PARTS, dim=1))
    parts[0] = parts[0] + (itself[0] * (centre + neighbor)).unsqueeze(1)  # the dyad of no direction is the identity
    scale = embedding.scale(embedding.norm(_squared_norm(parts))).unflatten(1, (-1, NUM_PARTS))
    return [part * scale[:, :, k].unsqueeze(1) for k, part in enumerate(_mix(embedding.mix, parts))]


def _interactions(model: TensorNet) -> list[Interaction]:
    return [layer for layer in model.interactions if isinstance(layer, Interaction)]


def _mix(layers: nn.ModuleList, parts: Parts) -> Parts:
    # A linear layer of a slice in three dimensions would become a matrix product an atom.
    return [layer(part.flatten(0, 1)).view_as(part) for layer, part in zip(layers, parts)]


def _squared_norm(parts: Parts) -> Tensor:
    """Squared Frobenius norm of every feature's matrix, ``[N, F]``."""
    scalar, vector, tensor = (part.square().sum(1) for part in parts)
    return scalar + vector + tensor


def _to_matrix(parts: Parts) -> Matrix:
    """Elements from components, in the orthonormal basis of mlff/models/tensornet.py."""
    scalar, vector, tensor = parts
    trace = scalar[:, 0] / math.sqrt(3)
    vx, vy, vz = (vector / math.sqrt(2)).unbind(1)
    yz, xz, xy, difference, zz = (tensor / math.sqrt(2)).unbind(1)
    zz = zz / math.sqrt(3)
    return [
        [trace + difference - zz, xy - vz, xz + vy],
        [xy + vz, trace - difference - zz, yz - vx],
        [xz - vy, yz + vx, trace + 2 * zz],
    ]


def _from_matrix(m: Matrix) -> Parts:
    """Components from elements."""
    half = math.sqrt(0.5)
    scalar = (m[0][0] + m[1][1] + m[2][2]) / math.sqrt(3)
    vector = [half * (m[2][1] - m[1][2]), half * (m[0][2] - m[2][0]), half * (m[1][0] - m[0][1])]
    tensor = [half * (m[2][1] + m[1][2]), half * (m[0][2] + m[2][0]), half * (m[1][0] + m[0][1]),
              half * (m[0][0] - m[1][1]), (2 * m[2][2] - m[0][0] - m[1][1]) / math.sqrt(6)]  # fmt: skip
    return [scalar.unsqueeze(1), torch.stack(vector, dim=1), torch.stack(tensor, dim=1)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    """Matrix product of every feature's matrices."""
    return [[a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j] for j in range(3)] for i in range(3)]
