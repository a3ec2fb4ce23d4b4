"""A readout in which vectors count: scalars that vectors enter by their lengths, and vectors that scalars scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .features import Features
from .linear import glorot_linear


class GatedReadout(nn.Module):
    """A gated equivariant block (Weiler et al., arXiv:1807.02547; PaiNN, arXiv:2102.03150, figure 3) and the lengths that the
    next one begins with. With the energy head's two layers behind it, it is the output network of ET and ViSNet.
    """

    def __init__(self, num_features: int, norm_epsilon: float) -> None:
        super().__init__()
        half = num_features // 2
        self.norm_epsilon = norm_epsilon
        self.measure = glorot_linear(num_features, num_features, bias=False)
        self.mix = glorot_linear(num_features, half, bias=False)
        self.network = nn.Sequential(
            glorot_linear(2 * num_features, num_features), nn.SiLU(), glorot_linear(num_features, 2 * half)
        )
        self.measure_mixed = glorot_linear(half, half, bias=False)

    def forward(self, x: Tensor, vectors: Tensor) -> Features:
        """Scalars ``[N, F]``, vectors (or higher harmonics) ``[N, C, F]``; as many scalars, and half as many vectors."""
        hidden = self.network(torch.cat((x, self._length(self.measure(vectors))), dim=1))
        scalar, gate = hidden.chunk(2, dim=1)
        vectors = self.mix(vectors) * gate.unsqueeze(1)
        lengths = self._length(self.measure_mixed(vectors))
        return Features(scalar=torch.cat((nn.functional.silu(scalar), lengths), dim=1), vector=vectors)

    def _length(self, vectors: Tensor) -> Tensor:
        """``[N, C, F]`` to ``[N, F]``; the constant keeps the slope finite where a vector is zero."""
        return (vectors.square().sum(1) + self.norm_epsilon).sqrt()
