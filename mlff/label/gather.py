"""gather: labelled structures become the trajectories and systems of a native file, in the order in which they were given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_masses

from mlff.data.columns import stack
from mlff.data.frame import Frame
from mlff.data.importers.trajectory import ImportedTrajectory, Status, SystemFacts, spacing
from mlff.label.journal import Label
from mlff.label.structures import Structure


@dataclass
class _Group:
    frames: list[Frame] = field(default_factory=list)
    failed: bool = False


def gather(
    structures: Iterable[Structure], labels: Mapping[int, Label], program: str, digest: str, failures: list[str]
) -> Iterator[ImportedTrajectory]:
    """Frames of one source, trajectory, composition, charge and multiplicity together, in the order of the first of each.

    ``labels`` are by number of the structure; ``digest`` is that of structures and calculator. Why a structure was left out
    is added to ``failures``.
    """
    groups: dict[tuple[str, str | None, SystemFacts], _Group] = {}
    for number, structure in enumerate(structures):
        result, frame = labels[number], structure.frame
        key = (structure.source, frame.trajectory, _facts(structure, program))
        group = groups.setdefault(key, _Group())
        if result.error:
            failures.append(f"{structure.called}: left out: {result.error}")
            group.failed = True
        else:
            group.frames.append(_labelled(frame, result))
    for (source, name, facts), group in groups.items():
        if not group.frames:
            continue
        columns = stack(group.frames)
        dt = spacing(np.asarray(columns["time"])) if "time" in columns else float("nan")
        status: Status = "truncated" if group.failed else "complete"
        yield ImportedTrajectory(
            facts, columns, name, dt=dt, status=status, source=source, sha256=digest, group=source or "structures"
        )


def _facts(structure: Structure, program: str) -> SystemFacts:
    """What the structure shares with the others of its system."""
    frame = structure.frame
    masses = frame.masses
    if masses is not None and np.allclose(masses, atomic_masses[frame.atomic_numbers], rtol=0, atol=1e-6):
        masses = None
    return SystemFacts(
        tuple(frame.atomic_numbers.tolist()),
        masses=None if masses is None else tuple(masses.tolist()),
        charge=frame.charge,
        multiplicity=() if structure.multiplicity is None else (structure.multiplicity,),
        program=program,
    )


def _labelled(frame: Frame, result: Label) -> Frame:
    assert result.forces is not None
    return Frame(
        atomic_numbers=frame.atomic_numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc,
        velocities=frame.velocities, masses=frame.masses, charge=frame.charge, trajectory=frame.trajectory, step=frame.step,
        time=frame.time, energy=np.array([result.energy]), forces=result.forces[:, None, :],
        stress=None if result.stress is None else result.stress[None, :],
    )  # fmt: skip
