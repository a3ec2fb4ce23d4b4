"""HDF5Writer: builds a native file a trajectory at a time, so that what was added survives a kill.

While it grows, the file is chunked and each trajectory is committed by its row in /trajectories, which is written last;
``finalize`` rewrites it aside as contiguous datasets, which is what makes reads fast, and renames it into place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import filelock
import h5py
import numpy as np

from mlff.data.checks import FIGURES
from mlff.data.columns import checked, stack
from mlff.data.frame import Frame
from mlff.data.rewrite import committed_counts, grow_dataset, remove_leftovers, rewrite, write_new
from mlff.data.schema import NAME_LENGTH, SOURCE_LENGTH, SPLIT_KINDS, SPLIT_PARTS, STATUSES, decode, open_checked


class HDF5Writer:
    """Writes a native file; use it as a context manager, which finalizes when the block ends without an error.

    ``mode="x"`` makes a new file and refuses an existing one unless ``overwrite``; ``mode="a"`` adds to an existing
    file (finalized or left by a killed writer) or makes a new one. Two writers of one file exclude each other.

    A killed writer leaves a file that HDF5Dataset reads and ``mode="a"`` continues, with every trajectory that
    ``add_trajectory`` had returned from: the file grows in HDF5's single-writer mode, whose writes are ordered so that
    it is whole at any moment. That costs a copy of the file for each new system; ``durable=False`` does without, for a
    file that nobody sees before it is finalized.
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
        self.durable = durable
        self._file: h5py.File | None = None
        self._growing = False
        self._splits: dict[str, tuple[dict[str, np.ndarray], dict[str, object]]] = {}
        self._problems: list[str] = []
        self._figures: dict[int, Mapping[str, float]] = {}
        self._lock = filelock.FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise ValueError(f"{self.path} is being written by another process; wait for it to end") from error
        try:
            remove_leftovers(self.path)
            if mode == "x" and self.path.exists() and not overwrite:
                raise ValueError(f"{self.path} exists already; choose another name, or ask to overwrite it")
            if mode == "x" or not self.path.exists():
                write_new(self.path)
            self._file = open_checked(self.path)
        except BaseException:
            self.close()
            raise

    # -- life of the file ---------------------------------------------------------------------------------------------

    @property
    def file(self) -> h5py.File:
        """The open file."""
        if self._file is None:
            raise ValueError(f"the writer of {self.path} is closed; open it again with mode='a'")
        return self._file

    def close(self) -> None:
        """Stop writing and leave the file as it is: readable, appendable, not yet contiguous."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def finalize(self) -> None:
        """Make the file contiguous, with its splits, in place of the growing one, and close the writer."""
        if self._growing or self._splits or self._problems or self._figures or not self.file.attrs["finalized"]:
            self.file.close()
            self._file = None

            def store(new: h5py.File) -> None:
                for name, (pairs, attrs) in self._splits.items():
                    _store_split(new, name, pairs, attrs)
                if self._problems or self._figures:
                    _store_report(new, self._problems, self._figures)

            rewrite(self.path, chunked=False, change=store)
        self.close()

    def _grow(self, change: Callable[[h5py.File], None] | None = None) -> None:
        """Make the file one that can grow, and make a change of structure, which cannot be made while it grows."""
        if self._growing and not self.durable:
            if change is not None:
                change(self.file)
            return
        if not self._growing or change is not None:
            self.file.close()
            self._file = None
            rewrite(self.path, chunked=True, change=change)
            self._file = h5py.File(self.path, "r+", libver="latest", locking=False)
            if self.durable:
                self._file.swmr_mode = True
            self._growing = True

    def __enter__(self) -> HDF5Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is not None:
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
        numbers = np.asarray(atomic_numbers, dtype=np.int16)
        if numbers.ndim != 1 or not len(numbers) or numbers.min() < 1:
            raise ValueError(f"`atomic_numbers` of system {name!r} must be a list of at least one positive number")
        if num_states < 1:
            raise ValueError(f"`num_states` of system {name!r} is {num_states}; at least 1 was expected")
        if masses is None:
            from ase.data import atomic_masses

            masses = atomic_masses[numbers]
        given = {
            "multiplicity": multiplicity or [0] * num_states,
            "root": root or list(range(num_states)),
            "label": label or [""] * num_states,
        }
        for key, values in given.items():
            if len(values) != num_states:
                raise ValueError(f"`{key}` of system {name!r} has {len(values)} values for {num_states} states")
        arrays: dict[str, np.ndarray] = {
            "atomic_numbers": numbers,
            "masses": np.asarray(masses, dtype=np.float64),
            "states/multiplicity": np.asarray(given["multiplicity"], dtype=np.int16),
            "states/root": np.asarray(given["root"], dtype=np.int16),
            "states/label": np.array([str(each).encode() for each in given["label"]], dtype="S32"),
            "states/parity": np.zeros(num_states, dtype=np.int8),
            "pairs/nac": np.asarray(nac_pairs, dtype=np.int16).reshape(-1, 2),
            "pairs/dipole": np.asarray(dipole_pairs, dtype=np.int16).reshape(-1, 2),
            "pairs/soc": np.asarray(soc_pairs, dtype=np.int16).reshape(-1, 2),
        }
        if spin_states:
            arrays["spin_states/state"], arrays["spin_states/twice_ms"] = np.asarray(spin_states, dtype=np.int16).T
        attrs: dict[str, object] = {
            "charge": float(charge),
            "level_of_theory": level_of_theory,
            "program": program,
            "phase": phase,
        }
        self._grow(lambda file: _store_system(file, name, attrs, arrays))

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
        columns = checked(frames, _sizes(group), owner)
        status_text = status if name else "unordered"
        if status_text not in STATUSES:
            raise ValueError(f"`status` is {status!r}; one of {', '.join(STATUSES[:3])} was expected")
        if name and len(name.encode()) > NAME_LENGTH:
            raise ValueError(f"the trajectory name {name[:40]!r}... is longer than {NAME_LENGTH} bytes")
        index = int(group.attrs["index"])
        number, committed = committed_counts(self.file)
        first, count = int(committed[index]), len(columns["positions"])
        columns["trajectory"] = np.full(count, number, dtype=np.int32)
        new = columns.keys() - set(group["frames"])
        self._grow((lambda file: _prepare(file[f"systems/{system}/frames"], columns, first)) if new else None)
        for key, dataset in self.file[f"systems/{system}/frames"].items():
            dataset.resize(first + count, axis=0)
            if key in columns:
                dataset[first:] = columns[key]
        self.file.flush()
        row = {
            "name": (name or "").encode(),
            "system": index,
            "first": first,
            "count": count,
            "dt": dt,
            "status": status_text.encode(),
            "source": source.encode()[-SOURCE_LENGTH:],
            "source_sha256": source_sha256.encode(),
        }
        for key, value in row.items():
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
        if set(parts) - set(SPLIT_PARTS) or not parts:
            raise ValueError(f"the parts of split {name!r} are {sorted(parts)}; {', '.join(SPLIT_PARTS)} were expected")
        counts = self.num_frames_per_system()
        ends = np.cumsum(counts)
        pairs: dict[str, np.ndarray] = {}
        for part in SPLIT_PARTS:
            values = np.asarray(parts.get(part, ()), dtype=np.int64)
            if values.ndim != 2:
                if values.size and (values.min() < 0 or values.max() >= ends[-1]):
                    raise ValueError(f"split {name!r}, {part}: an index is outside the {ends[-1]} frames of the file")
                owner = np.searchsorted(ends, values, side="right")
                values = (
                    np.stack([owner, values - (ends - counts)[owner]], axis=1) if values.size else np.zeros((0, 2), int)
                )
            elif len(values) and not (
                (values >= 0).all()
                and (values[:, 0] < len(counts)).all()
                and (values[:, 1] < counts[values[:, 0]]).all()
            ):
                raise ValueError(f"split {name!r}, {part}: a (system, row) pair is outside the file")
            pairs[part] = values.astype(np.int64).reshape(-1, 2)
        everything = np.concatenate(list(pairs.values()))
        if len(np.unique(everything, axis=0)) != len(everything):
            raise ValueError(f"split {name!r} holds a frame more than once; train, val and test must not overlap")
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


def _store_system(file: h5py.File, name: str, attrs: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    group = file["systems"].create_group(name)
    group.attrs.update(attrs | {"index": len(file["systems"]) - 1})
    group.create_group("frames")
    for key, values in arrays.items():
        group[key] = values
    group["masses"].attrs["unit"] = "amu"
    if "spin_states" in group:
        group["spin_states"].attrs["basis"] = "mch"


def _store_split(file: h5py.File, name: str, pairs: dict[str, np.ndarray], attrs: dict[str, object]) -> None:
    if name in file["splits"]:
        del file["splits"][name]
    group = file["splits"].create_group(name)
    group.attrs.update(attrs)
    for part, values in pairs.items():
        group.create_dataset(part, data=values)


def _store_report(file: h5py.File, problems: Sequence[str], figures: Mapping[int, Mapping[str, float]]) -> None:
    """Add sentences and figures to /report; figures are one value a trajectory, NaN where it has none."""
    group = file.require_group("report")
    checks = group.require_group("checks")
    held = decode(group["problems"][:]) if "problems" in group else []
    if "problems" in group:
        del group["problems"]
    group.create_dataset("problems", data=[*held, *problems], dtype=h5py.string_dtype("utf-8"))
    num = len(file["trajectories/name"])
    for name in sorted({*checks, *(name for each in figures.values() for name in each)}):
        values = np.full(num, np.nan)
        if name in checks:
            values[: len(checks[name])] = checks[name][:num]
            del checks[name]
        for row, each in figures.items():
            values[row] = each.get(name, values[row])
        dataset = checks.create_dataset(name, data=values)
        unit, text = FIGURES.get(name, ("", ""))
        dataset.attrs.update({"unit": unit, "convention": text})


def _prepare(frames: h5py.Group, columns: Mapping[str, np.ndarray], first: int) -> None:
    """Make the datasets that the columns need; rows before them read as missing."""
    for key in columns.keys() - set(frames):
        grow_dataset(frames, key, columns[key].shape[1:], columns[key].dtype).resize(first, axis=0)


def _sizes(group: h5py.Group) -> dict[str, int]:
    pairs = group["pairs"]
    spins = len(group["spin_states/state"]) if "spin_states" in group else 0
    return {
        "N": len(group["atomic_numbers"]),
        "S": len(group["states/root"]),
        "P": len(pairs["nac"]),
        "Q": len(pairs["dipole"]),
        "R": len(pairs["soc"]),
        "M": spins,
    }
