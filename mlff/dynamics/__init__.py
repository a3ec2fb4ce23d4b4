"""What the commands run, callable from Python: relaxation, molecular dynamics and vibrations."""

from .conservation import EnergyLog
from .md import Simulation, SimulationExploded, run_md
from .relax import Relaxation, run_relaxation
from .vibrations import NormalModes, hessian, normal_modes

__all__ = [
    "EnergyLog", "NormalModes", "Relaxation", "Simulation", "SimulationExploded", "hessian", "normal_modes", "run_md",
    "run_relaxation",
]  # fmt: skip
