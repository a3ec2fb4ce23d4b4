"""What the commands run, callable from Python: relaxation, molecular dynamics and vibrations."""

from .conservation import EnergyLog
from .md import run_md
from .record import Simulation, SimulationExploded
from .relax import Relaxation, run_relaxation
from .replicas import Replicas, run_replicas
from .vibrations import NormalModes, hessian, normal_modes

__all__ = [
    "EnergyLog", "NormalModes", "Relaxation", "Replicas", "Simulation", "SimulationExploded", "hessian", "normal_modes",
    "run_md", "run_relaxation", "run_replicas",
]  # fmt: skip
