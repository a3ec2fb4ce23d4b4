"""Spill: frames of any number on disk, and an index of some forty bytes a frame in memory.

Importers whose sources have the frames of one trajectory in several places put frames here as they come, and take them
out by trajectory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from mlff.data.importers.xyz.frame_block import FrameBlock


@dataclass(frozen=True)
class Owner:
    """What the frames of one trajectory, or of one system, have in common."""

    numbers: bytes  #: i2 [N]
    masses: tuple[float, ...] | None
    charge: float | None
    level_of_theory: str
    trajectory: str | None
    member: int | None  #: of the set, where no trajectory is known


@dataclass(frozen=True)
class Index:
    """One entry a frame, in the order in which the frames came."""

    owner: np.ndarray  #: i4, row of Spill.owners
    member: np.ndarray  #: i4, which file of the set
    kind: np.ndarray  #: i4, row of Spill.kinds
    offset: np.ndarray  #: i8, byte in the file
    time: np.ndarray  #: f8, fs; NaN unknown

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, rows: np.ndarray) -> Index:
        return Index(self.owner[rows], self.member[rows], self.kind[rows], self.offset[rows], self.time[rows])


class Spill:
    """A temporary file of frames in ``folder`` (the system's own if None), gone with ``close``.

    ``add`` puts a block of a member of the set into it; ``columns`` gives the columns of any of its frames. It can be
    sent to another process when nothing is added any more.
    """

    def __init__(self, folder: Path | None = None) -> None:
        handle, name = tempfile.mkstemp(prefix=".frames.", suffix=".tmp", dir=folder)
        self.path = Path(name)
        self.owners: dict[Owner, int] = {}
        self.kinds: dict[np.dtype, int] = {}  #: the columns of a frame, as the fields of a record
        self._file: IO[bytes] | None = os.fdopen(handle, "wb")
        self._end = 0
        self._parts: list[Index] = []

    def add(self, block: FrameBlock, member: int) -> None:
        """Append the frames of a block."""
        columns = {
            name: np.asarray(values, dtype=np.float64 if values.dtype.kind == "f" else values.dtype)
            for name, values in block.columns.items()
        }
        dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in columns.items()])
        records = np.empty(len(block), dtype)
        for name, values in columns.items():
            records[name] = values
        self._writable().write(records.data)
        facts = (block.numbers.astype(np.int16).tobytes(), block.masses, block.charge, block.level_of_theory)
        numbers = {
            name: self.owners.setdefault(Owner(*facts, name, member if name is None else None), len(self.owners))
            for name in dict.fromkeys(block.trajectories)
        }
        count = len(block)
        self._parts.append(
            Index(
                np.array([numbers[name] for name in block.trajectories], dtype=np.int32),
                np.full(count, member, dtype=np.int32),
                np.full(count, self.kinds.setdefault(dtype, len(self.kinds)), dtype=np.int32),
                self._end + np.arange(count, dtype=np.int64) * dtype.itemsize,
                columns.get("time", np.full(count, np.nan)),
            )
        )
        self._end += count * dtype.itemsize
        if len(self._parts) > 1000:
            self._parts = [self.index()]

    def join(self, other: Spill) -> None:
        """Append all the frames of another spill, which is finished."""
        owners = np.array([self.owners.setdefault(own, len(self.owners)) for own in other.owners], dtype=np.int32)
        kinds = np.array([self.kinds.setdefault(dtype, len(self.kinds)) for dtype in other.kinds], dtype=np.int32)
        index = other.index()
        with other.path.open("rb") as stream:
            shutil.copyfileobj(stream, self._writable(), 1 << 20)
        if len(index):
            moved = (owners[index.owner], index.member, kinds[index.kind], index.offset + self._end, index.time)
            self._parts.append(Index(*moved))
        self._end += other._end

    def index(self) -> Index:
        """The index of all frames."""
        parts = self._parts or [Index(*(np.zeros(0, t) for t in ("i4", "i4", "i4", "i8", "f8")))]
        return Index(*(np.concatenate([getattr(part, name) for part in parts]) for name in Index.__annotations__))

    def columns(self, index: Index, num_states: int, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Columns of the native file ``[F, ...]`` (or those of ``names``) of frames of one composition, padded to S
        states; what some lack is NaN."""
        kinds = list(self.kinds)
        present = [kinds[k] for k in np.unique(index.kind)]
        result: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(name for dtype in present for name in dtype.names or ()):
            if names is not None and name not in names:
                continue
            own = next(dtype[name] for dtype in present if name in (dtype.names or ()))
            shape = padded_shape(name, own.shape, num_states)
            result[name] = np.full((len(index), *shape), absent(name), own.base)
        with self.path.open("rb") as stream:
            starts = np.flatnonzero(np.diff(index.kind, prepend=-1) | _jumps(index, kinds))
            for start, stop in zip(starts, [*starts[1:], len(index)]):
                dtype = kinds[index.kind[start]]
                stream.seek(int(index.offset[start]))
                records = np.frombuffer(stream.read((stop - start) * dtype.itemsize), dtype)
                for name in result.keys() & dtype.fields.keys():
                    put(result[name], slice(start, stop), name, records[name])
        return result

    def num_states(self, kinds: Iterable[int]) -> int:
        """Largest number of electronic states of frames of some kinds, S."""
        dtypes = list(self.kinds)
        return max(_num_states(dtypes[kind]) for kind in kinds)

    def bytes_of(self, kind: int) -> int:
        """Size of a frame."""
        return list(self.kinds)[kind].itemsize

    def finish(self) -> Spill:
        """Nothing is added any more."""
        if self._file is not None:
            self._file.close()
        self._parts = [self.index()]
        return self

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _writable(self) -> IO[bytes]:
        assert self._file is not None and not self._file.closed
        return self._file

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_file": None}


def absent(name: str) -> object:
    """What stands for a value that a frame does not have."""
    return {"cell": 0.0, "pbc": False, "step": -1, "active_state": -1, "hop": 0}.get(name, np.nan)


def padded_shape(name: str, shape: tuple[int, ...], num_states: int) -> tuple[int, ...]:
    """Shape of one frame's value with S states."""
    if name == "energy":
        return (num_states,)
    if name == "stress":
        return (num_states, 6)
    return (shape[0], num_states, 3) if name == "forces" else shape


def put(target: np.ndarray, rows: slice | np.ndarray, name: str, values: np.ndarray) -> None:
    """Write the values of some frames; of those that have states, the first ones."""
    if name in ("energy", "stress"):
        target[rows, : values.shape[1]] = values
    elif name == "forces":
        target[rows, :, : values.shape[2]] = values
    else:
        target[rows] = values


def _num_states(dtype: np.dtype) -> int:
    fields: Mapping[str, object] = dtype.fields or {}
    axes = {"energy": 0, "forces": 1, "stress": 0}
    return max((dtype[name].shape[axis] for name, axis in axes.items() if name in fields), default=1)


def _jumps(index: Index, kinds: list[np.dtype]) -> np.ndarray:
    """Where a frame does not follow the one before it in the file."""
    sizes = np.array([dtype.itemsize for dtype in kinds])[index.kind]
    return np.concatenate([[True], index.offset[1:] != index.offset[:-1] + sizes[:-1]])
