"""Multi-state potentials in closed form, on which surface hopping is tested and learnt."""

from .diabatic import DiabaticPotential
from .tully import TullyModel

__all__ = ["DiabaticPotential", "TullyModel"]
