"""Multi-state potentials in closed form, on which surface hopping is tested and learnt."""

from .chain import TwoLevelChain
from .diabatic import DiabaticPotential
from .lvc import LinearVibronicCoupling
from .pyrazine import pyrazine
from .tully import TullyModel
from .turning import TurningPotential

__all__ = ["DiabaticPotential", "LinearVibronicCoupling", "TullyModel", "TurningPotential", "TwoLevelChain",
           "pyrazine"]
