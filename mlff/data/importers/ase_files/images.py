"""Images of ASE's own files: trajectories (.traj) and databases (.db, .json), every whole one of a truncated file."""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff.data.frame import ENERGY_KEYS, FORCES_KEYS
from mlff.data.importers.spainn_db.rows import opened, row_ids

if TYPE_CHECKING:
    from ase import Atoms

ASE_SUFFIXES = (".traj", ".db", ".json")
DAMAGE = (
    ValueError,
    LookupError,
    OSError,
    EOFError,
    TypeError,
    AttributeError,
    MemoryError,  # a length that was overwritten
    OverflowError,
    struct.error,
)
"""What damaged bytes make ASE's readers raise."""


def is_ase_file(path: Path) -> bool:
    """Whether the first bytes are those of an ASE trajectory, or of a database of ASE's."""
    if path.suffix.lower() not in ASE_SUFFIXES or not path.is_file():
        return False
    with path.open("rb") as stream:
        begin = stream.read(64)
    if path.suffix.lower() == ".json":
        return re.match(rb'\s*\{"\d+": \{', begin) is not None
    return begin.startswith((b"- of Ulm", b"AFFormat") if path.suffix.lower() == ".traj" else b"SQLite format 3\0")


class AseImages:
    """Iterating gives the images of a file as Atoms; ``problems`` says what was dropped.

    ``units`` are factors to eV and angstrom of energy, forces, stress and positions (not one where a database says its
    units), ``name`` is of the run that the whole file is, where it says that it is one, and ``fraction`` is how much of
    the file has been read. ValueError where nothing can be read.
    """

    def __init__(self, path: Path, energy_key: str | None, forces_key: str | None) -> None:
        self.path = path
        self.problems: list[str] = []
        self.units = {"energy": 1.0, "forces": 1.0, "stress": 1.0, "positions": 1.0}
        self.name: str | None = None
        self.fraction = 0.0
        self._energy_keys = (*ENERGY_KEYS, *((energy_key,) if energy_key else ()))
        self._forces_keys = (*FORCES_KEYS, *((forces_key,) if forces_key else ()))

    def __iter__(self) -> Iterator[Atoms]:
        return self._trajectory() if self.path.suffix.lower() == ".traj" else self._database()

    def _trajectory(self) -> Iterator[Atoms]:
        from ase.io.trajectory import Trajectory

        try:
            trajectory = Trajectory(str(self.path))
            if not _ends_where_it_says(self.path, len(trajectory)):
                trajectory.close()
                raise ValueError("its number of images is wrong")
        except DAMAGE as error:
            places = _image_places(self.path)
            if not places:
                raise ValueError(f"it holds no whole image ({error})") from error
            self.problems.append(f"the file is truncated: its table of images is lost, {len(places)} images were found")
            try:
                trajectory = _without_table(self.path, places)
            except DAMAGE as second:
                raise ValueError("its first image, which says what the atoms are, is damaged") from second
        with trajectory:
            if not len(trajectory):
                return
            description = getattr(trajectory, "description", None) or {}
            if description.get("type") in ("molecular-dynamics", "optimization"):
                self.name = self.path.stem
            lost: list[int] = []
            for k in range(len(trajectory)):
                self.fraction = k / len(trajectory)
                try:
                    atoms = trajectory[k]
                except DAMAGE:
                    lost.append(k)
                    continue
                yield atoms
        if lost:
            last = (
                f"the file ends after {lost[0]} images"
                if lost[-1] - lost[0] == len(lost) - 1
                else "the file is damaged"
            )
            self.problems.append(f"{len(lost)} of {len(trajectory)} images cannot be read and were dropped, {last}")

    def _database(self) -> Iterator[Atoms]:
        import ase.db

        kind = self.path.suffix.lower()[1:]
        connection = ase.db.connect(str(self.path), type=kind)
        if kind == "db":
            ids, damage = row_ids(self.path)
            if damage is not None and "no such table" in damage:
                raise ValueError("it is an SQLite database, but none of ASE")
            if damage is not None:
                self.problems.append(f"the database is damaged ({damage}) after {len(ids)} rows")
        else:
            try:
                ids = [row.id for row in connection.select()]
            except DAMAGE as error:
                raise ValueError(f"it is no whole JSON database of ASE ({error})") from error
        lost: list[int] = []
        with opened(connection) if kind == "db" else nullcontext():
            self._read_units(connection)
            for k, number in enumerate(ids):
                self.fraction = k / len(ids)
                try:
                    atoms = _atoms_of(connection.get(id=number), self._energy_keys)
                except Exception:  # whatever a damaged row makes of SQLite, JSON or ASE
                    lost.append(number)
                    continue
                yield atoms
        if lost:
            self.problems.append(f"{len(lost)} rows cannot be read and were dropped, first id {lost[0]}")

    def _read_units(self, connection: Any) -> None:
        """The units that the metadata state, as SchNetPack's databases do; ASE's own otherwise."""
        try:
            metadata = connection.metadata
        except Exception:  # its JSON is damaged: the rows may be whole
            self.problems.append("the metadata cannot be read: eV and angstrom were assumed")
            return
        if "_distance_unit" in metadata:
            self.units["positions"] = unit_factor(str(metadata["_distance_unit"]))
        units = metadata.get("_property_unit_dict")
        for name, unit in units.items() if isinstance(units, Mapping) else ():
            keys = (("energy", self._energy_keys), ("forces", self._forces_keys))
            what = next((what for what, own in keys if name in own), name)
            if what in self.units:
                self.units[what] = unit_factor(str(unit))


def unit_factor(text: str) -> float:
    """Factor to eV, angstrom, fs, e, amu of a unit such as ``kcal/mol``, ``Hartree/Bohr`` or ``eV/Ang^3``."""
    import ase.units

    result = 1.0
    for sign, name, power in re.findall(r"([*/]?)\s*([A-Za-z]+)\s*(?:\^|\*\*)?\s*(\d*)", text):
        named = {
            "angstrom": "Ang",
            "a": "Ang",
            "ang": "Ang",
            "ev": "eV",
            "mev": "meV",
            "hartree": "Hartree",
            "ha": "Ha",
        }
        named |= {"bohr": "Bohr", "kcal": "kcal", "kj": "kJ", "rydberg": "Rydberg", "ry": "Ry", "a0": "Bohr"}
        factor = 1e-3 if named.get(name.lower()) == "meV" else getattr(ase.units, named.get(name.lower(), name), None)
        if not isinstance(factor, float | int) or not math.isfinite(factor):
            raise ValueError(
                f"the unit {text!r} of the metadata is not known; eV, Hartree, kcal/mol, Ang, Bohr, ... are"
            )
        result *= float(factor) ** ((-1 if sign == "/" else 1) * int(power or 1))
    return result


def _atoms_of(row: Any, energy_keys: tuple[str, ...]) -> Atoms:
    """The atoms of a database's row, with its keys and data where those of a file would be: in info and arrays."""
    atoms = row.toatoms()
    atoms.info.update(row.key_value_pairs)
    for key, value in (row.data or {}).items():
        array = np.asarray(value)
        if key not in energy_keys and array.ndim and len(array) == len(atoms) and array.dtype.kind in "fiu":
            atoms.arrays[key] = array
        else:
            atoms.info[key] = value
    return atoms


def _ends_where_it_says(path: Path, num_images: int) -> bool:
    """Whether no image stands where the table of images says that there is none any more."""
    with path.open("rb") as stream:
        stream.seek(40)
        (table,) = struct.unpack("<q", stream.read(8))
        stream.seek(table + 8 * num_images)
        entry = stream.read(8)
        (place,) = struct.unpack("<q", entry) if len(entry) == 8 else (0,)
        if not 48 <= place < path.stat().st_size:
            return True
        stream.seek(place + 8)
        return stream.read(2) != b'{"'


def _image_places(path: Path) -> list[int]:
    """Where the images of a trajectory file stand whose table of them is lost: by the lengths before their JSON."""
    places: list[int] = []
    with path.open("rb") as stream:
        if path.stat().st_size < 64:
            return places
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = 48
            for match in re.finditer(rb'\{"', data):
                at = match.start() - 8
                if at < end:
                    continue
                (size,) = struct.unpack("<q", data[at : at + 8])
                if 2 <= size <= len(data) - at - 8 and data[at + 7 + size : at + 8 + size] == b"}":
                    places.append(at)
                    end = at + 8 + size
    return places


def _without_table(path: Path, places: list[int]) -> Any:
    """ASE's reader of a trajectory file with the places of its images instead of their table."""
    import ase.io.ulm
    from ase.io.trajectory import TrajectoryReader

    class _Images(ase.io.ulm.Reader):
        def __init__(self) -> None:
            self._little_endian = None
            self.must_close_fd = True
            self._fd = path.open("rb")
            self._index = 0
            self._tag, self._nitems, self._offsets = "ASE-Trajectory", len(places), np.array(places)
            self._parse_data(self._read_data(0))

    class _Trajectory(TrajectoryReader):
        def _open(self, filename: str) -> None:
            self.backend = _Images()
            self._read_header()

    return _Trajectory(str(path))
