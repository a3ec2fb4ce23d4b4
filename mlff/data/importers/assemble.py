"""Assemble: imported trajectories become systems, trajectories and the given split of a native file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlff.data.importers.append import Earlier
from mlff.data.importers.trajectory import ImportedTrajectory, SystemFacts
from mlff.data.schema import SPLIT_PARTS
from mlff.data.writer import HDF5Writer


@dataclass(frozen=True)
class _Written:
    """What the given split needs to know of a trajectory: a byte and a time a frame."""

    system: int
    first: int
    named: bool
    parts: np.ndarray
    times: np.ndarray


class Assembler:
    """Writes trajectories as they come; those with equal facts go to one system, of those that were there before too."""

    def __init__(
        self,
        writer: HDF5Writer,
        *,
        level_of_theory: str = "",
        charge: float | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        self.writer = writer
        self.earlier = earlier or Earlier()
        self.level_of_theory = level_of_theory
        self.charge = charge
        self.systems: dict[SystemFacts, str] = {}
        self.indices = {system.name: index for index, system in enumerate(self.earlier.systems)}
        self.names = set(self.earlier.names)
        self.notes: list[str] = []  # what was assumed, for the report
        self.written: list[_Written] = []

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
        index = self.indices[system]
        parts = trajectory.parts or (None,) * trajectory.num_frames
        times = trajectory.columns.get("time", np.full(trajectory.num_frames, np.nan))
        self.written.append(
            _Written(index, first, name is not None, _codes(parts), np.asarray(times, dtype=np.float64))
        )
        return name

    def given_split(self) -> tuple[dict[str, np.ndarray], str] | None:
        """The split that the sources' names give, as (system, row) pairs, and what kind of split it is."""
        if all((each.parts == 0).all() for each in self.written):
            return None
        split = {}
        for code, part in enumerate(SPLIT_PARTS, start=1):
            pairs = [
                np.stack([np.full((each.parts == code).sum(), each.system), at], axis=1)
                for each in self.written
                if len(at := each.first + np.flatnonzero(each.parts == code))
            ]
            split[part] = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=np.int64)
        return split, _kind(self.written)

    def _system(self, facts: SystemFacts) -> str:
        if facts not in self.systems:
            said = facts.charge if facts.charge is not None else self.charge
            level = facts.level_of_theory or self.level_of_theory
            known = self.earlier.system(facts, said, level)
            if known is not None:
                if (said is None and known.charge) or (not level and known.level_of_theory):
                    self.notes.append(
                        f"system {known.name}: charge {known.charge:+g} and level of theory "
                        f"{known.level_of_theory or 'unknown'} are those of the frames that it had before"
                    )
                self.systems[facts] = known.name
                return known.name
            charge = said or 0.0
            base = Formula(str(Symbols(list(facts.atomic_numbers)).formula)).format("hill")
            if charge:
                base += f"_charge{charge:+g}"
            name, taken = base, set(self.indices)
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
                level_of_theory=level,
                program=facts.program,
                phase=facts.phase,
                spin_states=facts.spin_states,
                nac_pairs=facts.nac_pairs,
                dipole_pairs=facts.dipole_pairs,
                soc_pairs=facts.soc_pairs,
            )
            self.systems[facts] = name
            self.indices[name] = len(self.indices)
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


def _codes(parts: Sequence[str | None]) -> np.ndarray:
    """Parts as numbers: 0 none, 1 train, 2 val, 3 test."""
    return np.array([0 if part is None else 1 + SPLIT_PARTS.index(part) for part in parts], dtype=np.int8)


def _kind(written: Sequence[_Written]) -> str:
    """What a given split is, seen from the frames: by time, by trajectory, or just given."""
    if any(not each.named or (each.parts == 0).any() for each in written):
        return "given"
    if all(len(np.unique(each.parts)) == 1 for each in written):
        return "trajectory" if len(written) > 1 else "given"
    for each in written:
        spans = [each.times[each.parts == code] for code in (1, 2, 3) if (each.parts == code).any()]
        if not all(before.max() < after.min() for before, after in zip(spans, spans[1:], strict=False)):
            return "given"
    return "time"
