"""System and Trajectory: a native file's table of frames for one molecule or cell, and what its rows came from."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from mlff.data.schema import decode, open_checked


@dataclass(frozen=True)
class Trajectory:
    """One row of /trajectories: ``count`` consecutive rows of ``system``, from ``first``."""

    name: str | None  #: None where the source did not say which trajectory the frames are of
    system: int
    first: int
    count: int
    dt: float  #: fs between frames, NaN unknown
    status: str
    source: str
    source_sha256: str


class OpenFile:
    """One h5py handle of a native file for all its systems: opened when it is first needed, in each process anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        self._process = os.getpid()

    def get(self) -> h5py.File:
        """The handle of this process."""
        if self._file is not None and self._process != os.getpid():
            self._file.close()  # the parent's, which came along in a fork
            self._file = None
        if self._file is None:
            self._file, self._process = open_checked(self.path), os.getpid()
        return self._file


class System:
    """Frames of one composition, atom order, set of states and level of theory."""

    def __init__(self, file: OpenFile, group: h5py.Group, num_frames: int, first: int) -> None:
        self.path = file.path
        self.name: str = group.name.rsplit("/", 1)[1]
        self.atomic_numbers: np.ndarray = group["atomic_numbers"][:]  #: i16 [N]
        self.masses: np.ndarray = group["masses"][:]  #: f8 [N] amu
        self.charge = float(group.attrs["charge"])  #: e
        self.level_of_theory = str(group.attrs["level_of_theory"])
        self.program = str(group.attrs["program"])
        self.state_labels = tuple(decode(group["states/label"][:]))
        self.multiplicities = tuple(int(each) for each in group["states/multiplicity"][:])
        self.roots = tuple(int(each) for each in group["states/root"][:])
        self.phase = str(group.attrs["phase"])
        self.nac_pairs, self.dipole_pairs, self.soc_pairs = (
            tuple((int(i), int(j)) for i, j in group[f"pairs/{name}"][:]) for name in ("nac", "dipole", "soc")
        )  #: 0-based states of the pair axis of nac and interstate_coupling, of dipole, of soc_magnitude
        spin = group["spin_states"] if "spin_states" in group else None
        self.spin_states: tuple[tuple[int, int], ...] = (
            () if spin is None else tuple((int(s), int(m)) for s, m in zip(spin["state"][:], spin["twice_ms"][:]))
        )  #: (state, 2 M_S) of each spin component
        self.num_frames = num_frames
        self.first = first  #: global index of its first frame
        self.first_trajectory = 0  #: what to add to its column `trajectory`, which counts within its file
        self._where: dict[str, tuple[np.dtype, tuple[int, ...], int | None]] = {}
        frames = group["frames"].id
        for name in frames:  # h5py's lower level: files may have thousands of systems
            held = h5py.h5d.open(frames, name)
            chunked = held.get_create_plist().get_layout() == h5py.h5d.CHUNKED
            offset = None if chunked else held.get_offset()
            self._where[name.decode()] = (held.dtype, (num_frames, *held.shape[1:]), offset)
        self._maps: dict[str, np.ndarray] = {}
        self._file = file
        self._group = f"{group.name}/frames"

    def placed(self, name: str, first: int, first_trajectory: int) -> System:
        """The same frames in a dataset of several files, where they may have another name and come later."""
        system = copy.copy(self)
        system.name, system.first, system.first_trajectory = name, first, first_trajectory
        return system

    @cached_property
    def units(self) -> dict[str, str]:
        """The unit of every quantity, as the file says it."""
        return {name: str(held.attrs.get("unit", "")) for name, held in self._file.get()[self._group].items()}

    @cached_property
    def conventions(self) -> dict[str, str]:
        """The sign or convention of every quantity, as the file says it."""
        return {
            name: str(held.attrs.get("convention", held.attrs.get("sign", "")))
            for name, held in self._file.get()[self._group].items()
        }

    @property
    def num_atoms(self) -> int:
        """Number of atoms of every frame, N."""
        return len(self.atomic_numbers)

    @property
    def num_states(self) -> int:
        """Number of electronic states, S."""
        return len(self.state_labels)

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that its frames have."""
        return tuple(self._where)

    def has(self, name: str) -> bool:
        """Whether its frames have the quantity ``name`` (each frame may still be masked)."""
        return name in self._where

    def frame_bytes(self, name: str) -> int:
        """Size of one frame's value of ``name`` in the file."""
        dtype, shape, _ = self._where[name]
        return int(dtype.itemsize * np.prod(shape[1:], dtype=np.int64))

    def read(self, name: str, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Values of ``name`` for the given rows, ``[len(rows), ...]``, in stored type and unit (mlff.properties)."""
        if name not in self._where:
            raise ValueError(f"system {self.name!r} of {self.path} has no `{name}`; it has: {', '.join(self._where)}")
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
        source = self._source(name)
        if isinstance(source, np.ndarray):
            return np.array(source[rows])
        rows = np.arange(self.num_frames)[rows]
        if not len(rows):
            return np.empty((0, *source.shape[1:]), source.dtype)
        order, inverse = np.unique(rows, return_inverse=True)
        span = source[int(order[0]) : int(order[-1]) + 1] if len(order) > 0.1 * (order[-1] - order[0] + 1) else None
        return span[rows - order[0]] if span is not None else source[order][inverse]

    def view(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Values of ``name`` for consecutive rows, read-only: the memory map itself where the file is finished."""
        source = self._source(name) if name in self._where else None
        values = source[rows] if isinstance(source, np.ndarray) else self.read(name, rows)
        values.flags.writeable = False
        return values

    def _source(self, name: str) -> np.ndarray | h5py.Dataset:
        if name in self._maps:
            return self._maps[name]
        dtype, shape, offset = self._where[name]
        if 0 in shape:
            self._maps[name] = np.empty(shape, dtype)
            return self._maps[name]
        if offset is not None:
            mapped = np.memmap(self.path, dtype=np.dtype(dtype), mode="r", offset=offset, shape=shape)
            self._maps[name] = mapped.view(np.ndarray)  # plain indexing is several times faster than memmap's own
            return self._maps[name]
        return self._file.get()[f"{self._group}/{name}"]

    def __repr__(self) -> str:
        return f"System({self.name!r}, {self.num_frames} frames, {self.num_atoms} atoms, {self.num_states} states)"
