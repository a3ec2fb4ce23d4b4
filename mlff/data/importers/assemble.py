"""Assemble: imported trajectories become systems, trajectories and the given split of a native file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlff.data.importers.trajectory import ImportedTrajectory, SystemFacts
from mlff.data.writer import HDF5Writer


class Assembler:
    """Writes trajectories as they come; those with equal facts go to one system."""

    def __init__(self, writer: HDF5Writer, *, level_of_theory: str = "", charge: float | None = None) -> None:
        self.writer = writer
        self.level_of_theory = level_of_theory
        self.charge = charge
        self.systems: dict[SystemFacts, str] = {}
        self.names: set[str] = set()
        self.notes: list[str] = []  # what was assumed, for the report
        self.parts: list[tuple[int, int, str | None]] = []  # (system, row, part) of every frame, as written
        self.times: list[tuple[int, float]] = []  # (trajectory, time) beside it

    def add(self, trajectory: ImportedTrajectory, checks: Mapping[str, float]) -> str | None:
        """Write one trajectory with the figures of its checks; the name that it got."""
        system = self._system(trajectory.system)
        name = None if trajectory.name is None else self._unused(trajectory.name, trajectory.group)
        first = self.writer.add_trajectory(
            system,
            trajectory.columns,
            name=name,
            dt=trajectory.dt,
            status=trajectory.status,
            source=trajectory.source,
            source_sha256=trajectory.sha256,
            checks=checks,
        )
        index = list(self.systems.values()).index(system)
        key = len(self.names) if name is not None else -1
        parts = trajectory.parts or (None,) * trajectory.num_frames
        times = trajectory.columns.get("time", np.full(trajectory.num_frames, np.nan))
        self.parts += [(index, first + k, part) for k, part in enumerate(parts)]
        self.times += [(key, float(time)) for time in times]
        return name

    def given_split(self) -> tuple[dict[str, np.ndarray], str] | None:
        """The split that the sources' names give, as (system, row) pairs, and what kind of split it is."""
        held = {part for _, _, part in self.parts if part is not None}
        if not held:
            return None
        split = {
            part: np.array([(s, row) for s, row, p in self.parts if p == part], dtype=np.int64).reshape(-1, 2)
            for part in ("train", "val", "test")
        }
        return split, _kind([part for _, _, part in self.parts], self.times)

    def _system(self, facts: SystemFacts) -> str:
        if facts not in self.systems:
            charge = next((each for each in (facts.charge, self.charge) if each is not None), 0.0)
            base = Formula(str(Symbols(list(facts.atomic_numbers)).formula)).format("hill")
            if charge:
                base += f"_charge{charge:+g}"
            name, taken = base, set(self.systems.values())
            for k in range(2, len(taken) + 3):
                if name not in taken:
                    break
                name = f"{base}_{k}"
            self.writer.add_system(
                name,
                facts.atomic_numbers,
                num_states=facts.num_states,
                masses=facts.masses,
                charge=charge,
                multiplicity=facts.multiplicity,
                root=facts.root,
                label=facts.label,
                level_of_theory=facts.level_of_theory or self.level_of_theory,
                program=facts.program,
                phase=facts.phase,
                spin_states=facts.spin_states,
                nac_pairs=facts.nac_pairs,
                dipole_pairs=facts.dipole_pairs,
                soc_pairs=facts.soc_pairs,
            )
            self.systems[facts] = name
            if facts.charge is None and self.charge is None:
                self.notes.append(f"system {name}: the source does not say the charge: 0 is stored (see `--charge`)")
        return self.systems[facts]

    def _unused(self, trajectory: str, group: str) -> str:
        name = trajectory if trajectory not in self.names else f"{group}/{trajectory}"
        for k in range(2, len(self.names) + 3):
            if name not in self.names:
                break
            name = f"{group}/{trajectory}_{k}"
        self.names.add(name)
        return name


def _kind(parts: list[str | None], times: list[tuple[int, float]]) -> str:
    """What a given split is, seen from the frames: by time, by trajectory, or just given."""
    spans: dict[int, dict[str, tuple[float, float]]] = {}
    for part, (trajectory, time) in zip(parts, times, strict=True):
        if trajectory < 0 or part is None:
            return "given"
        held = spans.setdefault(trajectory, {})
        low, high = held.get(part, (time, time))
        held[part] = (min(low, time), max(high, time))
    if all(len(held) == 1 for held in spans.values()):
        return "trajectory" if len(spans) > 1 else "given"
    for held in spans.values():
        ordered = [held[part] for part in ("train", "val", "test") if part in held]
        if not all(before[1] < after[0] for before, after in zip(ordered, ordered[1:], strict=False)):
            return "given"
    return "time"
