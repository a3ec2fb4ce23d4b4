"""The kernels of ``kernels/`` as differentiable torch operators."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Rule(IntEnum):
    """How messages are made (see ``kernels/rules.h``); with the rows of source and sum."""

    VECTOR_MESSAGE_FIRST = 0
    VECTOR_MESSAGE = 1
    TENSOR_MESSAGE = 2
    TENSOR_EMBEDDING = 3


NUM_OUT = {Rule.VECTOR_MESSAGE_FIRST: 4, Rule.VECTOR_MESSAGE: 4, Rule.TENSOR_MESSAGE: 9, Rule.TENSOR_EMBEDDING: 18}
_loaded: dict[Path, ctypes.CDLL] = {}


def load(library: Path) -> None:
    """Register the operators of the compiled ``kernels/``, once a process."""
    if _loaded:
        return
    functions = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # compiled programs find those of shims.h there
    torch.ops.load_library(str(library))
    torch.library.register_fake("mlff::neighbor_sum")(_sum_shape)
    torch.library.register_fake("mlff::neighbor_sum_backward")(_backward_shape)
    torch.library.register_fake("mlff::edge_forces")(_forces_shape)
    torch.library.register_fake("mlff::messages")(_messages_shape)
    torch.library.register_fake("mlff::messages_backward")(_messages_backward_shape)
    torch.library.register_fake("mlff::messages_backward_backward")(_messages_backward_backward_shape)
    torch.library.register_fake("mlff::edge_network")(_edge_network_shape)
    torch.library.register_fake("mlff::edge_network_backward")(_edge_network_backward_shape)
    torch.library.register_fake("mlff::edge_centres")(lambda offsets, neighbors: neighbors.new_empty(neighbors.shape).long())
    torch.library.register_fake("mlff::add_rows")(lambda start, index, values: torch.empty_like(start))
    torch.library.register_fake("mlff::product")(lambda a, b, start: a.new_empty(a.shape[0], b.shape[1]))
    torch.library.register_autograd("mlff::neighbor_sum", _backward, setup_context=_keep)
    torch.library.register_autograd("mlff::messages", _messages_backward, setup_context=_keep)
    torch.library.register_autograd("mlff::messages_backward", _messages_backward_backward, setup_context=_keep)
    torch.library.register_autograd("mlff::edge_network", _edge_network_backward, setup_context=_keep_edge_network)
    _loaded[library] = functions


def c_functions() -> dict[Any, list[str]]:
    """The operators that programs call as C functions, with the declarations of ``kernels/shims.h``."""

    def tensors(*names: str) -> list[str]:
        return [f"AtenTensorHandle {name}" for name in names]

    def optional(*names: str) -> list[str]:
        return [f"const AtenTensorHandle* {name}" for name in names]

    def results(*names: str) -> list[str]:
        return [f"AtenTensorHandle* {name}" for name in names]

    network = [
        *tensors("of_centre", "of_neighbor", "squared", "envelope", "vectors", "basis", "centres", "neighbors", "table"),
        *tensors("squared_weights", "message_weights", "message_bias"),
        *optional("gate", "gate_bias", "shift_weights", "shift_bias", "shift_last"),
    ]
    edges = tensors("source", "vectors", "basis", "offsets", "neighbors", "table")
    operators = {
        "neighbor_sum": [*edges, "int64_t rule", *results("sums")],
        "neighbor_sum_backward": [
            *tensors("grad_out"), *edges, "int64_t rule", *results("grad_source", "grad_vectors")
        ],
        "edge_forces": [*tensors("grad_vectors", "vectors", "offsets", "neighbors"), *results("forces", "virial")],
        "add_rows": [*tensors("start", "index", "values"), *results("sums")],
        "product": [*tensors("a", "b"), *optional("start"), *results("out")],
        "edge_centres": [*tensors("offsets", "neighbors"), *results("centres")],
        "edge_network": [*network, *results("gathered", "coefficients", "y", "z")],
        "edge_network_backward": [
            *tensors("grad_gathered", "grad_coefficients", "y", "z"), *network,
            *results("grad_centre", "grad_neighbor", "grad_squared", "grad_envelope", "grad_vectors"),
        ],
    }  # fmt: skip
    return {
        getattr(torch.ops.mlff, name).default: [f"AOTITorchError aoti_torch_cpu_{name}({', '.join(arguments)})"]
        for name, arguments in operators.items()
    }


@dataclass(frozen=True)
class Edges:
    """The directed edges of one structure, both directions of every pair, sorted by centre."""

    vectors: Tensor
    """From each edge's centre to its neighbour, Å: ``[E, 3]``."""
    basis: Tensor
    """Spline weights and direction, made with the vectors: ``[E, 16]``."""
    offsets: Tensor
    """First edge of each atom, and the number of edges, int32 ``[N + 1]``."""
    neighbors: Tensor
    """int32 ``[E]``."""


def neighbor_sum(source: Tensor, edges: Edges, table: Tensor, rule: Rule) -> Tensor:
    """Messages of all neighbours, summed at each atom: ``[N, A, F]``; differentiable in ``source`` and the vectors.

    The gradient of a message is handed to the vector of the reverse edge: what depends on both directions of a pair, as
    forces and stress do, is right; a single edge's gradient is not meant to be used.

    Args:
        source: ``[N, B, F]``.
        edges: of one structure, or of several side by side.
        table: of the filters, see ``block_table``.
        rule: how messages are made; it sets A and B.
    """
    return torch.ops.mlff.neighbor_sum(
        source, edges.vectors, edges.basis, edges.offsets, edges.neighbors, table, int(rule)
    )


def messages(source: Tensor, filters: Tensor, directions: Tensor, pairs: Tensor, rule: Rule) -> Tensor:
    """Messages of all neighbours, summed at each atom: ``[N, A, F]``; differentiable twice in all but the pairs.

    Args:
        source: ``[N, B, F]``.
        filters: of every pair, ``[P, 3, F]``; rows may lie apart, as in a slice of the filters of all layers.
        directions: unit vectors from the first atom of each pair to its second, ``[P, 3]``.
        pairs: int64 ``[2, P]``.
        rule: how messages are made; it sets A and B.
    """
    return torch.ops.mlff.messages(source, filters, _polynomials(directions, rule), pairs, int(rule))


def own_products() -> bool:
    """Whether products are those of ``kernels/products.h`` on this processor; the kernels must be loaded."""
    (library,) = _loaded.values()
    return bool(library.mlff_own_products())


@dataclass(frozen=True)
class EdgeNetwork:
    """Weights of EGNN's edge network; square ones transposed and as they are, ``[2, F, F]``."""

    table: Tensor
    """What the first linear layer makes of the distance, with its bias: see ``block_table``."""
    squared_weights: Tensor
    """What it multiplies the squared distance by, ``[F]``."""
    message_weights: Tensor
    message_bias: Tensor
    """``[F]``."""
    gate: Tensor | None = None
    """``[F]``; None for messages that are not gated."""
    gate_bias: Tensor | None = None
    """``[1]``."""
    shift_weights: Tensor | None = None
    """None where positions stay."""
    shift_bias: Tensor | None = None
    """``[F]``."""
    shift_last: Tensor | None = None
    """``[F]``."""


def edge_network(
    of_centre: Tensor, of_neighbor: Tensor, squared: Tensor, envelope: Tensor, centres: Tensor, edges: Edges,
    network: EdgeNetwork,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Messages summed at each atom ``[N, F]``, and each edge's coefficient ``[E]``; differentiable in all but the centres.

    Args:
        of_centre: what the first linear layer makes of every atom as centre, ``[N, F]``.
        of_neighbor: of every atom as neighbour, ``[N, F]``.
        squared: distance of every edge as atoms have moved, Å², ``[E]``.
        envelope: of every edge, ``[E]``.
        centres: of every edge, int64 ``[E]``.
        edges: of one structure, or of several side by side.
        network: the weights, which are constants.
    """
    weights = (getattr(network, field.name) for field in fields(network))
    gathered, coefficients, _, _ = torch.ops.mlff.edge_network(
        of_centre, of_neighbor, squared, envelope, edges.vectors, edges.basis, centres, edges.neighbors, *weights
    )
    return gathered, coefficients


def edge_centres(edges: Edges) -> Tensor:
    """The centre of every edge, int64 ``[E]``."""
    return torch.ops.mlff.edge_centres(edges.offsets, edges.neighbors)


def _polynomials(u: Tensor, rule: Rule) -> Tensor:
    """Those of directions ``[P, 3]`` that the rule has beside 1, in the order of ``kernels/rules.h``."""
    if rule == Rule.TENSOR_MESSAGE:
        return u[:, :0]
    if rule != Rule.TENSOR_EMBEDDING:
        return u
    x, y, z = u.unbind(1)
    second = (y * z, x * z, x * y, 0.5 * (x * x - y * y), (2 * z * z - x * x - y * y) / 12**0.5)
    return torch.stack((x, y, z, *second), dim=1)


def _sum_shape(source: Tensor, *tensors_and_rule: Any) -> Tensor:
    rule = tensors_and_rule[-1]
    return source.new_empty(source.shape[0], NUM_OUT[Rule(rule)], source.shape[2])


def _backward_shape(grad_out: Tensor, source: Tensor, vectors: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(source, memory_format=torch.contiguous_format), torch.empty_like(vectors)


def _forces_shape(grad_vectors: Tensor, vectors: Tensor, offsets: Tensor, neighbors: Tensor) -> tuple[Tensor, Tensor]:
    forces = vectors.new_empty(offsets.shape[0] - 1, 3, dtype=torch.float64)
    return forces, forces.new_empty(3, 3)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, rule = inputs
    ctx.save_for_backward(*tensors)
    ctx.rule = rule


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    grad_source, grad_vectors = torch.ops.mlff.neighbor_sum_backward(grad_out.contiguous(), *ctx.saved_tensors, ctx.rule)
    return grad_source, grad_vectors, None, None, None, None, None


def _messages_shape(source: Tensor, filters: Tensor, geometry: Tensor, pairs: Tensor, rule: int) -> Tensor:
    return source.new_empty(source.shape[0], NUM_OUT[Rule(rule)], source.shape[2])


def _messages_backward_shape(grad: Tensor, *tensors_and_rule: Any) -> tuple[Tensor, ...]:
    source, filters, geometry, *_ = tensors_and_rule
    return tuple(grad.new_empty(each.shape) for each in (source, filters, geometry))


def _messages_backward_backward_shape(*tensors_and_rule: Any) -> tuple[Tensor, ...]:
    *_, grad, source, filters, geometry, _, _ = tensors_and_rule
    return tuple(grad.new_empty(each.shape) for each in (grad, source, filters, geometry))


def _messages_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*torch.ops.mlff.messages_backward(grad, *ctx.saved_tensors, ctx.rule), None, None)


def _messages_backward_backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
    return (*torch.ops.mlff.messages_backward_backward(*tangents, *ctx.saved_tensors, ctx.rule), None, None)


def _edge_network_shape(
    of_centre: Tensor, of_neighbor: Tensor, squared: Tensor, *others: Tensor | None
) -> tuple[Tensor, ...]:
    num_edges, num_features = squared.shape[0], of_centre.shape[1]
    shifted = 0 if others[-1] is None else num_edges
    shapes = (of_centre.shape, (shifted,), (num_edges, num_features), (shifted, num_features))
    return tuple(of_centre.new_empty(shape) for shape in shapes)


def _edge_network_backward_shape(
    grad_gathered: Tensor, grad_coefficients: Tensor, y: Tensor, z: Tensor, *inputs: Tensor
) -> tuple[Tensor, ...]:
    return tuple(y.new_empty(each.shape) for each in inputs[:5])


def _keep_edge_network(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[2:], *inputs)
    ctx.set_materialize_grads(False)


def _edge_network_backward(ctx: Any, grad_gathered: Tensor, grad_coefficients: Tensor | None, *_: None) -> tuple[Any, ...]:
    y, z, *inputs = ctx.saved_tensors
    if grad_coefficients is None:
        grad_coefficients = z.new_zeros(z.shape[0])
    gradients = torch.ops.mlff.edge_network_backward(
        grad_gathered.contiguous(), grad_coefficients.contiguous(), y, z, *inputs
    )
    return (*gradients, *(None for _ in inputs[len(gradients) :]))
