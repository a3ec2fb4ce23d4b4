"""Many simulations of one molecule or crystal moved together, by one call of the potential a step.

Replica k is the simulation that `run_md` makes of its start with the seed ``seed + k``, to rounding, and keeps the same
files. One that explodes, or on which a committee disagrees, is reported and the others go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from .limits import Limits
from .md import checked_settings, make_integrator
from .record import Record, Row, Simulation, has_state, simulation_files
from .structures import check_outputs
from .trajectory import check_suffix


@dataclass(frozen=True)
class Replicas:
    """What the simulations led to, in the order of their starts."""

    simulations: tuple[Simulation, ...]
    failures: tuple[str | None, ...]
    """Why a simulation ended before its time, in a sentence; None where it did not."""


def run_replicas(
    starts: Sequence[Atoms],
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
    callback: Callable[[int, Row, Atoms], None] | None = None,
) -> Replicas:
    """Simulate copies of structures together, with the calculator of the first.

    Args:
        starts: R structures of the same atoms in the same cell, with the same constraints; ``[atoms] * 8`` for eight
            replicas of one.
        trajectory: the files of replica k are those of a single simulation with ``-kk`` behind the name's stem:
            ``a.traj`` stands for ``a-00.traj``, ``a-01.traj`` and so on, each with its table and its state.
        restart: go on from the states; replicas that have none yet start anew, and those that are behind catch up first.
        callback: called with every logged row as ``(replica, row, atoms)``; the atoms are not to be changed.
        steps, ensemble, timestep, temperature, friction, equilibrate, seed, interval, overwrite: as of `run_md`; replica k has
            the seed ``seed + k``.
        max_temperature, max_disagreement: as of `run_md`.

    Raises:
        ValueError: as of `run_md`, and starts that differ in more than positions and velocities.
    """
    settings = checked_settings(
        _checked_starts(starts, temperature), steps, ensemble, timestep, temperature, friction, equilibrate, seed, interval
    )
    limits = Limits(max_temperature, max_disagreement)
    limits.check(starts[0].calc)
    path = None if trajectory is None else check_suffix(trajectory)
    if restart and path is None:
        raise ValueError("a restart needs the `trajectory` of the simulations to continue")
    paths = [None if path is None else replica_file(path, k) for k in range(len(starts))]
    on_disk = [each is not None and restart and has_state(each) for each in paths]
    if restart and not any(on_disk):
        raise ValueError(f"there is nothing to continue from: beside `{paths[0]}` there is no state; start without restart")
    new = [file for each, there in zip(paths, on_disk) if each and not there for file in simulation_files(each)]
    check_outputs(new, overwrite=overwrite)

    calculator = starts[0].calc
    moving = [each.copy() for each in starts]
    for each in moving:
        each.calc = calculator
        each.get_potential_energy()  # structures that the model refuses are refused before any file is touched
    records: list[Record] = []
    try:
        for k, (atoms, own) in enumerate(zip(moving, paths)):
            mine = replace(settings, seed=settings.seed + k)
            tell = None if callback is None else partial(_tell, callback, k, records)
            if own is not None and on_disk[k]:
                record = Record.go_on(atoms, mine, own, steps=steps, seed_given=seed is not None, limits=limits,
                                      callback=tell)
            else:
                record = Record.start(atoms, mine, own, limits=limits, callback=tell)
            records.append(record)
        failures = _advance(records, calculator, steps)
    finally:
        for record in records:
            record.close()
    for record in records:
        record.atoms.calc = calculator
    return Replicas(tuple(record.result() for record in records), tuple(failures))


def replica_file(trajectory: Path, replica: int) -> Path:
    """The trajectory of one replica: ``a.traj`` to ``a-03.traj``."""
    return trajectory.with_name(f"{trajectory.stem}-{replica:02d}{trajectory.suffix}")


def _tell(callback: Callable[[int, Row, Atoms], None], replica: int, records: list[Record], row: Row) -> None:
    callback(replica, row, records[replica].atoms)


def _checked_starts(starts: Sequence[Atoms], temperature: float | None) -> Atoms:
    if len(starts) == 0:
        raise ValueError("no structure was given; give at least one start")
    first = starts[0]
    if first.calc is not None and not hasattr(first.calc, "side_by_side"):
        raise ValueError(f"replicas need a calculator of mlff and the structure has a {type(first.calc).__name__}; "
                         f"simulate them one by one with `run_md`")
    for k, each in enumerate(starts):
        same = (
            np.array_equal(each.numbers, first.numbers) and np.array_equal(each.get_masses(), first.get_masses()),
            np.array_equal(each.cell.array, first.cell.array) and np.array_equal(each.pbc, first.pbc),
            _in_words(each.constraints) == _in_words(first.constraints),
        )
        for equal, what in zip(same, ("atoms", "cell or periodicity", "constraints")):
            if not equal:
                raise ValueError(f"start {k} has other {what} than start 0; replicas may differ in positions and "
                                 f"velocities only")
    if len(starts) > 1 and temperature is None:
        moves = {(each.positions.tobytes(), each.get_momenta().tobytes()) for each in starts}
        if len(moves) < len(starts):
            raise ValueError("replicas of one start with its own velocities would all be the same simulation; give a "
                             "`temperature`, from which each draws its own")
    return first


def _in_words(constraints: list[Any]) -> str:
    return str([constraint.todict() for constraint in constraints])


def _advance(records: list[Record], calculator: Any, steps: int) -> list[str | None]:
    """Move all to `steps`: those that are behind first, until they can go together with the next."""
    failures: list[str | None] = [None] * len(records)
    for k, record in enumerate(records):
        record.begin(steps)
        if record.max_disagreement is not None:
            record.atoms.get_forces()
            failures[k] = str(record.doubt()) if _unsure([record], calculator.results) else None
    while True:
        going = [record for record, failure in zip(records, failures) if failure is None and record.step < steps]
        if not going:
            return failures
        lowest = min(record.step for record in going)
        stops = [steps, *(record.step for record in going if record.step > lowest), *([0] if lowest < 0 else [])]
        together = [record for record in going if record.step == lowest]
        for record, sentence in _move_together(together, calculator, min(stops), steps).items():
            failures[records.index(record)] = sentence


def _move_together(records: list[Record], calculator: Any, until: int, steps: int) -> dict[Record, str]:
    """Move simulations that are at the same step to `until`, or to the step at which some must stop; these and why."""
    atoms, random = _side_by_side(records), _RandomNumbers(records)
    atoms.calc = calculator.side_by_side(len(records))
    start, settings = records[0].step, records[0].settings
    integrator = make_integrator(atoms, settings, random, start)
    forces = atoms.get_forces(md=True)
    for step in range(start + 1, until + 1):
        before = atoms.get_positions(), atoms.get_momenta(), random.states()
        try:
            forces = integrator.step(forces=forces)
        except ValueError:
            refused = _refused(records, atoms, calculator)
            if not refused:
                raise
            random.go_back(before[2])  # the others take this step again, without those
            _hand_back(records, step - 1, before[0], before[1])
            return {record: str(record.explosion(step, reason)) for record, reason in refused.items()}
        exploded = _faults(records, atoms, forces)
        unsure = [record for record in _unsure(records, atoms.calc.results) if record not in exploded]
        if exploded or unsure or step == until or step % settings.interval == 0:
            _hand_back(records, step, atoms.get_positions(), atoms.get_momenta())
            _hand_back_results(records, atoms.calc.results)
            for record in records:
                if record not in exploded:
                    _end_step(record, steps)
        if exploded or unsure:
            explosions = {record: str(record.explosion(step, reason)) for record, reason in exploded.items()}
            return explosions | {record: str(record.doubt()) for record in unsure}
    return {}


def _end_step(record: Record, steps: int) -> None:
    if record.step == 0 and record.settings.equilibrate:
        record.stop_drift()
    if record.due(steps):
        record.keep()


def _side_by_side(records: list[Record]) -> Atoms:
    """The atoms of all in one object, one replica behind the other."""
    first, count = records[0].atoms, len(records)
    whole = Atoms(
        numbers=np.tile(first.numbers, count),
        positions=np.concatenate([record.atoms.positions for record in records]),
        momenta=np.concatenate([record.atoms.get_momenta() for record in records]),
        masses=np.tile(first.get_masses(), count),
        cell=first.cell,
        pbc=first.pbc,
    )
    try:
        whole.set_constraint([each.copy().repeat((count, 1, 1), len(first)) for each in first.constraints])
    except (NotImplementedError, AttributeError) as error:
        kinds = ", ".join(sorted({type(each).__name__ for each in first.constraints}))
        raise ValueError(f"ASE cannot repeat these constraints ({kinds}) for replicas; simulate them one by one, or fix "
                         f"atoms with FixAtoms") from error
    return whole


def _hand_back(records: list[Record], step: int, positions: np.ndarray, momenta: np.ndarray) -> None:
    """Give every replica its place in phase space after a step."""
    count = len(records)
    for record, place, momentum in zip(records, np.split(positions, count), np.split(momenta, count)):
        record.step = step
        record.atoms.set_positions(place, apply_constraint=False)
        record.atoms.set_momenta(momentum, apply_constraint=False)


def _hand_back_results(records: list[Record], results: dict[str, Any]) -> None:
    """Give every replica its own energy and forces, at the positions that it has got."""
    count = len(records)
    for record, energies, forces in zip(records, np.split(results["energies"], count), np.split(results["forces"], count)):
        energy = float(energies.sum())
        record.atoms.calc = SinglePointCalculator(
            record.atoms, energy=energy, free_energy=energy, energies=energies.copy(), forces=forces.copy()
        )


def _faults(records: list[Record], atoms: Atoms, forces: np.ndarray) -> dict[Record, str]:
    """Replicas whose forces or temperature left physics, and how."""
    count = len(records)
    kinetic = 0.5 * (atoms.get_momenta() ** 2 / atoms.get_masses()[:, None]).reshape(count, -1).sum(axis=1)
    found = {record: record.fault(own, float(k)) for record, own, k in zip(records, np.split(forces, count), kinetic)}
    return {record: reason for record, reason in found.items() if reason is not None}


def _unsure(records: list[Record], results: dict[str, Any]) -> list[Record]:
    """Replicas on which the committee disagrees too much."""
    if records[0].max_disagreement is None:
        return []
    deviations = np.split(results["forces_uncertainty"], len(records))
    return [record for record, own in zip(records, deviations) if record.is_unsure(own)]


def _refused(records: list[Record], atoms: Atoms, calculator: Any) -> dict[Record, str]:
    """Replicas whose positions the calculator refuses, and its words."""
    found = {}
    for record, positions in zip(records, np.split(atoms.get_positions(), len(records))):
        alone = record.atoms.copy()
        alone.set_positions(positions, apply_constraint=False)
        alone.calc = calculator
        try:
            alone.get_forces()
        except ValueError as error:
            found[record] = str(error)
    return found


class _RandomNumbers:
    """Random numbers of the thermostat, of every replica from its own generator."""

    def __init__(self, records: list[Record]) -> None:
        self._generators = [record.rng for record in records]

    def standard_normal(self, size: tuple[int, int]) -> np.ndarray:
        """``[R N, 3]``: what each replica alone would draw for its N atoms, one behind the other."""
        each = (size[0] // len(self._generators), size[1])
        return np.concatenate([generator.standard_normal(size=each) for generator in self._generators])

    def states(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._generators]

    def go_back(self, states: list[Any]) -> None:
        for generator, state in zip(self._generators, states):
            generator.bit_generator.state = state
