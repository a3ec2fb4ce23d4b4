"""What at least two models share, and the features that they hand to the heads."""

from .attention import attend, checked_heads
from .envelope import CosineEnvelope, EnvelopeName, PolynomialEnvelope, build_envelope
from .features import Features
from .gated import GatedReadout
from .linear import glorot_linear
from .neighbor_embedding import NeighborEmbedding
from .radial import BesselBasis, ExpNormalBasis, GaussianBasis, RadialName, build_radial
from .scatter import scatter_sum

__all__ = [
    "BesselBasis",
    "CosineEnvelope",
    "EnvelopeName",
    "ExpNormalBasis",
    "Features",
    "GatedReadout",
    "GaussianBasis",
    "NeighborEmbedding",
    "PolynomialEnvelope",
    "RadialName",
    "attend",
    "build_envelope",
    "build_radial",
    "checked_heads",
    "glorot_linear",
    "scatter_sum",
]
