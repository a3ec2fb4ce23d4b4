"""What is timed: velocity-Verlet steps of any ASE calculator, and training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.verlet import VelocityVerlet

TIMESTEP = 0.5
"""fs."""
TEMPERATURE = 300.0
"""K, of the velocities that a block of steps starts with."""


class Task(Protocol):
    """Something done step by step."""

    frames_per_step: int
    """Structures that one step computes."""

    def facts(self) -> dict[str, Any]:
        """What should be known of it, asked at the restored start."""

    def restore(self) -> None:
        """Bring back the state at the start; not timed."""

    def run(self, steps: int) -> None:
        """Do the steps; timed."""


class MolecularDynamics:
    """Velocity Verlet through ASE, from the same positions and velocities in every block of steps.

    Atoms move as they do at 300 K, so neighbour lists age as they do in a simulation; the start is brought back because
    the forces of untrained weights would not keep a molecule together for long.
    """

    frames_per_step = 1

    def __init__(self, atoms: Atoms, calculator: BaseCalculator) -> None:
        from mlff.dynamics.velocities import draw_velocities

        self.atoms = atoms.copy()
        self.atoms.calc = calculator
        draw_velocities(self.atoms, TEMPERATURE, np.random.default_rng(0))
        self._positions, self._momenta = self.atoms.get_positions(), self.atoms.get_momenta()
        self._dynamics = VelocityVerlet(self.atoms, TIMESTEP * units.fs)

    def facts(self) -> dict[str, Any]:
        """Number of atoms, energy in eV and largest force component in eV/angstrom of the start."""
        largest = float(np.abs(self.atoms.get_forces()).max())
        return {"atoms": len(self.atoms), "energy": float(self.atoms.get_potential_energy()), "largest_force": largest}

    def restore(self) -> None:
        """Positions and velocities of the start, with their forces."""
        self.atoms.set_positions(self._positions)
        self.atoms.set_momenta(self._momenta)
        self.atoms.get_forces()

    def run(self, steps: int) -> None:
        """Velocity-Verlet steps of 0.5 fs, one call of the calculator each."""
        self._dynamics.run(steps)


class Training:
    """Training steps, each a call of ``step`` that loads a batch, updates the weights and returns nothing."""

    def __init__(self, step: Callable[[], None], batch_size: int) -> None:
        self.frames_per_step = batch_size
        self._step = step

    def facts(self) -> dict[str, Any]:
        """The size of the batches."""
        return {"batch_size": self.frames_per_step}

    def restore(self) -> None:
        """Nothing: training goes on."""

    def run(self, steps: int) -> None:
        """Training steps."""
        for _ in range(steps):
            self._step()
