"""HDF5Writer: builds a native file a trajectory at a time, so that what was added survives a kill.

While it grows, the file is chunked and each trajectory is committed by its row in /trajectories, which is written last;
``finalize`` rewrites it aside as contiguous datasets, which is what makes reads fast, and renames it into place.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

import filelock
import h5py
import numpy as np

from mlff.data.columns import checked, stack
from mlff.data.frame import Frame
from mlff.data.schema import (
    FRAME_DATASETS,
    NAME_LENGTH,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    SOURCE_LENGTH,
    SPLIT_KINDS,
    SPLIT_PARTS,
    STATUSES,
    TRAJECTORY_COLUMNS,
    annotate,
    decode,
    open_checked,
)

_CHUNK_BYTES = 1 << 16


class HDF5Writer:
    """Writes a native file; use it as a context manager, which finalizes when the block ends without an error.

    ``mode="x"`` makes a new file and refuses an existing one unless ``overwrite``; ``mode="a"`` adds to an existing
    file (finalized or left by a killed writer) or makes a new one. Two writers of one file exclude each other.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Literal["x", "a"] = "x", *, overwrite: bool = False) -> None:
        self.path = Path(path)
        if mode not in ("x", "a"):
            raise ValueError(f"`mode` is {mode!r}; 'x' (a new file) or 'a' (add to a file) was expected")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"the folder {self.path.parent} does not exist; make it first")
        self._file: h5py.File | None = None
        self._splits: dict[str, tuple[dict[str, np.ndarray], dict[str, object]]] = {}
        self._lock = filelock.FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise ValueError(f"{self.path} is being written by another process; wait for it to end") from error
        try:
            if mode == "x" and self.path.exists() and not overwrite:
                raise ValueError(f"{self.path} exists already; choose another name, or ask to overwrite it")
            if mode == "a" and self.path.exists():
                self._reopen()
            else:
                self._create()
        except BaseException:
            self.close()
            raise

    # -- life of the file ---------------------------------------------------------------------------------------------

    def _create(self) -> None:
        target = _beside(self.path)
        with h5py.File(target, "w", locking=False) as file:
            _write_root(file)
            table = file.create_group("trajectories")
            for name, dtype in TRAJECTORY_COLUMNS.items():
                table.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(64,))
            file.create_group("systems")
            file.create_group("splits")
        os.replace(target, self.path)
        self._file = open_checked(self.path, "r+")

    def _reopen(self) -> None:
        with open_checked(self.path) as file:
            contiguous = bool(file.attrs.get("finalized", False))
        if contiguous:
            self._rewrite(chunked=True)
        self._file = open_checked(self.path, "r+")

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
        self.file.flush()
        self._file.close()  # type: ignore[union-attr]
        self._file = None
        self._rewrite(chunked=False)
        self.close()

    def __enter__(self) -> HDF5Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        given = {"multiplicity": multiplicity or [0] * num_states, "root": root or list(range(num_states)),
                 "label": label or [""] * num_states}  # fmt: skip
        for key, values in given.items():
            if len(values) != num_states:
                raise ValueError(f"`{key}` of system {name!r} has {len(values)} values for {num_states} states")
        group = systems.create_group(name)
        group.attrs["index"] = len(systems) - 1
        group.attrs["charge"] = float(charge)
        group.attrs["level_of_theory"] = level_of_theory
        group.attrs["program"] = program
        group.attrs["phase"] = phase
        group["atomic_numbers"] = numbers
        group["masses"] = np.asarray(masses, dtype=np.float64)
        group["masses"].attrs["unit"] = "amu"
        states = group.create_group("states")
        states["multiplicity"] = np.asarray(given["multiplicity"], dtype=np.int16)
        states["root"] = np.asarray(given["root"], dtype=np.int16)
        states["label"] = np.array([str(each).encode() for each in given["label"]], dtype="S32")
        states["parity"] = np.zeros(num_states, dtype=np.int8)
        if spin_states:
            spins = group.create_group("spin_states")
            spins.attrs["basis"] = "mch"
            spins["state"], spins["twice_ms"] = np.asarray(spin_states, dtype=np.int16).T
        pairs = group.create_group("pairs")
        for key, values in (("nac", nac_pairs), ("dipole", dipole_pairs), ("soc", soc_pairs)):
            pairs[key] = np.asarray(values, dtype=np.int16).reshape(-1, 2)
        group.create_group("frames")
        self.file.flush()

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
    ) -> int:
        """Append one trajectory, or, without ``name``, frames whose trajectory is not known; the index of its first row.

        ``frames`` are Frames or columns ``{"positions": [F,N,3], "energy": [F,S], "forces": [F,N,S,3], ...}`` with the
        names, shapes and units of mlff.properties; ``dt`` is the time between frames in fs.
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
        table = self.file["trajectories"]
        first, count = self._committed(int(group.attrs["index"])), len(columns["positions"])
        columns["trajectory"] = np.full(count, len(table["name"]), dtype=np.int32)
        held = group["frames"]
        for key in set(columns) | set(held):
            _append(held, key, first, count, columns.get(key))
        self.file.flush()
        row = {"name": (name or "").encode(), "system": int(group.attrs["index"]), "first": first, "count": count, "dt": dt,
               "status": status_text.encode(), "source": source.encode()[-SOURCE_LENGTH:], "source_sha256": source_sha256.encode()}  # fmt: skip
        for key, value in row.items():
            dataset = table[key]
            dataset.resize((len(dataset) + 1,))
            dataset[-1] = value
        self.file.flush()
        return first

    def add_split(
        self,
        name: str,
        parts: Mapping[str, np.ndarray],
        *,
        kind: Literal["time", "trajectory", "random", "given"] = "given",
        seed: int | None = None,
        fractions: Sequence[float] | None = None,
        note: str = "",
        overwrite: bool = False,
    ) -> None:
        """Name a division into train, val and test; ``parts`` are global frame indices, or (system, row) pairs ``[n,2]``.

        It is stored when the file is finalized. Global indices count the frames of the systems in their order.
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
                values = np.stack([owner, values - (ends - counts)[owner]], axis=1) if values.size else np.zeros((0, 2), int)
            elif len(values) and not ((values >= 0).all() and (values[:, 0] < len(counts)).all()
                                      and (values[:, 1] < counts[values[:, 0]]).all()):  # fmt: skip
                raise ValueError(f"split {name!r}, {part}: a (system, row) pair is outside the file")
            pairs[part] = values.astype(np.int64).reshape(-1, 2)
        everything = np.concatenate(list(pairs.values()))
        if len(np.unique(everything, axis=0)) != len(everything):
            raise ValueError(f"split {name!r} holds a frame more than once; train, val and test must not overlap")
        attrs: dict[str, object] = {"kind": kind}
        attrs |= {key: value for key, value in (("seed", seed), ("fractions", fractions), ("note", note or None)) if value is not None}
        self._splits[name] = (pairs, attrs)

    # -- looking up ---------------------------------------------------------------------------------------------------

    def num_frames_per_system(self) -> np.ndarray:
        """Committed frames of every system, in order."""
        return np.array([self._committed(index) for index in range(len(self.file["systems"]))], dtype=np.int64)

    def _system(self, name: str) -> h5py.Group:
        if name not in self.file["systems"]:
            raise ValueError(f"no system called {name!r} in {self.path}; add it first with `add_system`")
        return self.file["systems"][name]

    def _committed(self, system: int) -> int:
        table = self.file["trajectories"]
        num = min(len(table[name]) for name in TRAJECTORY_COLUMNS)
        return int(table["count"][:num][table["system"][:num] == system].sum())

    def _rewrite(self, *, chunked: bool) -> None:
        """Copy the file aside, contiguous or chunked, and rename it into place."""
        target = _beside(self.path)
        try:
            with open_checked(self.path) as old, h5py.File(target, "w", locking=False) as new:
                _write_root(new, created=old.attrs["created"])
                copy_contents(old, new, chunked=chunked)
                for name, (pairs, attrs) in self._splits.items():
                    if name in new["splits"]:
                        del new["splits"][name]
                    group = new["splits"].create_group(name)
                    group.attrs.update(attrs)
                    for part, values in pairs.items():
                        group.create_dataset(part, data=values)
                new.attrs["finalized"] = not chunked
            _sync(target)
            os.replace(target, self.path)
            self._splits = {}
        finally:
            with suppress(FileNotFoundError):
                os.unlink(target)


def copy_contents(old: h5py.File, new: h5py.File, *, chunked: bool) -> None:
    """Copy systems, committed frames, trajectories and splits; frames as contiguous or as growing datasets."""
    table = old["trajectories"]
    num = min(len(table[name]) for name in TRAJECTORY_COLUMNS)
    owner, counts = table["system"][:num], table["count"][:num]
    total = 0
    for name in sorted(old["systems"], key=lambda each: int(old["systems"][each].attrs["index"])):
        source = old["systems"][name]
        group = new.create_group(f"systems/{name}")
        group.attrs.update(source.attrs)
        for key in source:
            if key != "frames":
                source.copy(key, group)
        frames = group.create_group("frames")
        committed = int(counts[owner == source.attrs["index"]].sum())
        total += committed
        for key, held in source["frames"].items():
            made = _grow_dataset(frames, key, held.shape[1:], held.dtype) if chunked else frames.create_dataset(
                key, (committed, *held.shape[1:]), held.dtype)  # fmt: skip
            if chunked:
                made.resize(committed, axis=0)
            annotate(made, key)
            rows = max(1, (1 << 24) // max(1, made.dtype.itemsize * int(np.prod(made.shape[1:]))))
            for first in range(0, committed, rows):
                made[first : first + rows] = held[first : min(first + rows, committed)]
    new.require_group("systems")
    group = new.create_group("trajectories")
    for name, dtype in TRAJECTORY_COLUMNS.items():
        values = table[name][:num]
        if chunked:
            group.create_dataset(name, data=values, dtype=dtype, maxshape=(None,), chunks=(64,))
        else:
            if values.dtype.kind in "OS":
                values = np.array([each.encode() for each in decode(values)], dtype=np.bytes_)
                dtype = h5py.string_dtype("utf-8", max(1, values.dtype.itemsize))
            group.create_dataset(name, data=values.astype(dtype), dtype=dtype)
    if "splits" in old:
        old.copy("splits", new)
    new.require_group("splits")
    new.attrs["num_frames"] = total


def _append(frames: h5py.Group, key: str, first: int, count: int, values: np.ndarray | None) -> None:
    """Put ``values`` at rows first..first+count; what they lack, and what older rows lack, is the fill value."""
    if key not in frames:
        assert values is not None
        dataset = _grow_dataset(frames, key, values.shape[1:], values.dtype)
        annotate(dataset, key)
    dataset = frames[key]
    dataset.resize(first, axis=0)
    dataset.resize(first + count, axis=0)
    if values is not None:
        dataset[first : first + count] = values


def _grow_dataset(frames: h5py.Group, key: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
    row_bytes = max(1, np.dtype(dtype).itemsize * int(np.prod(shape)))
    return frames.create_dataset(key, (0, *shape), dtype, maxshape=(None, *shape), fillvalue=FRAME_DATASETS[key][1],
                                 chunks=(max(1, _CHUNK_BYTES // row_bytes), *shape))  # fmt: skip


def _sizes(group: h5py.Group) -> dict[str, int]:
    pairs = group["pairs"]
    spins = len(group["spin_states/state"]) if "spin_states" in group else 0
    return {"N": len(group["atomic_numbers"]), "S": len(group["states/root"]), "P": len(pairs["nac"]),
            "Q": len(pairs["dipole"]), "R": len(pairs["soc"]), "M": spins}  # fmt: skip


def _write_root(file: h5py.File, created: str | None = None) -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        program_version = version("mlff")
    except PackageNotFoundError:
        program_version = "unknown"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file.attrs.update({"schema_name": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, "created": created or now,
                       "program_version": program_version, "num_frames": 0, "finalized": False})  # fmt: skip


def _beside(path: Path) -> Path:
    """A new hidden file in the same folder, to be renamed onto ``path``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    return Path(name)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
