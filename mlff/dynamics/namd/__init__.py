"""Nonadiabatic dynamics: surface hopping on any potential of several states."""

from .engine import SurfaceHopping
from .settings import HoppingSettings
from .state_file import load_swarm, save_swarm
from .surfaces import MultiStatePotential, Surfaces, state_pairs
from .swarm import Swarm

__all__ = [
    "HoppingSettings",
    "MultiStatePotential",
    "SurfaceHopping",
    "Surfaces",
    "Swarm",
    "load_swarm",
    "save_swarm",
    "state_pairs",
]
