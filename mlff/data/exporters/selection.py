"""The frames to export: some rows of some trajectories, read a block at a time so that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlff.data.dataset import HDF5Dataset
from mlff.data.schema import SPLIT_PARTS
from mlff.data.system import System, Trajectory
from mlff.properties import PROPERTIES

_BLOCK_BYTES = 1 << 21

Told = tuple[list[str], int]
"""What an exporter says: sentences on what the format has no place for, and the number of frames that it left out."""


@dataclass(frozen=True)
class Block:
    """Neighbouring frames of a piece: ``at`` are their places in it."""

    piece: Piece
    at: slice
    rows: slice | np.ndarray  #: rows of the system

    def __len__(self) -> int:
        return self.at.stop - self.at.start

    def read(self, name: str) -> np.ndarray | None:
        """Values ``[frames, ...]`` in stored type and unit (mlff.properties); None where none of them is known."""
        system = self.piece.system
        if not system.has(name):
            return None
        values = system.read(name, self.rows)
        return values if known(name, values) else None


@dataclass(frozen=True)
class Piece:
    """The chosen frames of one trajectory; ``splits`` says which part of each split a frame is in."""

    system: System
    trajectory: Trajectory
    rows: np.ndarray  #: i64, rows of the system, in the trajectory's order
    splits: Mapping[str, np.ndarray] = field(default_factory=dict)  #: split -> u1[F]: 0 none, 1 train, 2 val, 3 test

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dt(self) -> float:
        """fs between neighbouring chosen frames; NaN where it is not one number."""
        gaps = np.unique(np.diff(self.rows))
        return (
            self.trajectory.dt * float(gaps[0]) if len(gaps) == 1 else self.trajectory.dt if not len(gaps) else np.nan
        )

    def blocks(self, advance: Callable[[int], None]) -> Iterator[Block]:
        """The frames in order, two megabytes at a time; ``advance`` is told how many are done."""
        system = self.system
        names = [name for name in PROPERTIES if system.has(name)]
        frame_bytes = sum(system.read(name, slice(0, 1)).nbytes for name in names)
        size = max(1, _BLOCK_BYTES // max(1, frame_bytes))
        for first in range(0, len(self.rows), size):
            rows = self.rows[first : first + size]
            together = rows[-1] - rows[0] + 1 == len(rows)
            yield Block(
                self,
                slice(first, first + len(rows)),
                slice(int(rows[0]), int(rows[-1]) + 1) if together else rows,
            )
            advance(len(rows))


def known(name: str, values: np.ndarray) -> bool:
    """Whether any of the values is more than missing (NaN; -1 for states and steps)."""
    kind = values.dtype.kind
    if kind in "fc":
        return bool(np.isfinite(values).any())
    return bool((values >= 0).any()) if kind == "i" else bool(len(values))


def choose(
    dataset: HDF5Dataset, *, split: str | None = None, part: str | None = None, trajectories: Sequence[str] = ()
) -> list[Piece]:
    """The frames of a split's part (of all its parts) in the named trajectories, a piece a trajectory.

    Raises:
        ValueError: no split or trajectory has that name.
    """
    wanted = np.ones(len(dataset), dtype=bool)
    if split is not None:
        parts = dataset.split(split)
        wanted[:] = False
        for name in SPLIT_PARTS if part is None else (part,):
            wanted[parts[name]] = True
    for name in trajectories:
        dataset.trajectory(name)
    codes = {name: np.zeros(len(dataset), dtype=np.uint8) for name in dataset.splits}
    for name, code in codes.items():
        for number, indices in enumerate((dataset.split(name)[each] for each in SPLIT_PARTS), start=1):
            code[indices] = number
    pieces = []
    for each in dataset.trajectories:
        if trajectories and each.name not in trajectories:
            continue
        system = dataset.systems[each.system]
        span = slice(system.first + each.first, system.first + each.first + each.count)
        rows = each.first + np.flatnonzero(wanted[span])
        if len(rows):
            pieces.append(Piece(system, each, rows, {name: code[system.first + rows] for name, code in codes.items()}))
    return pieces


def own_masses(system: System) -> np.ndarray | None:
    """The system's masses [N] in amu; None where they are the standard ones, as ASE has them."""
    from ase.data import atomic_masses

    standard = np.abs(system.masses - atomic_masses[system.atomic_numbers]).max() < 1e-6
    return None if standard else system.masses


def quantities(pieces: Sequence[Piece]) -> list[str]:
    """Names of what the pieces' systems have, in the order of mlff.properties, bookkeeping left out."""
    systems = {id(piece.system): piece.system for piece in pieces}.values()
    return [name for name in PROPERTIES if name != "trajectory" and any(system.has(name) for system in systems)]


def left_out(pieces: Sequence[Piece], held: set[str], what: str) -> list[str]:
    """The sentence on what a format has no place for; empty where it holds everything."""
    names = [name for name in quantities(pieces) if name not in held]
    return [f"{what} has no place for {', '.join(names)}: left out"] if names else []
