"""What the commands run, callable from Python: relaxation and molecular dynamics."""

from .conservation import EnergyLog
from .md import Simulation, SimulationExploded, run_md
from .relax import Relaxation, run_relaxation

__all__ = ["EnergyLog", "Relaxation", "Simulation", "SimulationExploded", "run_md", "run_relaxation"]
