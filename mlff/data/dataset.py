"""HDF5Dataset: frames of native files, read through a memory map; a random batch costs microseconds a frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlff.data.batch import PAIR_AXES, Batch, Pairs, gather_many, gather_one, gather_pairs, pairs_of
from mlff.data.contents import read_contents
from mlff.data.frame import Frame
from mlff.data.join import file_labels, join
from mlff.data.selection import known_names
from mlff.data.view import Frames, HDF5View


class HDF5Dataset(Frames):
    """The frames of a native file, or of several as if they were one: files in order, in each the systems in order.

    Cheap to open and to pickle (the paths travel, not the data); ``ds[i]`` is a Frame, ``ds[a:b]``, ``ds[array]`` and
    ``ds.select(...)`` are views, ``ds.batch(indices)`` is the fast way to many frames.

    Systems stay apart, those of equal composition in different files too. A system or trajectory whose name several
    files have is called ``NAME@FILE``, after the shortest end of the file's path that is its own, without suffix. The
    splits are those that every file has, their parts joined.
    """

    def __init__(self, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        """`path`: of one file, or of several.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no native file, a newer or a damaged one; no path at all; a file that is given twice.
        """
        several = (path,) if isinstance(path, (str, os.PathLike)) else tuple(path)
        self.paths = tuple(Path(each).absolute() for each in several)
        self._dataset = self
        if not self.paths:
            raise ValueError("no data file was given; give the path of a native HDF5 file, or of several")
        contents = join([read_contents(each) for each in self.paths], file_labels(self.paths))
        self._systems = contents.systems
        self.trajectories = contents.trajectories
        self.report = contents.report  #: what was dropped, masked or doubtful on import
        self.checks = contents.checks  #: figure of mlff.data.checks -> f8, a value a trajectory, NaN unknown
        self.attrs = contents.attrs  #: of the file: schema_version, created, ...; of several, those on which they agree
        self._splits, self._split_attrs = contents.splits, contents.split_attrs
        self._firsts = np.array([system.first for system in self._systems], dtype=np.int64)
        self._num_frames = contents.num_frames
        self._pairs: dict[str, Pairs] = {}
        self._num_states = max((system.num_states for system in self._systems), default=1)

    def __getstate__(self) -> dict[str, object]:
        return {"paths": self.paths}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["paths"])  # type: ignore[misc]

    def __len__(self) -> int:
        return self._num_frames

    def __repr__(self) -> str:
        paths = str(self.paths[0]) if len(self.paths) == 1 else [str(path) for path in self.paths]
        return f"HDF5Dataset({paths!r}, {len(self)} frames, {len(self.systems)} systems)"

    @property
    def path(self) -> Path:
        """Its file; where there are several, the first (``paths`` has all)."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """The names of its files, for titles."""
        return ", ".join(path.name for path in self.paths)

    @property
    def files(self) -> str:
        """The paths of its files, for sentences."""
        return ", ".join(str(path) for path in self.paths)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits; of several files, those that all of them have."""
        return tuple(self._splits)

    def split(self, name: str) -> dict[str, np.ndarray]:
        """The split's frames: ``{"train", "val", "test"}``, each i64 of global indices."""
        if name not in self._splits:
            has, held = ("has no split", "it has") if len(self.paths) == 1 else ("do not all have a split", "all have")
            raise ValueError(
                f"{self.files} {has} {name!r}; {held}: {', '.join(self._splits) or 'none'}; make one with `mlff data split`"
            )
        return {part: indices.copy() for part, indices in self._splits[name].items()}

    def split_attrs(self, name: str) -> dict[str, object]:
        """How the split was made: kind, and seed and fractions where it has them; of several files, what they share."""
        self.split(name)
        return dict(self._split_attrs[name])

    def trajectory(self, name: str) -> HDF5View:
        """The frames of the trajectory called ``name``, in their order."""
        runs = [each for each in self.trajectories if each.name == name]
        if not runs:
            known_names("trajectory", [name], (each.name for each in self.trajectories if each.name), self)
        firsts = [self._systems[each.system].first + each.first for each in runs]
        return HDF5View(self, np.concatenate([np.arange(first, first + run.count) for first, run in zip(firsts, runs)]))

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
            raise IndexError(f"a frame index is outside the {self._num_frames} frames of {self.files}")
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
            trajectory=self.trajectories[system.first_trajectory + int(trajectory)].name,
            step=None if step is None or step < 0 else int(step),
            time=None if time is None or np.isnan(time) else float(time),
        )

    def pairs_of(self, name: str) -> Pairs:
        """Pairs of states for which any system has ``name``: nac, interstate_coupling, dipole or soc_magnitude."""
        if name not in PAIR_AXES:
            raise ValueError(f"{name!r} is no quantity of pairs of states; those are {', '.join(PAIR_AXES)}")
        if name not in self._pairs:
            self._pairs[name] = pairs_of(self._systems, name)
        return self._pairs[name]

    def read_batch(self, indices: np.ndarray, of_pairs: Sequence[str] = ()) -> Batch:
        """The Batch of frames at checked global indices, with these quantities of pairs of states."""
        owner, rows = self.locate(indices) if len(self._systems) > 1 else (np.zeros(len(indices), np.int64), indices)
        sizes = np.array([system.num_atoms for system in self._systems], dtype=np.int64)
        num_atoms = sizes[owner] if len(sizes) else np.zeros(0, np.int64)
        present = [self._systems[k] for k in (np.unique(owner) if len(self._systems) > 1 else range(len(sizes)))]
        batch = np.repeat(np.arange(len(indices)), num_atoms)
        if len(present) == 1:
            result = gather_one(present[0], rows, num_atoms, batch, self._num_states)
        else:
            result = gather_many(self._systems, owner, rows, num_atoms, batch, self._num_states)
        if not of_pairs:
            return result
        asked = {
            name: gather_pairs(self._systems, owner, rows, num_atoms, name, pairs)
            for name in of_pairs if (pairs := self.pairs_of(name))
        }  # fmt: skip
        return replace(result, of_pairs=asked)
