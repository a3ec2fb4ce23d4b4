"""Host programs' interfaces to a potential: ASE's calculator."""

from .ase import MLFFCalculator

__all__ = ["MLFFCalculator"]
