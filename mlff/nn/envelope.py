"""Envelopes: functions of the distance that end at zero at the cutoff."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

EnvelopeName = Literal["polynomial", "cosine"]


class PolynomialEnvelope(nn.Module):
    """``1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)``, x = r / cutoff; zero beyond.

    Value, slope and curvature vanish at the cutoff, so forces are smooth there (Gasteiger et al., DimeNet,
    arXiv:2003.03123, eq. 8).
    """

    def __init__(self, cutoff: float, exponent: int = 6) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.exponent = exponent

    def forward(self, distances: Tensor) -> Tensor:
        """Distances in Å, any shape; the weight, same shape."""
        p = self.exponent
        x = (distances / self.cutoff).clamp(max=1.0)
        return 1 + x**p * (-(p + 1) * (p + 2) / 2 + x * (p * (p + 2) - x * (p * (p + 1) / 2)))


class CosineEnvelope(nn.Module):
    """``(1 + cos(pi r / cutoff)) / 2``; zero beyond (Behler 2011). Its curvature jumps at the cutoff."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distances: Tensor) -> Tensor:
        """Distances in Å, any shape; the weight, same shape."""
        inside = (distances < self.cutoff).to(distances.dtype)
        return 0.5 * (torch.cos(distances * (math.pi / self.cutoff)) + 1.0) * inside


def build_envelope(name: EnvelopeName, cutoff: float) -> nn.Module:
    """The envelope called ``name`` for a cutoff in Å."""
    return {"polynomial": PolynomialEnvelope, "cosine": CosineEnvelope}[name](cutoff)
