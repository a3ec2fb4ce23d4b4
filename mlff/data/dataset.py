"""HDF5Dataset: frames of a native file, read through a memory map; a random batch costs microseconds a frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mlff.data.batch import Batch
from mlff.data.frame import Frame
from mlff.data.schema import SPLIT_PARTS, TRAJECTORY_COLUMNS, decode, open_checked


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


class System:
    """Frames of one composition, atom order, set of states and level of theory."""

    def __init__(self, path: Path, group: h5py.Group, num_frames: int, first: int) -> None:
        self.path = path
        self.name: str = group.name.rsplit("/", 1)[1]
        self.atomic_numbers: np.ndarray = group["atomic_numbers"][:]  #: i16 [N]
        self.masses: np.ndarray = group["masses"][:]  #: f8 [N] amu
        self.charge = float(group.attrs["charge"])  #: e
        self.level_of_theory = str(group.attrs["level_of_theory"])
        self.program = str(group.attrs["program"])
        self.state_labels = tuple(decode(group["states/label"][:]))
        self.multiplicities = tuple(int(each) for each in group["states/multiplicity"][:])
        self.num_frames = num_frames
        self.first = first  #: global index of its first frame
        self.units = {name: str(held.attrs.get("unit", "")) for name, held in group["frames"].items()}
        self._where: dict[str, tuple[np.dtype, tuple[int, ...], int | None]] = {}
        for name, held in group["frames"].items():
            offset = held.id.get_offset() if held.chunks is None else None
            self._where[name] = (held.dtype, (num_frames, *held.shape[1:]), offset)
        self._maps: dict[str, np.ndarray] = {}
        self._file: h5py.File | None = None
        self._process = os.getpid()

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
        if self._file is None or self._process != os.getpid():
            self._file, self._process = open_checked(self.path), os.getpid()
        return self._file[f"systems/{self.name}/frames/{name}"]

    def __repr__(self) -> str:
        return f"System({self.name!r}, {self.num_frames} frames, {self.num_atoms} atoms, {self.num_states} states)"


class _Frames:
    """What a dataset and a view of it have in common: frames by index, iteration, batches."""

    _dataset: HDF5Dataset

    def __len__(self) -> int:
        raise NotImplementedError

    def _global(self, indices: object) -> np.ndarray:
        raise NotImplementedError

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """The Frame at an integer; a view at a slice, an array of indices or a boolean array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"frame {index} of {len(self)}")
            return self._dataset.frame(int(self._global(np.array([index]))[0]))
        return HDF5View(self._dataset, self._global(index))

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def batch(self, indices: slice | np.ndarray | list[int]) -> Batch:
        """The frames at ``indices``, in that order, as one Batch of arrays."""
        return self._dataset.read_batch(self._global(indices))

    @property
    def num_states(self) -> int:
        """Largest number of electronic states of any system, S."""
        return self._dataset._num_states


class HDF5Dataset(_Frames):
    """The frames of a native file, systems in order.

    Cheap to open and to pickle (the path travels, not the data); ``ds[i]`` is a Frame, ``ds[a:b]`` and ``ds[array]``
    are views, ``ds.batch(indices)`` is the fast way to many frames.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._dataset = self
        self._open()

    def _open(self) -> None:
        with open_checked(self.path) as file:
            try:
                self._load(file)
            except (KeyError, OSError) as error:
                raise ValueError(f"{self.path} is damaged: {error}; make it again with `mlff data import`") from error

    def _load(self, file: h5py.File) -> None:
        table = file["trajectories"]
        num = min(len(table[name]) for name in TRAJECTORY_COLUMNS)
        columns = {name: table[name][:num] for name in TRAJECTORY_COLUMNS}
        columns |= {name: decode(columns[name]) for name in ("name", "status", "source", "source_sha256")}
        self.trajectories = tuple(
            Trajectory(columns["name"][k] or None, int(columns["system"][k]), int(columns["first"][k]),
                       int(columns["count"][k]), float(columns["dt"][k]), columns["status"][k], columns["source"][k],
                       columns["source_sha256"][k])
            for k in range(num)
        )  # fmt: skip
        groups = sorted(file["systems"].values(), key=lambda group: int(group.attrs["index"]))
        systems, first = [], 0
        for index, group in enumerate(groups):
            num_frames = int(columns["count"][columns["system"] == index].sum())
            systems.append(System(self.path, group, num_frames, first))
            first += num_frames
        self.systems: tuple[System, ...] = tuple(systems)
        self._firsts = np.array([system.first for system in systems], dtype=np.int64)
        self._num_frames = first
        self._num_states = max((system.num_states for system in systems), default=1)
        self._splits: dict[str, dict[str, np.ndarray]] = {}
        self._split_attrs: dict[str, dict[str, object]] = {}
        for name, group in file["splits"].items():
            self._splits[name] = {part: self._firsts[group[part][:, 0]] + group[part][:, 1] for part in SPLIT_PARTS}
            self._split_attrs[name] = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in group.attrs.items()}
        self.attrs: dict[str, object] = {key: value for key, value in file.attrs.items()}

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __len__(self) -> int:
        return self._num_frames

    def __repr__(self) -> str:
        return f"HDF5Dataset({str(self.path)!r}, {len(self)} frames, {len(self.systems)} systems)"

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the file holds."""
        return tuple(self._splits)

    def split(self, name: str) -> dict[str, np.ndarray]:
        """The split's frames: ``{"train", "val", "test"}``, each i64 of global indices."""
        if name not in self._splits:
            raise ValueError(f"{self.path} has no split {name!r}; it has: {', '.join(self._splits) or 'none'}; "
                             f"make one with `mlff data split`")  # fmt: skip
        return {part: indices.copy() for part, indices in self._splits[name].items()}

    def split_attrs(self, name: str) -> dict[str, object]:
        """How the split was made: kind, and seed and fractions where it has them."""
        self.split(name)
        return dict(self._split_attrs[name])

    def locate(self, indices: np.ndarray | list[int]) -> tuple[np.ndarray, np.ndarray]:
        """System and row within it of every global index."""
        indices = self._global(np.asarray(indices, dtype=np.int64))
        owner = np.searchsorted(self._firsts, indices, side="right") - 1
        while len(self.systems) and (empty := np.array([not self.systems[k].num_frames for k in owner], dtype=bool)).any():
            owner[empty] -= 1  # an empty system starts where the next one does
        return owner, indices - self._firsts[owner]

    def _global(self, indices: object) -> np.ndarray:
        if isinstance(indices, slice):
            return np.arange(self._num_frames)[indices]
        array = np.asarray(indices)
        if array.dtype == bool:
            if len(array) != self._num_frames:
                raise ValueError(f"a mask of {len(array)} values was given for {self._num_frames} frames")
            return np.flatnonzero(array)
        if not array.size:
            return np.zeros(0, dtype=np.int64)
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise ValueError(f"frame indices must be a list of integers; got {array.dtype} of shape {array.shape}")
        array = array.astype(np.int64, copy=False)
        if array.min() < 0:
            array = np.where(array < 0, array + self._num_frames, array)
        if array.min() < 0 or array.max() >= self._num_frames:
            raise IndexError(f"a frame index is outside the {self._num_frames} frames of {self.path}")
        return array

    def frame(self, index: int) -> Frame:
        """The frame with this global index, with everything the file knows about it."""
        owner, rows = self.locate([index])
        system, row = self.systems[int(owner[0])], rows

        def value(name: str) -> np.ndarray | None:
            return system.read(name, row)[0] if system.has(name) else None

        trajectory, cell, step, time = value("trajectory"), value("cell"), value("step"), value("time")
        velocities, stress, active = value("velocities"), value("stress"), value("active_state")
        pbc = value("pbc")
        assert trajectory is not None
        return Frame(
            atomic_numbers=system.atomic_numbers.copy(), positions=value("positions"),  # type: ignore[arg-type]
            cell=None if cell is None or not cell.any() else cell,
            pbc=np.zeros(3, bool) if pbc is None else pbc,
            energy=value("energy"), forces=value("forces"), energy_valid=value("energy_valid"),
            forces_valid=value("forces_valid"),
            stress=None if stress is None or np.isnan(stress).all() else stress,
            velocities=None if velocities is None or np.isnan(velocities).any() else velocities,
            masses=system.masses.copy(), charge=system.charge, active_state=-1 if active is None else int(active),
            system=system.name, trajectory=self.trajectories[int(trajectory)].name,
            step=None if step is None or step < 0 else int(step),
            time=None if time is None or np.isnan(time) else float(time),
        )  # fmt: skip

    def read_batch(self, indices: np.ndarray) -> Batch:
        """The Batch of frames at checked global indices."""
        owner, rows = self.locate(indices) if len(self.systems) > 1 else (np.zeros(len(indices), np.int64), indices)
        sizes = np.array([system.num_atoms for system in self.systems], dtype=np.int64)
        num_atoms = sizes[owner] if len(sizes) else np.zeros(0, np.int64)
        present = [self.systems[k] for k in (np.unique(owner) if len(self.systems) > 1 else range(len(sizes)))]
        batch = np.repeat(np.arange(len(indices)), num_atoms)
        if len(present) == 1:
            return _gather_one(present[0], rows, num_atoms, batch, self._num_states)
        return _gather_many(self.systems, owner, rows, num_atoms, batch, self._num_states)


class HDF5View(_Frames):
    """Some frames of a dataset, in a chosen order; behaves like the dataset."""

    def __init__(self, dataset: HDF5Dataset, indices: np.ndarray) -> None:
        self._dataset = dataset
        self.indices = indices  #: i64, global indices of its frames

    @property
    def dataset(self) -> HDF5Dataset:
        """The dataset that the view looks into."""
        return self._dataset

    @property
    def path(self) -> Path:
        """The dataset's file."""
        return self._dataset.path

    def __len__(self) -> int:
        return len(self.indices)

    def _global(self, indices: object) -> np.ndarray:
        if isinstance(indices, slice):
            return self.indices[indices]
        array = np.asarray(indices)
        return self.indices[array if array.size else np.zeros(0, np.int64)]

    def __repr__(self) -> str:
        return f"HDF5View({len(self)} of {self._dataset!r})"


def _gather_one(system: System, rows: np.ndarray, num_atoms: np.ndarray, batch: np.ndarray, num_states: int) -> Batch:
    """A batch whose frames are all of one system: one fancy index a quantity."""
    if system.num_states != num_states:
        return _gather_many((system,), np.zeros(len(rows), np.int64), rows, num_atoms, batch, num_states)
    num = len(rows)

    def take(name: str) -> np.ndarray | None:
        return system.read(name, rows) if system.has(name) else None

    def mask(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return system.read(name, rows) if system.has(name) else np.zeros((num, *shape), dtype=bool)

    pbc, forces, positions = take("pbc"), take("forces"), system.read("positions", rows)
    return Batch(
        atomic_numbers=np.tile(system.atomic_numbers.astype(np.int64), num),
        positions=positions.reshape(-1, 3), batch=batch, num_atoms=num_atoms, cell=take("cell"),
        pbc=np.zeros((num, 3), bool) if pbc is None else pbc, energy=take("energy"),
        energy_valid=mask("energy_valid", (num_states,)),
        forces=None if forces is None else forces.reshape(-1, num_states, 3),
        forces_valid=mask("forces_valid", (num_states,)), stress=take("stress"), stress_valid=mask("stress_valid", ()),
    )  # fmt: skip


def _gather_many(systems: tuple[System, ...], owner: np.ndarray, rows: np.ndarray, num_atoms: np.ndarray,
                 batch: np.ndarray, num_states: int) -> Batch:  # fmt: skip
    """A batch over several systems: each fills its places; what a system lacks stays NaN and masked."""
    num, total = len(rows), int(num_atoms.sum())
    starts = np.cumsum(num_atoms) - num_atoms
    present = [systems[k] for k in np.unique(owner)]
    energy = np.full((num, num_states), np.nan) if any(each.has("energy") for each in present) else None
    forces = np.full((total, num_states, 3), np.nan, np.float32) if any(each.has("forces") for each in present) else None
    stress = np.full((num, num_states, 6), np.nan, np.float32) if any(each.has("stress") for each in present) else None
    cell = np.zeros((num, 3, 3)) if any(each.has("cell") for each in present) else None
    pbc, stress_valid = np.zeros((num, 3), bool), np.zeros(num, bool)
    energy_valid, forces_valid = np.zeros((num, num_states), bool), np.zeros((num, num_states), bool)
    numbers, positions = np.empty(total, np.int64), np.empty((total, 3))
    for k in np.unique(owner):
        system, places = systems[k], np.flatnonzero(owner == k)
        at = (starts[places][:, None] + np.arange(system.num_atoms)).ravel()
        own, states = rows[places], slice(0, system.num_states)
        numbers[at] = np.tile(system.atomic_numbers, len(places))
        positions[at] = system.read("positions", own).reshape(-1, 3)
        if forces is not None and system.has("forces"):
            forces[at, states] = system.read("forces", own).reshape(-1, system.num_states, 3)
        for target, name in ((energy, "energy"), (stress, "stress"), (energy_valid, "energy_valid"), (forces_valid, "forces_valid")):
            if target is not None and system.has(name):
                target[places, states] = system.read(name, own)
        for target, name in ((cell, "cell"), (pbc, "pbc"), (stress_valid, "stress_valid")):
            if target is not None and system.has(name):
                target[places] = system.read(name, own)
    return Batch(numbers, positions, batch, num_atoms, cell, pbc, energy, energy_valid, forces, forces_valid, stress, stress_valid)
