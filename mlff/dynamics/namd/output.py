"""The native file of a swarm of trajectories: appended to as they run, readable at any time, a row a trajectory at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlff.data.dataset import HDF5Dataset
from mlff.data.pieces import merge_pieces
from mlff.data.writer import HDF5Writer

from .surfaces import MultiStatePotential, state_pairs
from .swarm import HOP, Swarm

_MOST_BYTES = 1 << 26  # of frames that wait to be written
_SPINS = {0: "", 1: "S", 2: "D", 3: "T", 4: "Q"}


@dataclass(frozen=True)
class StateFacts:
    """What the file says of the states: labels, multiplicities, roots, and which pairs have which couplings."""

    multiplicities: tuple[int, ...]
    labels: tuple[str, ...]
    roots: tuple[int, ...]
    alike: np.ndarray
    """Rows of `state_pairs` whose states have the same multiplicity."""
    spin_orbit: np.ndarray
    """Rows of `state_pairs` that spin-orbit coupling can connect."""

    @classmethod
    def of(cls, potential: MultiStatePotential) -> StateFacts:
        """The facts of a potential; states are called S0, S1, ..., T1, ... after their multiplicities."""
        multiplicities = tuple(int(each) for each in potential.multiplicities)
        roots = tuple(multiplicities[:k].count(each) for k, each in enumerate(multiplicities))
        labels = tuple(
            f"{_SPINS.get(each, f'M{each}_')}{root + (each == 3)}" if each else f"state {k}"
            for k, (each, root) in enumerate(zip(multiplicities, roots, strict=True))
        )
        pairs = state_pairs(potential.num_states)
        alike = [k for k, (i, j) in enumerate(pairs) if multiplicities[i] == multiplicities[j]]
        mixed = [k for k, (i, j) in enumerate(pairs) if not multiplicities[i] == multiplicities[j] in (0, 1)]
        return cls(multiplicities, labels, roots, np.array(alike, dtype=int), np.array(mixed, dtype=int))


class Recorder:
    """Keeps frames of a swarm and writes them to ``path``, several steps of all trajectories at a time.

    A frame is kept every ``interval`` steps, and wherever a trajectory has hopped or stopped. What was written is in the file
    whatever happens afterwards; in it a trajectory is in pieces of the same name, one for each time of writing, until
    ``merge_pieces`` puts them together.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        potential: MultiStatePotential,
        swarm: Swarm,
        *,
        timestep: float,
        interval: int,
        quantum: bool,
        about: Mapping[str, str | float] | None = None,
    ) -> None:
        """A new file, or more of the one at ``path``, which must hold the same system.

        Args:
            path: of the file.
            potential: says which states there are.
            swarm: the first; says which quantities there are.
            timestep: fs.
            interval: steps between frames.
            quantum: whether the coefficients mean something (not under Landau-Zener).
            about: ``level_of_theory``, ``program`` and ``charge`` of the system.
        """
        self.path, self.timestep, self.interval, self.quantum = Path(path), timestep, interval, quantum
        self.facts = StateFacts.of(potential)
        self._kept: list[dict[str, np.ndarray]] = []
        self._bytes = 0
        goes_on = self.path.exists()
        self._writer = HDF5Writer(self.path, "a" if goes_on else "x")
        self._system = _name(potential, float((about or {}).get("charge", 0.0)))
        self._last = np.full(len(swarm), -1)
        """Step of each trajectory's last frame."""
        if goes_on:
            held = last_steps(self.path)
            self._last = np.array([held.get(trajectory_name(number), -1) for number in swarm.trajectories])
        else:
            self._add_system(potential, swarm, dict(about or {}))

    def keep(self, swarm: Swarm, *, last: bool = False) -> None:
        """Take the frames of this step that the file gets; ``last`` takes all that run."""
        regular = last | (swarm.steps % self.interval == 0)
        wanted = np.where(swarm.running, regular | (swarm.hop == HOP), swarm.steps > self._last)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return
        self._last[rows] = swarm.steps[rows]
        columns = self._columns(swarm.select(rows))
        self._kept.append(columns)
        self._bytes += sum(each.nbytes for each in columns.values())

    @property
    def is_full(self) -> bool:
        """Whether what waits should be written now."""
        return self._bytes > _MOST_BYTES

    def write(self) -> None:
        """Write what waits: a piece of each trajectory, all of them in one go."""
        if not self._kept:
            return
        joined = {name: np.concatenate([each[name] for each in self._kept]) for name in self._kept[0]}
        owner = joined.pop("trajectory")
        order = np.argsort(owner, kind="stable")
        numbers, firsts = np.unique(owner[order], return_index=True)
        with self._writer.at_once():
            for number, rows in zip(numbers, np.split(order, firsts[1:]), strict=True):
                columns = {name: values[rows] for name, values in joined.items()}
                self._writer.add_trajectory(
                    self._system, columns, name=trajectory_name(number), dt=self.timestep * self.interval, status="truncated"
                )
        self._kept, self._bytes = [], 0

    def close(self) -> None:
        """Let go of the file; what waits is lost."""
        self._writer.close()

    def _add_system(self, potential: MultiStatePotential, swarm: Swarm, about: dict[str, str | float]) -> None:
        pairs, facts, surfaces = state_pairs(potential.num_states), self.facts, swarm.surfaces
        singlets = set(facts.multiplicities) <= {0, 1}
        alike = [pairs[k] for k in facts.alike]
        self._writer.add_system(
            self._system, np.asarray(potential.atomic_numbers), num_states=potential.num_states,
            masses=np.asarray(potential.masses), multiplicity=facts.multiplicities, root=facts.roots, label=facts.labels,
            charge=float(about.get("charge", 0.0)), level_of_theory=str(about.get("level_of_theory", "")),
            program=str(about.get("program", "mlff")), phase="tracked",
            spin_states=[(state, 0) for state in range(potential.num_states)] if singlets else [],
            nac_pairs=alike if surfaces.nac is not None else [], dipole_pairs=alike if surfaces.dipole is not None else [],
            soc_pairs=[pairs[k] for k in facts.spin_orbit] if surfaces.soc_magnitude is not None else [],
        )  # fmt: skip

    def _columns(self, swarm: Swarm) -> dict[str, np.ndarray]:
        """The frames of a swarm, one a trajectory, with the names of mlff.properties."""
        surfaces, facts = swarm.surfaces, self.facts
        num_states = surfaces.energies.shape[1]
        forces = np.full((len(swarm), swarm.positions.shape[1], num_states, 3), np.nan, dtype=np.float32)
        forces[np.arange(len(swarm)), :, swarm.active] = surfaces.forces
        columns = {
            "trajectory": swarm.trajectories, "step": swarm.steps, "time": swarm.steps * self.timestep,
            "positions": swarm.positions, "velocities": swarm.velocities.astype(np.float32), "energy": surfaces.energies,
            "forces": forces, "kinetic_energy": swarm.kinetic_energy, "active_state": swarm.active, "hop": swarm.hop,
        }  # fmt: skip
        if self.quantum:
            columns["population"] = swarm.populations
            if set(facts.multiplicities) <= {0, 1}:
                columns["coefficients"] = swarm.coefficients
        if surfaces.nac is not None and len(facts.alike):
            columns["nac"] = surfaces.nac[:, :, facts.alike].astype(np.float32)
        if surfaces.dipole is not None and len(facts.alike):
            columns["dipole"] = surfaces.dipole[:, facts.alike].astype(np.float32)
        if surfaces.soc_magnitude is not None and len(facts.spin_orbit):
            columns["soc_magnitude"] = surfaces.soc_magnitude[:, facts.spin_orbit]
        return columns


def _name(potential: MultiStatePotential, charge: float) -> str:
    """Name of the system: its formula, and its charge if it has one."""
    formula = Formula(str(Symbols(np.asarray(potential.atomic_numbers)))).format("hill")
    return f"{formula}_charge{charge:+g}" if charge else formula


def trajectory_name(number: int) -> str:
    """Name of a trajectory in the file."""
    return f"trajectory-{int(number):05d}"


def last_steps(path: Path) -> dict[str, int]:
    """Step of the last frame of every trajectory in a file, pieces or whole."""
    found: dict[str, int] = {}
    dataset = HDF5Dataset(path)
    for each in dataset.trajectories:
        if each.name and each.count:
            step = dataset.systems[each.system].read("step", np.array([each.first + each.count - 1]))
            found[each.name] = max(found.get(each.name, -1), int(step[0]))
    return found


def put_together(paths: list[Path], target: Path, swarm: Swarm, *, finished: bool, last_step: int | None = None) -> None:
    """Make one file of the pieces in several, with a status for each trajectory of the swarm."""
    end = "complete" if finished else "truncated"
    statuses = {
        trajectory_name(number): "crashed" if reason else end
        for number, reason in zip(swarm.trajectories, swarm.stopped, strict=True)
    }
    report = [
        f"{trajectory_name(number)} stopped after step {step}: {reason}"
        for number, step, reason in zip(swarm.trajectories, swarm.steps, swarm.stopped, strict=True) if reason
    ]  # fmt: skip
    merge_pieces(paths, target, last_step=last_step, statuses=statuses, report=report)
