"""Sums of values into the rows they belong to."""

from __future__ import annotations

from torch import Tensor


def scatter_sum(values: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """``out[r] = sum of values[k] over all k with index[k] = r``: ``[K, ...]`` to ``[num_rows, ...]``.

    A row that no value belongs to is zero.
    """
    return values.new_zeros(num_rows, *values.shape[1:]).index_add(0, index, values)
