"""Features: what a model knows of every atom, and what a head reads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """What a model knows of every atom."""

    scalar: Tensor
    """``[N, F]``; unchanged when the structure turns or moves."""
    vector: Tensor | None = None
    """Polar vectors ``[N, 3, F']``, turning with the structure; None for a model without."""
