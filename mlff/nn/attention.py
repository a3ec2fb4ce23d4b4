"""Attention of ET and ViSNet: heads that weight neighbours, without a softmax, so that sums stay sums over neighbours."""

from __future__ import annotations

from pydantic import ValidationInfo
from torch import Tensor, nn


def checked_heads(num_heads: int, info: ValidationInfo) -> int:
    """Validator of the setting ``num_heads``, which stands after ``num_features``.

    Raises:
        ValueError: heads that the features cannot be shared out to, or an odd number of features.
    """
    num_features = info.data.get("num_features", 2 * num_heads)
    if num_features % num_heads or num_features % 2:
        raise ValueError(f"num_features={num_features} must be even and a multiple of num_heads")
    return num_heads


def attend(query: Tensor, key: Tensor, key_filter: Tensor, value: Tensor, fade: Tensor | None, num_heads: int) -> Tensor:
    """Values ``[..., F]``, every head's F / H of them times ``silu(<query, key, filter>)`` of that head and ``fade``.

    Args:
        query, key, key_filter, value: ``[..., F]``.
        fade: the envelope, ``[P, 1]``; None for values that have it already.
        num_heads: H.
    """
    scores = (query * key * key_filter).unflatten(-1, (num_heads, -1)).sum(-1)
    weights = nn.functional.silu(scores)
    weights = weights if fade is None else weights * fade
    return (value.unflatten(-1, (num_heads, -1)) * weights.unsqueeze(-1)).flatten(-2)
