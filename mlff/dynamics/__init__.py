"""What the commands run, callable from Python: relaxation, molecular dynamics, vibrations and surface hopping."""

from .conservation import EnergyLog
from .md import run_md
from .namd.run import NamdRun, run_namd
from .record import CommitteeDisagrees, Simulation, SimulationExploded, SimulationStopped
from .relax import Relaxation, run_relaxation
from .replicas import Replicas, run_replicas
from .vibrations import NormalModes, hessian, normal_modes

__all__ = [
    "CommitteeDisagrees", "EnergyLog", "NamdRun", "NormalModes", "Relaxation", "Replicas", "Simulation",
    "SimulationExploded", "SimulationStopped", "hessian", "normal_modes", "run_md", "run_namd", "run_relaxation",
    "run_replicas",
]  # fmt: skip
