"""Layers that at least two models share."""

from .envelope import CosineEnvelope, EnvelopeName, PolynomialEnvelope, build_envelope
from .radial import BesselBasis, ExpNormalBasis, GaussianBasis, RadialName, build_radial
from .scatter import scatter_sum

__all__ = [
    "BesselBasis",
    "CosineEnvelope",
    "EnvelopeName",
    "ExpNormalBasis",
    "GaussianBasis",
    "PolynomialEnvelope",
    "RadialName",
    "build_envelope",
    "build_radial",
    "scatter_sum",
]
