"""Molecular dynamics: constant energy or a Langevin thermostat, restartable to the last bit."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from .limits import Limits
from .md_state import Settings
from .record import Record, Row, Simulation, simulation_files
from .structures import check_outputs
from .trajectory import check_suffix


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
    max_disagreement: float | None = None,
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
        max_disagreement: eV/angstrom; of a committee: the simulation stops on the first structure where the standard
            deviation of the force on an atom is larger, and that is its last frame, between two intervals, too.
        callback: called with every logged row, ``(step, time, potential, kinetic, total, temperature)``; steps of the
            equilibration are negative.

    Raises:
        ValueError: arguments that do not fit each other, files in the way, a structure that the model refuses.
        SimulationExploded: energies are not finite, atoms collide, or the temperature passes `max_temperature`.
        CommitteeDisagrees: the forces deviate by more than `max_disagreement`.
    """
    settings = checked_settings(atoms, steps, ensemble, timestep, temperature, friction, equilibrate, seed, interval)
    limits = Limits(max_temperature, max_disagreement)
    limits.check(atoms.calc)
    path = None if trajectory is None else check_suffix(trajectory)
    if restart:
        if path is None:
            raise ValueError("a restart needs the `trajectory` of the simulation to continue")
        record = Record.go_on(atoms, settings, path, steps=steps, seed_given=seed is not None,
                              limits=limits, callback=callback)
    else:
        if path is not None:
            check_outputs(simulation_files(path), overwrite=overwrite)
        record = Record.start(atoms, settings, path, limits=limits, callback=callback)
    try:
        _advance(record, steps)
    finally:
        record.close()
    return record.result()


def _advance(record: Record, steps: int) -> None:
    """From the state that a simulation is in to the one after `steps`."""
    record.begin(steps)
    atoms, settings = record.atoms, record.settings
    integrator = make_integrator(atoms, settings, record.rng, record.step)
    forces = atoms.get_forces(md=True)
    while True:
        if record.is_unsure(atoms.calc.results.get("forces_uncertainty")):
            raise record.doubt()
        if record.step >= steps:
            return
        try:
            forces = integrator.step(forces=forces)
        except ValueError as error:  # a calculator that refuses the positions that the last step led to
            raise record.explosion(record.step + 1, str(error)) from error
        record.step += 1
        fault = record.fault(forces, float(atoms.get_kinetic_energy()))
        if fault is not None:
            raise record.explosion(record.step, fault)
        if record.step == 0 and settings.equilibrate:
            record.stop_drift()
            integrator = make_integrator(atoms, settings, record.rng, record.step)
        if record.due(steps):
            record.keep()


def make_integrator(atoms: Atoms, settings: Settings, rng: Any, step: int) -> Any:
    """ASE's integrator of the steps after `step`: the thermostat's in equilibration (negative steps), else the ensemble's.

    `rng` is asked for ``standard_normal(size=(N, 3))`` by the thermostat.
    """
    timestep = settings.timestep * units.fs
    if settings.ensemble == "nve" and step >= 0:
        return VelocityVerlet(atoms, timestep)
    # ASE deprecates `fixcm`, whose default differs between its versions.
    options = {"fixcm": False} if "fixcm" in inspect.signature(Langevin).parameters else {}
    return Langevin(atoms, timestep, temperature_K=settings.temperature, friction=settings.friction / units.fs, rng=rng,
                    **options)


def checked_settings(
    atoms: Atoms, steps: int, ensemble: Any, timestep: float, temperature: float | None, friction: float,
    equilibrate: int, seed: int | None, interval: int,
) -> Settings:  # fmt: skip
    """The settings of a simulation, its seed drawn where None is given; a ValueError says which does not fit."""
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
