"""Variables of a SHNITSEL file (netCDF 4, which is HDF5): read by the names of their axes, in our units."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlff.data.schema import DAMAGE
from mlff.units import ATOMIC_TIME, ATOMIC_VELOCITY, BOHR, DEBYE, HARTREE, INVERSE_CM, KCAL_PER_MOL, KJ_PER_MOL

_LENGTH = {"bohr": BOHR, "au": BOHR, "angstrom": 1.0, "ang": 1.0, "å": 1.0, "nm": 10.0, "pm": 0.01}
_ENERGY = {"hartree": HARTREE, "au": HARTREE, "ev": 1.0, "kcal/mol": KCAL_PER_MOL, "kj/mol": KJ_PER_MOL}
_UNITS: dict[str, dict[str, float]] = {
    "atXYZ": _LENGTH,
    "energy": _ENERGY,
    "e_kin": _ENERGY,
    "forces": {"au": HARTREE / BOHR}
    | {f"{e}/{x}": _ENERGY[e] / _LENGTH[x] for e in _ENERGY for x in _LENGTH if "au" not in (e, x)},
    "nacs": {"au": 1 / BOHR} | {f"1/{x}": 1 / _LENGTH[x] for x in _LENGTH if x != "au"},
    "velocities": {"au": ATOMIC_VELOCITY, "bohr/au": ATOMIC_VELOCITY, "bohr/fs": BOHR, "angstrom/fs": 1.0},
    "time": {"fs": 1.0, "ps": 1000.0, "au": ATOMIC_TIME},
    "socs": _ENERGY | {"mev": 1e-3, "1/cm": INVERSE_CM, "cm-1": INVERSE_CM, "cm^-1": INVERSE_CM},
    "dip_perm": {"au": BOHR, "e*bohr": BOHR, "debye": DEBYE, "d": DEBYE, "e*angstrom": 1.0},
}
_UNITS["dip_trans"] = _UNITS["dip_perm"]


def damaged_heap(path: Path) -> int | None:
    """Where a heap of strings is damaged such that the HDF5 library would read it for ever; None: nowhere.

    A heap is the bytes GCOL, version, size, and objects (index, count, 4 unused, size), those of index 0 free space with
    their header counted in the size; a free space of size 0 (a zeroed block) is the trap.
    """
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(b"GCOL\x01\0\0\0")
        while start >= 0:
            (size,) = struct.unpack("<Q", _bytes(data, start + 8))
            end, at = min(start + size, len(data)), start + 16
            while at + 16 <= end:
                index, length = struct.unpack("<H", data[at : at + 2])[0], struct.unpack("<Q", _bytes(data, at + 8))[0]
                if index == 0 and length == 0:
                    return at
                at += length if index == 0 else 16 + (length + 7) // 8 * 8
            start = data.find(b"GCOL\x01\0\0\0", start + 8)
    return None


def _bytes(data: mmap.mmap, at: int) -> bytes:
    """Eight bytes; zeros behind the end."""
    return data[at : at + 8].ljust(8, b"\0")


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute, decoded where it is JSON; None where there is none or it cannot be read."""
    try:
        value = node.attrs[name]
    except DAMAGE:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Rows:
    """Which part of a group one trajectory is: all of it, some frames of stacked ones, or one of a layer each."""

    axis: str = "time"  #: name of the axis of the frames
    frames: tuple[int, ...] | None = None  #: those of the trajectory; None: all
    fixed: dict[str, int] = field(default_factory=dict)  #: place along the other axes that tell trajectories apart
    identity: str | None = None  #: number of the trajectory in the file
    number: int = -1  #: place among the trajectories of the group, -1: it is alone
    of: int = 1  #: trajectories in the group

    def selection(self, held: Sequence[str | None]) -> tuple[Any, ...]:
        """An index for each axis."""
        frames = slice(None) if self.frames is None else np.array(self.frames)
        return tuple(
            self.fixed[axis] if axis in self.fixed else frames if axis == self.axis else slice(None) for axis in held
        )


@dataclass
class TrajectoryGroup:
    """One trajectory of a group: ``read`` gives its variables, ``problems`` what could not be read."""

    group: h5py.Group
    label: str  #: how its problems begin
    rows: Rows = field(default_factory=Rows)  #: which part of the group it is
    problems: list[str] = field(default_factory=list)

    def read(self, name: str, axes: Sequence[str], kinds: str = "biuf") -> np.ndarray | None:
        """Values with the axes in this order, in our units; rows that are damaged are NaN; None: there are none.

        ``kinds`` are the kinds of numbers that are taken; the axis of the frames is called time.
        """
        try:
            dataset = self.group[name]
            held = axes_of(dataset) if isinstance(dataset, h5py.Dataset) else ()
        except DAMAGE:
            return None
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in kinds:
            self.problems.append(f"{self.label}: `{name}` holds no numbers: not read")
            return None
        left = tuple("time" if axis == self.rows.axis else axis for axis in held if axis not in self.rows.fixed)
        if len(left) != len(axes) or (None not in left and set(left) != set(axes)):
            self.problems.append(f"{self.label}: `{name}` has the axes {held}, {tuple(axes)} were expected: not read")
            return None
        values, damaged = _values(dataset, self.rows.selection(held))
        if damaged:
            self.problems.append(f"{self.label}: `{name}` is damaged in {damaged} of {len(values)} rows")
        if None not in left:
            values = values.transpose([left.index(axis) for axis in axes])
        return values * self._factor(dataset, name)

    def said(self, name: str) -> Any:
        """What the trajectory says of itself: an attribute, or its entry of a variable with one a trajectory."""
        value = attribute(self.group, name)
        dataset = self.group.get(name) if value is None and self.rows.number >= 0 else None
        if not isinstance(dataset, h5py.Dataset) or dataset.shape != (self.rows.of,):
            return value
        try:
            return dataset[self.rows.number].item()
        except DAMAGE:
            return None

    def texts(self, name: str) -> list[str] | None:
        """A variable of strings."""
        try:
            values = self.group[name][()]
        except DAMAGE:
            return None
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in np.ravel(values)]

    def _factor(self, dataset: h5py.Dataset, name: str) -> float:
        if name not in _UNITS:
            return 1.0
        unit = attribute(dataset, "units")
        if unit is None:
            unit = "fs" if name == "time" else "au"
            self.problems.append(f"{self.label}: `{name}` says no unit; {unit} is assumed")
        key = str(unit).strip().lower().replace("a.u.", "au").replace("bohrs", "bohr").replace(" ", "")
        if key not in _UNITS[name]:
            known = ", ".join(_UNITS[name])
            raise ValueError(f"{self.label}: the unit {unit!r} of `{name}` is not known; one of {known} was expected")
        return _UNITS[name][key]


def trajectory_groups(file: h5py.File, lost: list[str]) -> Iterator[h5py.Group]:
    """The groups that hold a trajectory, in their order; a file of one trajectory holds it at its root.

    The names of what is damaged go to ``lost``.
    """
    waiting: list[h5py.Group] = [file]
    seen: set[int] = set()  # a damaged link may lead back up
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            lost.append(str(group.name))
            continue
        seen.add(address)
        if "atXYZ" in group:
            yield group
        below = []
        for name in sorted(group, key=lambda text: (len(text), text)):
            try:
                child = group[name]
            except DAMAGE:
                lost.append(f"{group.name}/{name}".replace("//", "/"))
                continue
            below += [child] if isinstance(child, h5py.Group) else []
        waiting += reversed(below)


def axes_of(dataset: h5py.Dataset) -> tuple[str | None, ...]:
    """Names of the axes from the dimension scales; None where an axis has none."""
    names: list[str | None] = []
    for axis, dimension in enumerate(dataset.dims):
        try:
            names.append(str(dimension[0].name).rsplit("/", 1)[-1] if len(dimension) else None)
        except DAMAGE:
            names.append(None)
        if dataset.ndim == 1 and names[axis] is None and attribute(dataset, "CLASS") == "DIMENSION_SCALE":
            names[axis] = str(dataset.name).rsplit("/", 1)[-1]
    return tuple(names)


def _values(dataset: h5py.Dataset, selection: tuple[Any, ...]) -> tuple[np.ndarray, int]:
    """The selected values as float64 or complex128, and how many rows are damaged (NaN)."""
    kind = np.complex128 if dataset.dtype.kind == "c" else np.float64
    if dataset.nbytes > 1000 * dataset.file.id.get_filesize():
        raise ValueError(f"`{dataset.name}` is said to be of shape {dataset.shape}, more than its file can hold")
    spans = tuple(
        slice(int(each.min()), int(each.max()) + 1) if isinstance(each, np.ndarray) else each for each in selection
    )  # of frames, which stand together as a rule, so that HDF5 reads one block
    try:
        return dataset[spans].astype(kind)[_within(selection)], 0
    except DAMAGE:
        pass
    values, damaged = np.full(dataset.shape, np.nan, dtype=kind), 0
    for row in range(len(values)):
        try:
            values[row] = dataset[row]
        except DAMAGE:
            damaged += 1
    return values[spans][_within(selection)], damaged


def _within(selection: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same selection in what was read, where frames count from the first and single places are gone."""
    return tuple(
        each - each.min() if isinstance(each, np.ndarray) else slice(None)
        for each in selection
        if not isinstance(each, int)
    )
