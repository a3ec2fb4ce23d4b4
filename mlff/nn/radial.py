"""Radial bases: a distance as a vector of K numbers. None of them includes an envelope, but ExpNormal, whose paper does."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from .envelope import CosineEnvelope

RadialName = Literal["bessel", "gaussian", "expnorm"]


class BesselBasis(nn.Module):
    """``sqrt(2 / cutoff) sin(k pi r / cutoff) / r``, k = 1 .. K (DimeNet, arXiv:2003.03123, eq. 7)."""

    frequencies: Tensor

    def __init__(self, num_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", torch.arange(1, num_radial + 1).float(), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """Distances in Å, ``[...]``; the basis ``[..., K]``."""
        r = distances.unsqueeze(-1).clamp(min=1e-8)  # the limit at zero, with derivatives that are finite
        return torch.sin(r * (self.frequencies * (math.pi / self.cutoff))) * (math.sqrt(2 / self.cutoff) / r)


class GaussianBasis(nn.Module):
    """Gaussians centred evenly from 0 to the cutoff, as wide as their spacing (SchNet, arXiv:1706.08566)."""

    centres: Tensor

    def __init__(self, num_radial: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, cutoff, num_radial), persistent=False)
        self.width = cutoff / max(num_radial - 1, 1)

    def forward(self, distances: Tensor) -> Tensor:
        """Distances in Å, ``[...]``; the basis ``[..., K]``."""
        return torch.exp(-0.5 * ((distances.unsqueeze(-1) - self.centres) / self.width) ** 2)


class ExpNormalBasis(nn.Module):
    """``f(r) exp(-beta (exp(-5 r / cutoff) - mu_k)^2)`` with f the cosine envelope (PhysNet, arXiv:1902.08408, eq. 7).

    The centres mu_k run evenly from exp(-cutoff / Å) to 1, as in TorchMD-Net.
    """

    centres: Tensor

    def __init__(self, num_radial: int, cutoff: float) -> None:
        super().__init__()
        start = math.exp(-cutoff)
        self.alpha = 5.0 / cutoff
        self.beta = (2.0 / num_radial * (1.0 - start)) ** -2
        self.register_buffer("centres", torch.linspace(start, 1.0, num_radial), persistent=False)
        self.envelope = CosineEnvelope(cutoff)

    def forward(self, distances: Tensor) -> Tensor:
        """Distances in Å, ``[...]``; the basis ``[..., K]``."""
        distances = distances.unsqueeze(-1)
        waves = torch.exp(-self.beta * (torch.exp(-self.alpha * distances) - self.centres) ** 2)
        return self.envelope(distances) * waves


def build_radial(name: RadialName, num_radial: int, cutoff: float) -> nn.Module:
    """The radial basis called ``name`` of ``num_radial`` functions for a cutoff in Å."""
    bases = {"bessel": BesselBasis, "gaussian": GaussianBasis, "expnorm": ExpNormalBasis}
    return bases[name](num_radial, cutoff)
