"""HDF5Dataset: frames of a native file, read through a memory map; a random batch costs microseconds a frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from mlff.data.batch import Batch, gather_many, gather_one
from mlff.data.frame import Frame
from mlff.data.rewrite import committed_counts
from mlff.data.schema import SPLIT_PARTS, TRAJECTORY_COLUMNS, decode, open_checked
from mlff.data.system import System, Trajectory


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
        num, committed = committed_counts(file)
        columns = {name: table[name][:num] for name in TRAJECTORY_COLUMNS}
        columns |= {name: decode(columns[name]) for name in ("name", "status", "source", "source_sha256")}
        self.trajectories = tuple(
            Trajectory(
                columns["name"][k] or None,
                int(columns["system"][k]),
                int(columns["first"][k]),
                int(columns["count"][k]),
                float(columns["dt"][k]),
                columns["status"][k],
                columns["source"][k],
                columns["source_sha256"][k],
            )
            for k in range(num)
        )
        groups = sorted(file["systems"].values(), key=lambda group: int(group.attrs["index"]))
        systems, first = [], 0
        for index, group in enumerate(groups):
            num_frames = int(committed[index])
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
            self._split_attrs[name] = _plain(group.attrs)
        report = file.get("report")
        self.report: tuple[str, ...] = ()  #: what was dropped, masked or doubtful on import
        self.checks: dict[str, np.ndarray] = {}  #: figure of mlff.data.checks -> f8, a value a trajectory, NaN unknown
        if report is not None:
            self.report = tuple(decode(report["problems"][:]))
            self.checks = {name: held[:] for name, held in report["checks"].items()}
        self.attrs = _plain(file.attrs)  #: attributes of the file: schema_version, created, program_version, finalized

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
            raise ValueError(
                f"{self.path} has no split {name!r}; it has: {', '.join(self._splits) or 'none'}; "
                f"make one with `mlff data split`"
            )
        return {part: indices.copy() for part, indices in self._splits[name].items()}

    def split_attrs(self, name: str) -> dict[str, object]:
        """How the split was made: kind, and seed and fractions where it has them."""
        self.split(name)
        return dict(self._split_attrs[name])

    def trajectory(self, name: str) -> HDF5View:
        """The frames of the trajectory called ``name``, in their order."""
        for each in self.trajectories:
            if each.name == name:
                first = self.systems[each.system].first + each.first
                return HDF5View(self, np.arange(first, first + each.count))
        names = [each.name for each in self.trajectories if each.name]
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise ValueError(f"{self.path} has no trajectory {name!r}; it has: {', '.join(names[:8]) or 'none'}{more}")

    def locate(self, indices: np.ndarray | list[int]) -> tuple[np.ndarray, np.ndarray]:
        """System and row within it of every global index."""
        indices = self._global(np.asarray(indices, dtype=np.int64))
        owner = np.searchsorted(self._firsts, indices, side="right") - 1
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
        active, spin, diagonal, hop, kinetic = (
            value(name)
            for name in ("active_state", "active_spin_state", "active_diagonal_state", "hop", "kinetic_energy")
        )
        pbc = value("pbc")

        def known(name: str) -> np.ndarray | None:
            """The value, or None where all of it is missing."""
            held = value(name)
            return None if held is None or np.isnan(held).all() else held

        assert trajectory is not None
        return Frame(
            atomic_numbers=system.atomic_numbers.copy(),
            positions=value("positions"),  # type: ignore[arg-type]
            cell=None if cell is None or not cell.any() else cell,
            pbc=np.zeros(3, bool) if pbc is None else pbc,
            energy=value("energy"),
            forces=value("forces"),
            energy_valid=value("energy_valid"),
            forces_valid=value("forces_valid"),
            stress=known("stress"),
            velocities=known("velocities"),
            masses=system.masses.copy(),
            charge=system.charge,
            active_state=-1 if active is None else int(active),
            active_spin_state=-1 if spin is None else int(spin),
            active_diagonal_state=-1 if diagonal is None else int(diagonal),
            hop=0 if hop is None else int(hop),
            kinetic_energy=None if kinetic is None or np.isnan(kinetic) else float(kinetic),
            nac=known("nac"),
            interstate_coupling=known("interstate_coupling"),
            dipole=known("dipole"),
            soc_magnitude=known("soc_magnitude"),
            soc=known("soc"),
            overlap=known("overlap"),
            coefficients=known("coefficients"),
            hopping_probability=known("hopping_probability"),
            population=known("population"),
            system=system.name,
            trajectory=self.trajectories[int(trajectory)].name,
            step=None if step is None or step < 0 else int(step),
            time=None if time is None or np.isnan(time) else float(time),
        )

    def read_batch(self, indices: np.ndarray) -> Batch:
        """The Batch of frames at checked global indices."""
        owner, rows = self.locate(indices) if len(self.systems) > 1 else (np.zeros(len(indices), np.int64), indices)
        sizes = np.array([system.num_atoms for system in self.systems], dtype=np.int64)
        num_atoms = sizes[owner] if len(sizes) else np.zeros(0, np.int64)
        present = [self.systems[k] for k in (np.unique(owner) if len(self.systems) > 1 else range(len(sizes)))]
        batch = np.repeat(np.arange(len(indices)), num_atoms)
        if len(present) == 1:
            return gather_one(present[0], rows, num_atoms, batch, self._num_states)
        return gather_many(self.systems, owner, rows, num_atoms, batch, self._num_states)


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


def _plain(attrs: h5py.AttributeManager) -> dict[str, object]:
    """Attributes as plain Python values."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in attrs.items()}
