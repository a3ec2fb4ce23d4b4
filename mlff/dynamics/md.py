"""Molecular dynamics: constant energy or a Langevin thermostat, restartable to the last bit."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from .conservation import EnergyLog, append_row, read_rows, write_rows
from .md_state import Settings, State
from .structures import check_outputs
from .trajectory import TrajectoryFile, check_suffix, keep_first_frames
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


class SimulationExploded(RuntimeError):
    """A simulation that left physics; `simulation` holds it up to there."""

    def __init__(self, message: str, simulation: Simulation) -> None:
        super().__init__(message)
        self.simulation = simulation


def run_md(
    atoms: Atoms,
    *,
    steps: int,
    ensemble: Literal["nve", "langevin"] = "nve",
    timestep: float = 0.5,
    temperature: float | None = None,
    friction: float = 0.01,
    equilibrate: int = 0,
    seed: int | None = None,
    interval: int = 10,
    trajectory: str | os.PathLike[str] | None = None,
    restart: bool = False,
    overwrite: bool = False,
    max_temperature: float | None = None,
    callback: Callable[[Row], None] | None = None,
) -> Simulation:
    """Simulate a copy of `atoms` with its calculator.

    Args:
        atoms: the structure; constraints are kept.
        steps: in all, restarts included; equilibration is not counted.
        ensemble: ``"nve"`` (velocity Verlet) or ``"langevin"``.
        timestep: fs.
        temperature: K. Velocities are drawn from its Maxwell-Boltzmann distribution; None keeps those of `atoms`
            (constant energy without equilibration only). At constant energy the drift and, of a molecule, the rotation
            are taken out of drawn velocities.
        friction: of the thermostat, 1/fs.
        equilibrate: steps with the thermostat at `temperature` before the simulation proper; neither logged nor kept.
        seed: of velocities and thermostat; None draws one, found in the result's settings.
        interval: steps between logged rows, frames and saved states.
        trajectory: file (.traj, .xyz, .extxyz) of the frames. A table of energies (NAME.csv) and the state to
            continue from (NAME.state.npz) are kept beside it.
        restart: continue from that state, exactly as if the run had never stopped.
        overwrite: replace files that exist.
        max_temperature: K, above which the simulation counts as exploded; 20 times the temperature, at least 5000 K.
        callback: called with every logged row, ``(step, time, potential, kinetic, total, temperature)``; steps of the
            equilibration are negative.

    Raises:
        ValueError: arguments that do not fit each other, files in the way, a structure that the model refuses.
        SimulationExploded: energies are not finite, atoms collide, or the temperature passes `max_temperature`.
    """
    settings = _checked(atoms, steps, ensemble, timestep, temperature, friction, equilibrate, seed, interval)
    if max_temperature is not None and not max_temperature > 0:
        raise ValueError(f"`max_temperature` is {max_temperature} K; give a positive temperature or None")
    path = None if trajectory is None else check_suffix(trajectory)
    if restart and path is None:
        raise ValueError("a restart needs the `trajectory` of the simulation to continue")

    moving = atoms.copy()
    moving.calc = atoms.calc
    rng = np.random.default_rng(settings.seed)
    rows: list[Row] = []
    if restart:
        assert path is not None
        state = State.load(_state_path(path))
        state.check(settings, atoms, seed_given=seed is not None)
        settings, step, num_degrees = state.settings, state.step, state.num_degrees
        if steps < step:
            raise ValueError(f"the simulation has {step} steps already, more than the {steps} asked for; `steps` "
                             f"counts from its start")
        rows = _continue(state, moving, rng, path)
    else:
        if path is not None:
            check_outputs(simulation_files(path), overwrite=overwrite)
        moving.get_potential_energy()  # a structure that the model refuses is refused before any file is touched
        step, num_degrees = -settings.equilibrate, _start_velocities(moving, settings, rng)
        if path is not None:
            for file in simulation_files(path):
                file.unlink(missing_ok=True)
    frames = None if path is None else TrajectoryFile(path, append=bool(rows))
    run = _Run(moving, settings, rng, num_degrees, frames, rows, max_temperature, callback)
    try:
        run.advance(step, steps)
    finally:
        if frames is not None:
            frames.close()
    return run.result()


class _Run:
    """The steps of one simulation, and what is kept of them."""

    def __init__(
        self,
        atoms: Atoms,
        settings: Settings,
        rng: np.random.Generator,
        num_degrees: int,
        frames: TrajectoryFile | None,
        rows: list[Row],
        max_temperature: float | None,
        callback: Callable[[Row], None] | None,
    ) -> None:
        self.atoms, self.settings, self.rng, self.num_degrees = atoms, settings, rng, num_degrees
        self.frames, self.rows, self.callback = frames, rows, callback
        start = max(settings.temperature or 0.0, self._temperature())
        self.max_temperature = max_temperature if max_temperature is not None else max(5000.0, 20 * start)

    def advance(self, step: int, steps: int) -> None:
        """From the state after `step` (negative in equilibration) to the one after `steps`."""
        settings = self.settings
        if (not self.rows and step <= 0) or (step == steps and step % settings.interval):
            self._keep(step)
        integrator = self._integrator(step)
        forces = self.atoms.get_forces(md=True)
        while step < steps:
            try:
                forces = integrator.step(forces=forces)
            except ValueError as error:  # a calculator that refuses the positions that the last step led to
                raise self._explosion(step + 1, str(error)) from error
            step += 1
            self._check(step, forces)
            if step == 0 and settings.equilibrate:
                if settings.ensemble == "nve":
                    self.num_degrees = take_out_drift(self.atoms)
                integrator = self._integrator(step)
            if step % settings.interval == 0 or step == steps:
                self._keep(step)

    def result(self) -> Simulation:
        energies = EnergyLog.from_rows(list(self.rows), len(self.atoms))
        return Simulation(self.atoms, energies, self.settings, int(energies.step[-1]) if len(energies.step) else 0)

    def _integrator(self, step: int) -> Any:
        timestep = self.settings.timestep * units.fs
        if self.settings.ensemble == "nve" and step >= 0:
            return VelocityVerlet(self.atoms, timestep)
        # ASE deprecates `fixcm`, whose default differs between its versions.
        options = {"fixcm": False} if "fixcm" in inspect.signature(Langevin).parameters else {}
        return Langevin(self.atoms, timestep, temperature_K=self.settings.temperature,
                        friction=self.settings.friction / units.fs, rng=self.rng, **options)

    def _keep(self, step: int) -> None:
        """Log a row, write a frame and save the state, in this order: a kill between leaves a surplus, never a lack."""
        potential, kinetic = float(self.atoms.get_potential_energy()), float(self.atoms.get_kinetic_energy())
        row = (step, step * self.settings.timestep, potential, kinetic, potential + kinetic, self._temperature())
        if step >= 0:
            self.rows.append(row)
        if self.frames is not None:
            if step >= 0:
                self.frames.write(self.atoms)
                append_row(_table_path(self.frames.path), row)
            # A last frame between two intervals goes when the simulation is continued: it is as if it had not stopped.
            num_frames = len(self.rows) - (step > 0 and step % self.settings.interval != 0)
            State(self.settings, self.atoms.get_atomic_numbers(), self.atoms.get_positions(), self.atoms.get_momenta(),
                  step, num_frames, potential, self.num_degrees, dict(self.rng.bit_generator.state)
                  ).save(_state_path(self.frames.path))
        if self.callback is not None:
            self.callback(row)

    def _check(self, step: int, forces: np.ndarray) -> None:
        if not np.isfinite(forces).all():
            raise self._explosion(step, "the forces are not finite")
        temperature = self._temperature()
        if not temperature <= self.max_temperature:
            limit = f"(limit {self.max_temperature:.0f} K)"
            raise self._explosion(step, f"the temperature reached {temperature:.0f} K {limit}")

    def _explosion(self, step: int, reason: str) -> SimulationExploded:
        time = step * self.settings.timestep
        return SimulationExploded(
            f"the simulation exploded at step {step} ({time:g} fs): {reason}. Likely causes: a timestep of "
            f"{self.settings.timestep:g} fs that is too long, a start far from equilibrium (optimize it first), or "
            f"geometries that the model was not trained on",
            self.result(),
        )

    def _temperature(self) -> float:
        return float(2 * self.atoms.get_kinetic_energy() / (units.kB * self.num_degrees)) if self.num_degrees else 0.0


def _checked(
    atoms: Atoms, steps: int, ensemble: Any, timestep: float, temperature: float | None, friction: float,
    equilibrate: int, seed: int | None, interval: int,
) -> Settings:  # fmt: skip
    if atoms.calc is None:
        raise ValueError("the structure has no calculator; set `atoms.calc` first")
    if ensemble not in ("nve", "langevin"):
        raise ValueError(f"`ensemble` is {ensemble!r}; choose 'nve' or 'langevin'")
    for name, value, lowest in (("steps", steps, 0), ("equilibrate", equilibrate, 0), ("interval", interval, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"`{name}` is {value!r}; give a whole number, {lowest} or more")
    if not (math.isfinite(timestep) and timestep > 0):
        raise ValueError(f"`timestep` is {timestep} fs; give a positive time")
    if not (math.isfinite(friction) and friction > 0):
        raise ValueError(f"`friction` is {friction} 1/fs; give a positive number (0.01 is usual)")
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"`temperature` is {temperature} K; give 0 or more")
    if temperature is None and (ensemble == "langevin" or equilibrate):
        raise ValueError("the thermostat needs a `temperature` in K")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise ValueError(f"`seed` is {seed!r}; give a whole number, 0 or more")
    drawn = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    return Settings(ensemble, float(timestep), None if temperature is None else float(temperature), float(friction),
                    equilibrate, interval, drawn)


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


def simulation_files(trajectory: Path) -> tuple[Path, Path, Path]:
    """What a simulation writes: the trajectory, the table of energies, the state to continue from."""
    return trajectory, _table_path(trajectory), _state_path(trajectory)


def _table_path(trajectory: Path) -> Path:
    return trajectory.with_suffix(".csv")


def _state_path(trajectory: Path) -> Path:
    return trajectory.with_suffix(".state.npz")
