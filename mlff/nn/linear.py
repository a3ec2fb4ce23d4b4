"""Linear layers with the first weights that most of the papers' own code has."""

from __future__ import annotations

from torch import nn


def glorot_linear(num_in: int, num_out: int, bias: bool = True) -> nn.Linear:
    """A linear layer with Glorot weights and zero bias (Glorot, Bengio, AISTATS 2010, eq. 16)."""
    layer = nn.Linear(num_in, num_out, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
