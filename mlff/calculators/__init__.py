"""Host programs' interfaces to a potential: ASE's calculator, of one potential or of a committee."""

from .ase import MLFFCalculator
from .committee import CommitteeCalculator, make_calculator

__all__ = ["CommitteeCalculator", "MLFFCalculator", "make_calculator"]
