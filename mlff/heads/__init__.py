"""Heads: features of the atoms to quantities of the electronic states."""

from .coupling import CouplingHead
from .diabatic import DiabaticHead, symmetric_matrices
from .dipole import DipoleHead
from .energy import EnergyHead
from .spin_orbit import SpinOrbitHead
from .vectors import AtomVectors

__all__ = ["AtomVectors", "CouplingHead", "DiabaticHead", "DipoleHead", "EnergyHead", "SpinOrbitHead", "symmetric_matrices"]
