"""What one call of a potential computes, counted on its uncompiled graph: arithmetic, bytes, kernels, allocations.

Counts do not depend on the machine or on what else runs there, so a test can hold the code to them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mlff.graph import Graph
from mlff.potential.potential import Potential

Part = Literal["atoms", "pairs", "edges"]
"""Whose rows an operation has: atoms'; pairs', which depend on a distance alone; those of directed edges."""
PARTS: tuple[Part, ...] = ("atoms", "pairs", "edges")
Product = tuple[int, int, int, int]
"""Shape of a matrix product: batch, rows, inner, columns."""


@dataclass
class Operations:
    """Counts of one energy + force call."""

    kernels: int = 0
    """Operations that compute or move data; views and empty allocations are none."""
    allocated_bytes: int = 0
    """Sum of all new results, whether they live at the same time or not."""
    moved_bytes: int = 0
    """Operands and results of every operation: what uncompiled code reads and writes."""
    product_bytes: int = 0
    """Operands and results of the matrix products alone: what is left where all else is fused."""
    product_flop: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """Multiplications and additions in matrix products."""
    other_flop: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """One for every floating-point number that another operation computes."""
    products: dict[Part, Counter[Product]] = field(default_factory=lambda: {part: Counter() for part in PARTS})
    """How often each shape of matrix product occurs."""

    def flop(self, parts: Iterable[Part] = PARTS) -> int:
        """Arithmetic operations of these parts."""
        return sum(self.product_flop[part] + self.other_flop[part] for part in parts)


def count_operations(potential: Potential, graph: Graph) -> Operations:
    """Count an energy + force call; the weights are taken as frozen, as a calculator has them."""
    with _Counting(graph) as counting, torch.no_grad():
        wanted = [parameter.requires_grad for parameter in potential.parameters()]
        training = potential.training
        try:
            potential.requires_grad_(False).eval()
            potential(graph)
        finally:
            potential.train(training)
            for parameter, want in zip(potential.parameters(), wanted):
                parameter.requires_grad_(want)
    return counting.operations


class _Counting(TorchDispatchMode):
    """Sees every operation below autograd."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.operations = Operations()
        edges, with_loops = 2 * graph.num_pairs, 2 * graph.num_pairs + graph.num_atoms
        # A product over edges and self-loops is a radial function, written for each edge: no loop has a direction or a message.
        self._product_rows: dict[int, Part] = {with_loops: "pairs", edges: "edges", graph.num_pairs: "pairs"}
        self._other_rows: dict[int, Part] = {with_loops: "edges", edges: "edges", graph.num_pairs: "pairs"}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operands = _tensors((args, kwargs))
        known = {tensor.untyped_storage().data_ptr() for tensor in operands}
        results = _tensors(result)
        new = [tensor for tensor in results if tensor.untyped_storage().data_ptr() not in known]
        written = new or (results if func._schema.is_mutable else [])
        if not written or func.overloadpacket.__name__.startswith(("empty", "new_empty")):
            return result
        count = self.operations
        count.kernels += 1
        count.allocated_bytes += sum(map(_bytes, new))
        moved = sum(map(_bytes, operands)) + sum(map(_bytes, new))
        count.moved_bytes += moved
        if func.overloadpacket in flop_registry:
            part = _part(math.prod(results[0].shape[:-1]), self._product_rows)
            count.product_flop[part] += flop_registry[func.overloadpacket](*args, **kwargs, out_val=result)
            count.product_bytes += moved
            left, right = operands[-2:]
            count.products[part][_shape(left, right, results[0])] += 1
        else:
            for tensor in written:
                if tensor.is_floating_point():
                    count.other_flop[_part(tensor.shape[0] if tensor.ndim else 1, self._other_rows)] += tensor.numel()
        return result


def _part(rows: int, known: Mapping[int, Part]) -> Part:
    """The part with these rows or a divisor of them; else they are the atoms'."""
    return next((part for number, part in known.items() if number and rows and rows % number == 0), "atoms")


def _shape(left: Tensor, right: Tensor, result: Tensor) -> Product:
    """Of a product of two operands; a batch that shares its right operand is one product of more rows."""
    *dimensions, rows, columns = result.shape
    batch, inner = math.prod(dimensions), left.shape[-1]
    shared = right.ndim == 3 and right.stride(0) == 0
    return (1, batch * rows, inner, columns) if shared else (batch, rows, inner, columns)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    """Bytes of the elements that are there: an expanded tensor's are not."""
    used = [n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return math.prod(used) * tensor.element_size()
