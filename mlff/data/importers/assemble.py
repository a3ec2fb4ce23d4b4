"""Assemble: parsed frames become systems, trajectories and the given split of a native file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlff.data.importers.extxyz import ParsedFrame
from mlff.data.importers.members import Member
from mlff.data.importers.report import ImportReport
from mlff.data.writer import HDF5Writer


@dataclass(frozen=True)
class SourceFrame:
    """A parsed frame with the member that it came from."""

    frame: ParsedFrame
    member: Member


class Assembler:
    """Gathers the frames of groups of members and writes them, a trajectory at a time."""

    def __init__(self, writer: HDF5Writer, report: ImportReport, hashes: dict[str, str], level_of_theory: str) -> None:
        self.writer = writer
        self.level_of_theory = level_of_theory
        self.report = report
        self.hashes = hashes
        self.systems: dict[tuple[bytes, float], str] = {}
        self.names: set[str] = set()
        self.parts: list[tuple[int, int, str | None]] = []  # (system, row, part) of every frame, as written
        self.times: list[tuple[int, float]] = []  # (trajectory, time) beside it

    def add_group(self, frames: Sequence[SourceFrame], label: str) -> None:
        """Write one group. Frames of one trajectory are brought together, whichever file they are in, and put in the
        order of their times; frames that say no trajectory are kept in the order of the file."""
        runs: dict[tuple[bytes, float, str | None, str], list[SourceFrame]] = {}
        for each in frames:
            trajectory = each.frame.trajectory
            member = each.member.name if trajectory is None else ""
            key = (each.frame.numbers.tobytes(), each.frame.charge, trajectory, member)
            runs.setdefault(key, []).append(each)
        for (numbers, charge, trajectory, _), run in runs.items():
            system = self._system(numbers, charge)
            name = None if trajectory is None else self._unused(trajectory, label)
            self._write(system, name, run)

    def given_split(self) -> tuple[dict[str, np.ndarray], str] | None:
        """The split that the members' names give, as (system, row) pairs, and what kind of split it is."""
        held = {part for _, _, part in self.parts if part is not None}
        if not held:
            return None
        split = {
            part: np.array([(s, row) for s, row, p in self.parts if p == part], dtype=np.int64).reshape(-1, 2)
            for part in ("train", "val", "test")
        }
        return split, _kind([part for _, _, part in self.parts], self.times)

    def _system(self, numbers: bytes, charge: float) -> str:
        if (numbers, charge) not in self.systems:
            atomic_numbers = np.frombuffer(numbers, dtype=np.int16)
            base = Formula(str(Symbols(atomic_numbers.astype(int)).formula)).format("hill")
            if charge:
                base += f"_charge{charge:+g}"
            name, taken = base, set(self.systems.values())
            for k in range(2, len(taken) + 3):
                if name not in taken:
                    break
                name = f"{base}_{k}"
            self.writer.add_system(name, atomic_numbers, charge=charge, level_of_theory=self.level_of_theory)
            self.systems[numbers, charge] = name
        return self.systems[numbers, charge]

    def _unused(self, trajectory: str, label: str) -> str:
        name = trajectory if trajectory not in self.names else f"{label}/{trajectory}"
        for k in range(2, len(self.names) + 3):
            if name not in self.names:
                break
            name = f"{label}/{trajectory}_{k}"
        self.names.add(name)
        return name

    def _write(self, system: str, name: str | None, run: list[SourceFrame]) -> None:
        times = np.array([each.frame.time for each in run])
        dt = np.nan
        if name is not None and np.isfinite(times).all():
            order = np.argsort(times, kind="stable")
            run, times = [run[k] for k in order], times[order]
            gaps = np.diff(times)
            if (repeated := int((gaps == 0).sum())) > 0:
                self.report.problems.append(f"trajectory {name}: {repeated} frames have the time of another frame")
            if len(gaps) and np.allclose(gaps, gaps[0], rtol=1e-6, atol=1e-9):
                dt = float(gaps[0])
        members = {each.member.name: each.member for each in run}
        sources = sorted(members)
        source_hash = (
            self.hashes.get(str(run[0].member.path), "") if len({m.path for m in members.values()}) == 1 else ""
        )
        first = self.writer.add_trajectory(
            system,
            _columns([each.frame for each in run]),
            name=name,
            dt=dt,
            source=", ".join(sources),
            source_sha256=source_hash,
        )
        index = list(self.systems.values()).index(system)
        key = len(self.names) if name is not None else -1
        self.parts += [(index, first + k, each.member.part) for k, each in enumerate(run)]
        self.times += [(key, time) for time in times]


def _columns(frames: list[ParsedFrame]) -> dict[str, np.ndarray]:
    """Columns of the native file, one state; what a frame lacks is NaN, which the writer masks."""
    num_frames, num_atoms = len(frames), len(frames[0].numbers)
    columns: dict[str, np.ndarray] = {
        "positions": np.stack([frame.positions for frame in frames]),
        "pbc": np.array([frame.pbc for frame in frames]),
    }
    time, step = np.array([frame.time for frame in frames]), np.array([frame.step for frame in frames])
    if np.isfinite(time).any():
        columns["time"] = time
    if (step >= 0).any():
        columns["step"] = step
    energy = np.array([frame.energy for frame in frames])[:, None]
    if np.isfinite(energy).any():
        columns["energy"] = energy
    for name, shape in (("forces", (num_atoms, 3)), ("stress", (6,)), ("velocities", (num_atoms, 3)), ("cell", (3, 3))):
        values = [getattr(frame, name) for frame in frames]
        if all(value is None for value in values):
            continue
        absent = np.zeros(shape) if name == "cell" else np.full(shape, np.nan)
        columns[name] = np.stack([absent if value is None else value for value in values])
    if "forces" in columns:
        columns["forces"] = columns["forces"].reshape(num_frames, num_atoms, 1, 3)
    if "stress" in columns:
        columns["stress"] = columns["stress"].reshape(num_frames, 1, 6)
    return columns


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
