"""HDF5Writer: builds a native file a trajectory at a time, so that what was added survives a kill.

While it grows, the file is chunked and each trajectory is committed by its row in /trajectories, which is written last;
``finalize`` rewrites it aside as contiguous datasets, which is what makes reads fast, and renames it into place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import h5py
import numpy as np

from mlff.data.columns import checked, stack
from mlff.data.frame import Frame
from mlff.data.growing import GrowingFile
from mlff.data.report_group import store_report
from mlff.data.rewrite import committed_counts, grow_dataset
from mlff.data.schema import FRAME_DATASETS, NAME_LENGTH, SOURCE_LENGTH, SPLIT_KINDS, STATUSES
from mlff.data.split_group import split_pairs, store_split
from mlff.data.system_group import axis_lengths, store_system, system_arrays


class HDF5Writer:
    """Writes a native file; use it as a context manager, which finalizes when the block ends without an error.

    ``mode="x"`` makes a new file and refuses an existing one unless ``overwrite``; ``mode="a"`` adds to an existing
    file (finalized or left by a killed writer) or makes a new one. Two writers of one file exclude each other.

    A killed writer leaves a file that HDF5Dataset reads and ``mode="a"`` continues, with every trajectory that
    ``add_trajectory`` had returned from: the file grows in HDF5's single-writer mode, whose writes are ordered so that
    it is whole at any moment. That costs a copy of the file for each new system. ``durable=False`` is all or nothing
    instead: the file grows aside, and only ``finalize`` puts it at ``path``; after an error or a kill ``path`` is as it
    was. A file of an older schema version becomes one of the current version when it is written to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["x", "a"] = "x",
        *,
        overwrite: bool = False,
        durable: bool = True,
    ) -> None:
        self.path = Path(path)
        if mode not in ("x", "a"):
            raise ValueError(f"`mode` is {mode!r}; 'x' (a new file) or 'a' (add to a file) was expected")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder {self.path.parent} does not exist; make it first")
        self._splits: dict[str, tuple[dict[str, np.ndarray], dict[str, object]]] = {}
        self._problems: list[str] = []
        self._figures: dict[int, Mapping[str, float]] = {}
        self._growing = GrowingFile(self.path, new=mode == "x", overwrite=overwrite, durable=durable)

    # -- life of the file ---------------------------------------------------------------------------------------------

    @property
    def file(self) -> h5py.File:
        """The open file."""
        return self._growing.file

    def close(self) -> None:
        """Stop writing: a durable file stays as it is, readable and appendable; what grew aside is dropped."""
        self._growing.close()

    def finalize(self) -> None:
        """Make the file contiguous, with its splits and its report, in place of the growing one, and close the writer."""

        def store(new: h5py.File) -> None:
            for name, (pairs, attrs) in self._splits.items():
                store_split(new, name, pairs, attrs)
            store_report(new, self._problems, self._figures)

        self._growing.finalize(store, changed=bool(self._splits or self._problems or self._figures))

    def __enter__(self) -> HDF5Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._growing.closed:
            self.finalize()
        else:
            self.close()

    # -- adding -------------------------------------------------------------------------------------------------------

    def add_system(
        self,
        name: str,
        atomic_numbers: Sequence[int] | np.ndarray,
        *,
        num_states: int = 1,
        masses: Sequence[float] | np.ndarray | None = None,
        charge: float = 0.0,
        multiplicity: Sequence[int] | None = None,
        root: Sequence[int] | None = None,
        label: Sequence[str] | None = None,
        level_of_theory: str = "",
        program: str = "",
        phase: Literal["raw", "tracked", "aligned"] = "raw",
        spin_states: Sequence[tuple[int, int]] = (),
        nac_pairs: Sequence[tuple[int, int]] = (),
        dipole_pairs: Sequence[tuple[int, int]] = (),
        soc_pairs: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Declare a system: the same atoms in the same order, the same states and the same level of theory.

        ``spin_states`` are (state, 2 M_S); pairs are 0-based states i < j (dipoles i <= j). Masses in amu default to
        the standard ones, ``multiplicity`` to 0 (not known), ``root`` to 0, 1, ...
        """
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"`name` is {name!r}; a system's name must not be empty, hold '/', or begin with '.'")
        systems = self.file["systems"]
        if name in systems:
            raise ValueError(f"a system called {name!r} is in {self.path} already; there are: {', '.join(systems)}")
        arrays = system_arrays(
            name,
            atomic_numbers,
            num_states,
            masses,
            {"multiplicity": multiplicity, "root": root, "label": label},
            spin_states,
            {"nac": nac_pairs, "dipole": dipole_pairs, "soc": soc_pairs},
        )
        attrs: dict[str, object] = {
            "charge": float(charge),
            "level_of_theory": level_of_theory,
            "program": program,
            "phase": phase,
        }
        self._growing.grow(lambda file: store_system(file, name, attrs, arrays))

    def add_trajectory(
        self,
        system: str,
        frames: Sequence[Frame] | Mapping[str, np.ndarray],
        *,
        name: str | None = None,
        dt: float = float("nan"),
        status: Literal["complete", "crashed", "truncated"] = "complete",
        source: str = "",
        source_sha256: str = "",
        checks: Mapping[str, float] | None = None,
    ) -> int:
        """Append one trajectory, or, without ``name``, frames of no known trajectory; the index of its first row.

        ``frames`` are Frames or columns ``{"positions": [F,N,3], "energy": [F,S], "forces": [F,N,S,3], ...}`` with the
        names, shapes and units of mlff.properties; ``dt`` is the time between frames in fs; ``checks`` are figures of
        mlff.data.checks, stored when the file is finalized.
        """
        group = self._system(system)
        owner = f"trajectory {name!r}" if name else f"frames of system {system!r}"
        if not isinstance(frames, Mapping):
            numbers = group["atomic_numbers"][:]
            if any(not np.array_equal(frame.atomic_numbers, numbers) for frame in frames):
                raise ValueError(f"{owner}: a frame has other atoms than system {system!r}; add a system for it")
            frames = stack(frames)
        columns = checked(frames, axis_lengths(group), owner)
        status_text = status if name else "unordered"
        if status_text not in STATUSES:
            raise ValueError(f"`status` is {status!r}; one of {', '.join(STATUSES[:3])} was expected")
        if name and len(name.encode("utf-8", "replace")) > NAME_LENGTH:
            raise ValueError(f"the trajectory name {name[:40]!r}... is longer than {NAME_LENGTH} bytes")
        index = int(group.attrs["index"])
        number, committed = committed_counts(self.file)
        first, count = int(committed[index]), len(columns["positions"])
        columns["trajectory"] = np.full(count, number, dtype=np.int32)
        new = columns.keys() - set(group["frames"])
        self._growing.grow((lambda file: _prepare(file[f"systems/{system}/frames"], columns, first)) if new else None)
        for key, dataset in self.file[f"systems/{system}/frames"].items():
            written = len(dataset)
            dataset.resize(first + count, axis=0)
            if key in columns:
                dataset[first:] = columns[key]
            elif written > first:  # by a trajectory that failed before it was committed
                dataset[first:] = FRAME_DATASETS[key][1]
        self.file.flush()
        row = {
            "name": _text(name or "", NAME_LENGTH),
            "system": index,
            "first": first,
            "count": count,
            "dt": dt,
            "status": status_text.encode(),
            "source": _text(source, SOURCE_LENGTH),
            "source_sha256": source_sha256.encode(),
        }
        for key, value in row.items():
            if key == "source_sha256":
                self.file.flush()  # a row counts once every column has it: this last one commits it
            dataset = self.file[f"trajectories/{key}"]
            dataset.resize((number + 1,))
            dataset[number] = value
        self.file.flush()
        if checks:
            self._figures[number] = checks
        return first

    def add_report(self, problems: Sequence[str]) -> None:
        """Keep sentences about what was dropped, masked or doubtful, after those that the file has already."""
        self._problems += problems

    def add_split(
        self,
        name: str,
        parts: Mapping[str, np.ndarray],
        *,
        kind: str = "given",
        seed: int | None = None,
        fractions: Sequence[float] | None = None,
        note: str = "",
        overwrite: bool = False,
    ) -> None:
        """Name a division into train, val and test: global frame indices, or (system, row) pairs ``[n,2]``.

        ``kind`` says how it was made: time, trajectory, random or given. It is stored when the file is finalized.
        Global indices count the frames of the systems in their order.
        """
        if not name or "/" in name:
            raise ValueError(f"`name` of the split is {name!r}; a name without '/' was expected")
        if kind not in SPLIT_KINDS:
            raise ValueError(f"`kind` is {kind!r}; one of {', '.join(SPLIT_KINDS)} was expected")
        if (name in self._splits or name in self.file["splits"]) and not overwrite:
            raise ValueError(f"a split called {name!r} is in {self.path} already; choose another name or overwrite it")
        pairs = split_pairs(name, parts, self.num_frames_per_system())
        attrs: dict[str, object] = {"kind": kind}
        attrs |= {
            key: value
            for key, value in (("seed", seed), ("fractions", fractions), ("note", note or None))
            if value is not None
        }
        self._splits[name] = (pairs, attrs)

    # -- looking up ---------------------------------------------------------------------------------------------------

    def num_frames_per_system(self) -> np.ndarray:
        """Committed frames of every system, in order."""
        return committed_counts(self.file)[1]

    def _system(self, name: str) -> h5py.Group:
        if name not in self.file["systems"]:
            raise ValueError(f"no system called {name!r} in {self.path}; add it first with `add_system`")
        return self.file["systems"][name]


def _prepare(frames: h5py.Group, columns: Mapping[str, np.ndarray], first: int) -> None:
    """Make the datasets that the columns need; rows before them read as missing."""
    for key in columns.keys() - set(frames):
        grow_dataset(frames, key, columns[key].shape[1:], columns[key].dtype).resize(first, axis=0)


def _text(value: str, length: int) -> bytes:
    """The end of ``value`` as at most ``length`` bytes of UTF-8; what is no text (in names of files) becomes '?'."""
    return value.encode("utf-8", "replace")[-length:].decode("utf-8", "ignore").encode()
