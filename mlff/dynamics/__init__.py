"""What the commands run, callable from Python: relaxation, molecular dynamics, vibrations and surface hopping."""

from .conservation import EnergyLog
from .md import run_md
from .namd.run import NamdRun, run_namd
from .record import Simulation, SimulationExploded
from .relax import Relaxation, run_relaxation
from .replicas import Replicas, run_replicas
from .vibrations import NormalModes, hessian, normal_modes

__all__ = [
    "EnergyLog", "NamdRun", "NormalModes", "Relaxation", "Replicas", "Simulation", "SimulationExploded", "hessian",
    "normal_modes", "run_md", "run_namd", "run_relaxation", "run_replicas",
]  # fmt: skip
