"""One simulation under way: its atoms and random numbers, and what is kept of its steps in memory and in files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from .conservation import EnergyLog, append_row, read_rows, write_rows
from .limits import Limits, disagreement_sentence, largest_deviation
from .md_state import Settings, State
from .trajectory import TrajectoryFile, keep_first_frames
from .velocities import draw_velocities, take_out_drift

Row = tuple[int, float, float, float, float, float]
"""step, time (fs), potential, kinetic and total energy (eV), temperature (K)."""


@dataclass(frozen=True)
class Simulation:
    """What a simulation led to."""

    atoms: Atoms
    """The last structure, with velocities and its calculator."""
    energies: EnergyLog
    """Of every logged step since the start of the simulation, restarts included."""
    settings: Settings
    num_steps: int
    """Steps after equilibration."""


class SimulationStopped(RuntimeError):
    """A simulation that ended before its time; `simulation` holds it up to there."""

    def __init__(self, message: str, simulation: Simulation) -> None:
        super().__init__(message)
        self.simulation = simulation


class SimulationExploded(SimulationStopped):
    """A simulation that left physics."""


class CommitteeDisagrees(SimulationStopped):
    """A simulation that came to a geometry on which a committee disagrees, which is its last."""


class Record:
    """A simulation after ``step`` (negative in equilibration): a copy of the atoms that moves, its log and its files.

    Args:
        atoms: with a calculator and velocities.
        settings: of the simulation.
        rng: random numbers of velocities and thermostat.
        step: that the atoms are at.
        num_degrees: degrees of freedom that carry kinetic energy.
        rows: logged so far.
        path: of the trajectory, if any; frames are appended where there are rows.
        limits: where the simulation ends before its time.
        callback: called with every logged row.
    """

    def __init__(
        self,
        atoms: Atoms,
        settings: Settings,
        rng: np.random.Generator,
        *,
        step: int,
        num_degrees: int,
        rows: list[Row],
        path: Path | None,
        limits: Limits,
        callback: Callable[[Row], None] | None,
    ) -> None:
        self.atoms, self.settings, self.rng, self.step, self.num_degrees = atoms, settings, rng, step, num_degrees
        self.rows, self.callback = rows, callback
        self.path, self._frames = path, None if path is None or not rows else TrajectoryFile(path, append=True)
        start = max(settings.temperature or 0.0, self.temperature())
        self.max_temperature = max(5000.0, 20 * start) if limits.max_temperature is None else limits.max_temperature
        self.max_disagreement = limits.max_disagreement

    @classmethod
    def start(
        cls,
        atoms: Atoms,
        settings: Settings,
        path: Path | None,
        *,
        limits: Limits,
        callback: Callable[[Row], None] | None,
    ) -> Record:
        """A new simulation of a copy of `atoms`; files of its names go."""
        moving, rng = _copy(atoms), np.random.default_rng(settings.seed)
        moving.get_potential_energy()  # a structure that the model refuses is refused before any file is touched
        num_degrees = _start_velocities(moving, settings, rng)
        for file in () if path is None else simulation_files(path):
            file.unlink(missing_ok=True)
        return cls(moving, settings, rng, step=-settings.equilibrate, num_degrees=num_degrees, rows=[], path=path,
                   limits=limits, callback=callback)

    @classmethod
    def go_on(
        cls,
        atoms: Atoms,
        settings: Settings,
        path: Path,
        *,
        steps: int,
        seed_given: bool,
        limits: Limits,
        callback: Callable[[Row], None] | None,
    ) -> Record:
        """The simulation that left its state beside the trajectory `path`, from there on; surplus in its files goes.

        Raises:
            ValueError: there is no state, it is not of these settings, atoms and potential, or it is beyond `steps`.
        """
        state = State.load(_state_path(path))
        state.check(settings, atoms, seed_given=seed_given)
        if steps < state.step:
            raise ValueError(f"the simulation has {state.step} steps already, more than the {steps} asked for; `steps` "
                             f"counts from its start")
        moving, rng = _copy(atoms), np.random.default_rng(state.settings.seed)
        rows = _continue(state, moving, rng, path)
        return cls(moving, state.settings, rng, step=state.step, num_degrees=state.num_degrees, rows=rows, path=path,
                   limits=limits, callback=callback)

    def begin(self, steps: int) -> None:
        """Log the first structure of a new simulation, or the last one of a continued one that is over."""
        if (not self.rows and self.step <= 0) or (self.step == steps and self.step % self.settings.interval):
            self.atoms.get_forces()  # for the frame; energies alone would do for the log
            self.keep()

    def stop_drift(self) -> None:
        """At the end of the equilibration of a simulation at constant energy, as for velocities that were drawn."""
        if self.settings.ensemble == "nve":
            self.num_degrees = take_out_drift(self.atoms)

    def due(self, steps: int) -> bool:
        """Whether the step is one to log, the last of `steps` being one in any case."""
        return self.step % self.settings.interval == 0 or self.step == steps

    def keep(self) -> None:
        """Log a row, write a frame and save the state, in this order: a kill between leaves a surplus, never a lack."""
        step = self.step
        potential, kinetic = float(self.atoms.get_potential_energy()), float(self.atoms.get_kinetic_energy())
        row = (step, step * self.settings.timestep, potential, kinetic, potential + kinetic, self.temperature())
        if step >= 0:
            self.rows.append(row)
        if self.path is not None:
            if step >= 0:
                self._write_frame(self.path)
                append_row(_table_path(self.path), row)
            # A last frame between two intervals goes when the simulation is continued: it is as if it had not stopped.
            num_frames = len(self.rows) - (step > 0 and step % self.settings.interval != 0)
            State(self.settings, self.atoms.get_atomic_numbers(), self.atoms.get_positions(), self.atoms.get_momenta(),
                  step, num_frames, potential, self.num_degrees, dict(self.rng.bit_generator.state)
                  ).save(_state_path(self.path))
        if self.callback is not None:
            self.callback(row)

    def fault(self, forces: np.ndarray, kinetic: float) -> str | None:
        """What is wrong with the forces (eV/angstrom) or the kinetic energy (eV) of the step, in words; None: nothing."""
        if not np.isfinite(forces).all():
            return "the forces are not finite"
        temperature = self._temperature_of(kinetic)
        if not temperature <= self.max_temperature:
            return f"the temperature reached {temperature:.0f} K (limit {self.max_temperature:.0f} K)"
        return None

    def explosion(self, step: int, reason: str) -> SimulationExploded:
        """The error that ends the simulation at a step."""
        time = step * self.settings.timestep
        return SimulationExploded(
            f"the simulation exploded at step {step} ({time:g} fs): {reason}. Likely causes: a timestep of "
            f"{self.settings.timestep:g} fs that is too long, a start far from equilibrium (optimize it first), or "
            f"geometries that the model was not trained on",
            self.result(),
        )

    def is_unsure(self, deviations: np.ndarray | None) -> bool:
        """Whether a committee disagrees too much, its forces' standard deviations being ``[N, 3]`` eV/angstrom."""
        if self.max_disagreement is None or deviations is None:
            return False
        return bool(largest_deviation(deviations) > self.max_disagreement)

    def doubt(self) -> CommitteeDisagrees:
        """Keep the frame of this step, in equilibration as the only one; the error that ends the simulation there."""
        assert self.max_disagreement is not None
        if not self.rows or self.rows[-1][0] != self.step:
            self.keep()
            if self.step < 0 and self.path is not None:
                self._write_frame(self.path)
        where = f"after step {self.step} ({self.step * self.settings.timestep:g} fs)"
        return CommitteeDisagrees(f"{where} {disagreement_sentence(self.max_disagreement)}", self.result())

    def result(self) -> Simulation:
        """What there is so far."""
        energies = EnergyLog.from_rows(list(self.rows), len(self.atoms))
        return Simulation(self.atoms, energies, self.settings, int(energies.step[-1]) if len(energies.step) else 0)

    def temperature(self) -> float:
        """K, now."""
        return self._temperature_of(float(self.atoms.get_kinetic_energy()))

    def close(self) -> None:
        """Close the trajectory."""
        if self._frames is not None:
            self._frames.close()

    def _write_frame(self, path: Path) -> None:
        self._frames = self._frames or TrajectoryFile(path)
        self._frames.write(self.atoms)

    def _temperature_of(self, kinetic: float) -> float:
        return 2 * kinetic / (units.kB * self.num_degrees) if self.num_degrees else 0.0


def simulation_files(trajectory: Path) -> tuple[Path, Path, Path]:
    """What a simulation writes: the trajectory, the table of energies, the state to continue from."""
    return trajectory, _table_path(trajectory), _state_path(trajectory)


def has_state(trajectory: Path) -> bool:
    """Whether there is a state beside the trajectory to continue from."""
    return _state_path(trajectory).is_file()


def _table_path(trajectory: Path) -> Path:
    return trajectory.with_suffix(".csv")


def _state_path(trajectory: Path) -> Path:
    return trajectory.with_suffix(".state.npz")


def _copy(atoms: Atoms) -> Atoms:
    moving = atoms.copy()
    moving.calc = atoms.calc
    return moving


def _start_velocities(atoms: Atoms, settings: Settings, rng: np.random.Generator) -> int:
    """Give the atoms their first velocities; return the number of degrees of freedom that move."""
    if settings.temperature is not None:
        draw_velocities(atoms, settings.temperature, rng)
        if settings.ensemble == "nve" and not settings.equilibrate:
            return take_out_drift(atoms)
    return int(atoms.get_number_of_degrees_of_freedom())


def _continue(state: State, atoms: Atoms, rng: np.random.Generator, path: Path) -> list[Row]:
    """Put atoms and random numbers into the state, cut the files back to it, and return the rows logged so far."""
    atoms.set_positions(state.positions, apply_constraint=False)
    atoms.set_momenta(state.momenta, apply_constraint=False)
    rng.bit_generator.state = state.random
    difference = abs(float(atoms.get_potential_energy()) - state.energy)
    if not difference < 1e-3:
        raise ValueError(f"the simulation cannot continue with another model: the energy of its last state differs by "
                         f"{difference:.3g} eV")
    if state.num_frames == 0:
        _table_path(path).unlink(missing_ok=True)
        return []
    if not path.is_file():
        raise ValueError(f"the trajectory `{path}` of the simulation to continue is missing")
    rows = read_rows(_table_path(path), state.num_frames)
    keep_first_frames(path, state.num_frames, len(atoms))
    write_rows(_table_path(path), rows)
    return [(int(row[0]), row[1], row[2], row[3], row[4], row[5]) for row in rows]
