"""The kernels of ``kernels/`` as differentiable torch operators."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
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
_loaded: set[Path] = set()


def load(library: Path) -> None:
    """Register the operators of the compiled ``kernels/``, once a process."""
    if _loaded:
        return
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # compiled programs find the C functions of shims.h there
    torch.ops.load_library(str(library))
    torch.library.register_fake("mlff::neighbor_sum")(_sum_shape)
    torch.library.register_fake("mlff::neighbor_sum_backward")(_backward_shape)
    torch.library.register_fake("mlff::edge_forces")(_forces_shape)
    torch.library.register_fake("mlff::messages")(_messages_shape)
    torch.library.register_fake("mlff::messages_backward")(_messages_backward_shape)
    torch.library.register_fake("mlff::messages_backward_backward")(_messages_backward_backward_shape)
    torch.library.register_fake("mlff::add_rows")(lambda start, index, values: torch.empty_like(start))
    torch.library.register_fake("mlff::product")(lambda a, b, start: a.new_empty(a.shape[0], b.shape[1]))
    torch.library.register_autograd("mlff::neighbor_sum", _backward, setup_context=_keep)
    torch.library.register_autograd("mlff::messages", _messages_backward, setup_context=_keep)
    torch.library.register_autograd("mlff::messages_backward", _messages_backward_backward, setup_context=_keep)
    _loaded.add(library)


def c_functions() -> dict[Any, list[str]]:
    """The operators that programs call as C functions, with the declarations of ``kernels/shims.h``."""
    operators = {
        "neighbor_sum": (["source", "vectors", "basis", "offsets", "neighbors", "table"], "int64_t rule", ["sums"]),
        "neighbor_sum_backward": (
            ["grad_out", "source", "vectors", "basis", "offsets", "neighbors", "table"],
            "int64_t rule",
            ["grad_source", "grad_vectors"],
        ),
        "edge_forces": (["grad_vectors", "vectors", "offsets", "neighbors"], "", ["forces", "virial"]),
        "add_rows": (["start", "index", "values"], "", ["sums"]),
        "product": (["a", "b"], "const AtenTensorHandle* start", ["out"]),
    }
    declarations = {}
    for name, (tensors, other, results) in operators.items():
        given = [*(f"AtenTensorHandle {each}" for each in tensors), *filter(None, [other])]
        arguments = ", ".join([*given, *(f"AtenTensorHandle* {each}" for each in results)])
        declarations[getattr(torch.ops.mlff, name).default] = [f"AOTITorchError aoti_torch_cpu_{name}({arguments})"]
    return declarations


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
