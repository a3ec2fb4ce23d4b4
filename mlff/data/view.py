"""Views: some frames of a dataset in a chosen order; what a dataset and a view of it can do alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlff.data.batch import Batch
from mlff.data.frame import Frame
from mlff.data.selection import Criteria, matching, spread
from mlff.data.system import System

if TYPE_CHECKING:
    import xarray
    from ase import Atoms

    from mlff.data.dataset import HDF5Dataset


class Frames:
    """Frames by index, by criteria, one after another, in batches, and as other packages have them."""

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

    def batch(self, indices: slice | np.ndarray | list[int], of_pairs: Sequence[str] = ()) -> Batch:
        """The frames at ``indices``, in that order, as one Batch of arrays.

        ``of_pairs`` names quantities of pairs of states to read, too (nac, interstate_coupling, dipole, soc_magnitude); those
        that no system has are not in the batch.
        """
        return self._dataset.read_batch(self._global(indices), of_pairs)

    def pairs_of(self, name: str) -> tuple[tuple[int, int], ...]:
        """Pairs of states, sorted, for which any system has ``name``: nac, interstate_coupling, dipole or soc_magnitude."""
        return self._dataset.pairs_of(name)

    @property
    def num_states(self) -> int:
        """Largest number of electronic states of any system, S."""
        return self._dataset._num_states

    @property
    def systems(self) -> tuple[System, ...]:
        """The systems of the dataset, in the order of their frames."""
        return self._dataset._systems

    def select(
        self,
        *,
        system: str | Sequence[str] | None = None,
        trajectories: str | Sequence[str] | None = None,
        time: tuple[float | None, float | None] | None = None,
        active_state: int | Sequence[int] | None = None,
        states: int | Sequence[int] | None = None,
        forces_of: int | Sequence[int] | None = None,
        gap: tuple[int, int, float] | None = None,
        energy_window: tuple[float | None, float | None] | None = None,
        max_force: float | None = None,
    ) -> HDF5View:
        """A view of the frames that meet every criterion given, in the order that they have here.

        A frame that lacks what a criterion asks about (an energy that was not computed, say) does not meet it. States are
        counted from 0. Every criterion looks at a frame alone, so that selections one after another, in any order, are one
        selection with all their criteria.

        Args:
            system: name of the system, or names.
            trajectories: name of the trajectory, or names.
            time: first and last time in fs, both included; None is without end.
            active_state: the active state, or any of several.
            states: states whose energies must all be known; `energy_window` and `max_force` look at these alone.
            forces_of: states whose forces must all be known.
            gap: (i, j, width): energies of states i and j differ by at most `width` eV.
            energy_window: lowest and highest energy in eV, both included, above the lowest energy that state 0 of the
                frame's system has in the dataset; every known energy of the frame must lie inside.
            max_force: longest force on any atom in any state in eV/angstrom, among the forces that are known.

        Raises:
            ValueError: a name that the dataset does not have, a state or quantity that none of its systems has, or a value
                that is none, with a sentence.
        """
        indices = self._global(slice(None))
        criteria = Criteria(
            system=system, trajectories=trajectories, time=time, active_state=active_state, states=states,
            forces_of=forces_of, gap=gap, energy_window=energy_window, max_force=max_force,
        )  # fmt: skip
        return HDF5View(self._dataset, indices[matching(self._dataset, indices, criteria)])

    def subset(self, count: int, *, seed: int | None = None) -> HDF5View:
        """``count`` of the frames, in the order that they have here; all where there are no more.

        Evenly spaced, the first and the last included; with a ``seed`` drawn at random without repetition.
        """
        if count < 0:
            raise ValueError(f"`count` is {count}; a number of frames from 0 on was expected")
        indices = self._global(slice(None))
        if seed is None:
            return HDF5View(self._dataset, spread(indices, count))
        drawn = np.random.default_rng(seed).choice(len(indices), min(count, len(indices)), replace=False)
        return HDF5View(self._dataset, indices[np.sort(drawn)])

    def to_ase(self, state: int = 0) -> Iterator[Atoms]:
        """Each frame as ase.Atoms, made when it is asked for, with the energy and forces of ``state``."""
        return (frame.to_ase(state) for frame in self)

    def to_xarray(self, system: str | None = None) -> xarray.Dataset:
        """The frames of one system as an xarray.Dataset: dimensions, coordinates and units have names.

        Dimensions: frame, atom, direction, state, spin_component, nac_pair, dipole_pair, soc_pair, voigt, cell_vector;
        a matrix of spin components has spin_component_bra and spin_component_ket. Coordinates: index of the frame in the
        dataset, trajectory, time, symbol, atomic_number, mass, label, multiplicity and root of the states, states of the
        pairs. ``attrs`` of each variable hold ``units`` and ``convention``, those of the Dataset what is known of the system.

        Consecutive frames of a finished file are not read: the arrays are the file's memory map, read-only. Others are
        copied into memory. xarray is an extra: ``pip install "mlff[xarray]"``.

        Raises:
            ImportError: xarray is not installed.
            ValueError: the frames are of several systems and ``system`` does not name one.
        """
        from mlff.data.labelled import to_xarray

        return to_xarray(self._dataset, self._global(slice(None)), system)


class HDF5View(Frames):
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
