"""HDF5Writer: builds a native file a trajectory at a time, so that what was added survives a kill.

While it grows, the file is chunked and each trajectory is committed by its row in /trajectories, which is written last;
``finalize`` rewrites it aside as contiguous datasets, which is what makes reads fast, and renames it into place.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal

import h5py
import numpy as np

from mlff.data.additions import Addition, commit, new_columns
from mlff.data.columns import checked, stack
from mlff.data.frame import Frame
from mlff.data.growing import GrowingFile
from mlff.data.report_group import store_report
from mlff.data.rewrite import committed_counts
from mlff.data.schema import NAME_LENGTH, SOURCE_LENGTH, SPLIT_KINDS, STATUSES
from mlff.data.split_group import split_pairs, store_split
from mlff.data.system_group import axis_lengths, store_system, system_arrays

_PENDING_BYTES = 1 << 23  # a file that need not be durable gets its trajectories in pieces of this size


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
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder; the name of a file was expected")
        self._splits: dict[str, tuple[dict[str, np.ndarray], dict[str, object]]] = {}
        self._problems: list[str] = []
        self._figures: dict[int, Mapping[str, float]] = {}
        self._pending: list[Addition] = []
        self._pending_bytes = 0
        self._waiting = False
        self._growing = GrowingFile(self.path, new=mode == "x", overwrite=overwrite, durable=durable)
        self._num_trajectories, counts = committed_counts(self.file)
        names = sorted(self.file["systems"], key=lambda name: int(self.file[f"systems/{name}"].attrs["index"]))
        self._counts: dict[str, int] = dict(zip(names, counts.tolist(), strict=True))
        self._lengths: dict[str, dict[str, int]] = {}

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
        try:
            self._write_pending()
        except BaseException:
            self.close()
            raise

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
        check_name("system", name)
        if name in self._counts:
            raise ValueError(f"a system called {name!r} is in {self.path} already; there are: {', '.join(self._counts)}")
        if not math.isfinite(charge):
            raise ValueError(f"`charge` of system {name!r} is {charge}; a number of elementary charges was expected")
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
        self._counts[name] = 0

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
        lengths = self._axis_lengths(system)
        owner = f"trajectory {name!r}" if name else f"frames of system {system!r}"
        if not isinstance(frames, Mapping):
            numbers = self.file[f"systems/{system}/atomic_numbers"][:]
            if any(not np.array_equal(frame.atomic_numbers, numbers) for frame in frames):
                raise ValueError(f"{owner}: a frame has other atoms than system {system!r}; add a system for it")
            frames = stack(frames)
        columns = checked(frames, lengths, owner)
        status_text = status if name else "unordered"
        if status_text not in STATUSES:
            raise ValueError(f"`status` is {status!r}; one of {', '.join(STATUSES[:3])} was expected")
        if name and len(name.encode("utf-8", "replace")) > NAME_LENGTH:
            raise ValueError(f"the trajectory name {name[:40]!r}... is longer than {NAME_LENGTH} bytes")
        number, first, count = self._num_trajectories, self._counts[system], len(columns["positions"])
        columns["trajectory"] = np.full(count, number, dtype=np.int32)
        row = {
            "name": _text(name or "", NAME_LENGTH),
            "system": list(self._counts).index(system),
            "first": first,
            "count": count,
            "dt": dt,
            "status": status_text.encode(),
            "source": _text(source, SOURCE_LENGTH),
            "source_sha256": source_sha256.encode(),
        }
        self._pending.append(Addition(number, system, first, columns, row))
        num_bytes = sum(values.nbytes for values in columns.values())
        self._pending_bytes += num_bytes
        try:
            if (self._growing.durable and not self._waiting) or self._pending_bytes > _PENDING_BYTES:
                self._write_pending()
        except BaseException:
            self._pending.pop()
            self._pending_bytes -= num_bytes
            raise
        self._num_trajectories, self._counts[system] = number + 1, first + count
        if checks:
            self._figures[number] = checks
        return first

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Trajectories that are added in the block are written when it ends, in one go instead of one by one."""
        self._waiting = True
        try:
            yield
            self._write_pending()
        finally:
            self._waiting = False

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
        check_name("split", name)
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
        """Frames of every system, in order."""
        return np.array(list(self._counts.values()), dtype=np.int64)

    def _axis_lengths(self, system: str) -> dict[str, int]:
        if system not in self._counts:
            raise ValueError(f"no system called {system!r} in {self.path}; add it first with `add_system`")
        if system not in self._lengths:
            self._lengths[system] = axis_lengths(self.file["systems"][system])
        return self._lengths[system]

    def _write_pending(self) -> None:
        """Write the trajectories that wait; all of them or, where it fails, none that would count."""
        if not self._pending:
            return
        self._growing.require_room(self._pending_bytes)
        self._growing.grow(new_columns(self.file, self._pending))
        commit(self.file, self._pending)
        self._pending.clear()
        self._pending_bytes = 0


def check_name(what: str, name: str) -> None:
    """Raise ValueError where a system or split cannot have this name."""
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise ValueError(f"`name` of the {what} is {name!r}; printable characters without '/', not beginning with '.', were "
                         "expected")  # fmt: skip


def _text(value: str, length: int) -> bytes:
    """The end of ``value`` as at most ``length`` bytes of UTF-8; what is no text (in names of files) becomes '?'."""
    return value.encode("utf-8", "replace")[-length:].decode("utf-8", "ignore").encode()
