"""Operations of a traced graph handed to the kernels, where Inductor's or the vendor's are slow."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, ops

FLOATS = (torch.float32, torch.float64)


def use_kernels(graph: fx.GraphModule) -> None:
    """Have sums into rows and matrix products done by the kernels of ``kernels/``, which must be loaded.

    Inductor's sums take one atomic operation a number; MKL's products leave half of some processors idle.
    """
    aten, mlff = ops.aten, ops.mlff
    for node in graph.graph.nodes:
        args: Any = node.args
        if node.op != "call_function" or node.kwargs or not _floats(node):
            continue
        if node.target is aten.index_add.default and args[1] == 0:
            start, _, index, values = args
            node.target, node.args = mlff.add_rows.default, (start, index, values)
        elif node.target is aten.index_put.default and _adds_rows(*args):
            start, (index,), values, _ = args
            node.target, node.args = mlff.add_rows.default, (start, index, values)
        elif node.target is aten.mm.default:
            node.target, node.args = mlff.product.default, (*args, None)
        elif node.target is aten.addmm.default:
            start, a, b = args
            node.target, node.args = mlff.product.default, (a, b, start)
    graph.recompile()


def _floats(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype in FLOATS


def _adds_rows(start: Any, indices: Any, values: Any, accumulate: bool = False) -> bool:
    """Whether an ``index_put`` adds whole rows into rows that a list of integers names."""
    if not accumulate or len(indices) != 1 or not all(isinstance(each, fx.Node) for each in (start, *indices, values)):
        return False
    rows, index, added = (each.meta["val"] for each in (start, indices[0], values))
    return index.dtype == torch.int64 and index.dim() == 1 and added.shape == (index.shape[0], *rows.shape[1:])
