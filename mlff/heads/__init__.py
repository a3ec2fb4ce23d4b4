"""Heads: features of the atoms to quantities of the electronic states."""

from .energy import EnergyHead

__all__ = ["EnergyHead"]
