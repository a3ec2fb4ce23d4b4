"""Rows of a SPaiNN or SchNarc database as plain arrays, and which of the two layouts they have.

SPaiNN stores forces as (atom, state, xyz) and energies as (1, state), SchNarc forces as (state, atom, xyz) and energies
as (state,); the first versions of SchNarc (SchNetPack 0.2) store base64 strings beside ``_shape_`` and ``_dtype_`` keys.
"""

from __future__ import annotations

import sqlite3
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.data import covalent_radii

Layout = Literal["atom first", "state first"]

_PRESENT = ("energy", "forces")  # what a database of either program holds


@dataclass(frozen=True)
class DatabaseRow:
    """One row as it is stored, in the database's units: ``forces`` and couplings in the layout of the file."""

    number: int  #: of the row, from 0, in the order of the ids
    atomic_numbers: np.ndarray  #: [N]
    positions: np.ndarray  #: [N, 3]
    pbc: np.ndarray  #: [3]
    cell: np.ndarray  #: [3, 3]
    values: dict[str, np.ndarray]  #: energy [S], forces 3-dimensional, and what else there is
    keys: tuple[str, ...] = ()  #: of its key-value pairs

    @property
    def num_states(self) -> int:
        """Number of electronic states, S."""
        return len(self.values["energy"])


def holds_rows(path: Path) -> bool:
    """Whether a file is an SQLite database of ASE whose first row has energies and forces of states as arrays."""
    if path.suffix.lower() != ".db" or not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(16) != b"SQLite format 3\0":
            return False
    try:
        with _connected(path) as connection:
            blobs = connection.execute("SELECT data FROM systems ORDER BY id LIMIT 1").fetchone()
    except sqlite3.OperationalError:  # another database: it has no such table
        return False
    except sqlite3.DatabaseError:  # a damaged one; reading it says what is wrong
        return True
    if blobs is None:
        return False
    try:
        data = decoded(blobs[0])
    except (ValueError, KeyError, TypeError):
        return True
    return all(key in data for key in _PRESENT) and data["forces"].ndim == 3


def row_ids(path: Path) -> tuple[list[int], str | None]:
    """Ids of the rows in their order, and what stopped the listing where the file is damaged."""
    ids: list[int] = []
    try:
        with _connected(path) as connection:
            for (number,) in connection.execute("SELECT id FROM systems ORDER BY id"):
                ids.append(int(number))
    except sqlite3.DatabaseError as error:
        return ids, str(error)
    return ids, None


_READ_TRUNCATED = "PRAGMA writable_schema = ON"  # SQLite refuses a truncated file altogether without it


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection, closed at the end."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute(_READ_TRUNCATED)
        yield connection
    finally:
        connection.close()


@contextmanager
def opened(database: Any) -> Iterator[None]:
    """One connection of ASE's for many reads, which reads a truncated file as far as it goes."""
    with database:
        database.connection.execute(_READ_TRUNCATED)
        yield


def decoded(data: Any) -> dict[str, np.ndarray]:
    """The values of a row's ``data``, however they are encoded: ASE's bytes or JSON, arrays or base64 strings."""
    if isinstance(data, bytes | memoryview):
        from ase.db.core import bytes_to_object

        data = bytes_to_object(bytes(data))
    elif isinstance(data, str):
        from ase.io.jsonio import decode

        data = decode(data)
    if not isinstance(data, Mapping):
        raise ValueError("its data are no table of names and values")
    values: dict[str, np.ndarray] = {}
    for key, value in data.items():
        if key.startswith(("_shape_", "_dtype_")):
            continue
        if isinstance(value, str) and f"_dtype_{key}" in data:
            kind = np.dtype(str(data[f"_dtype_{key}"]))
            if kind.kind not in "fiuc":
                raise ValueError(f"`{key}` has type {kind}, numbers were expected")
            array = np.frombuffer(b64decode(value, validate=True), dtype=kind)
            value = array.reshape([int(n) for n in np.atleast_1d(data[f"_shape_{key}"])])
        array = np.asarray(value)
        if array.dtype.kind in "biufc":
            values[key] = array
    if "energy" in values:
        values["energy"] = values["energy"].reshape(-1).astype(np.float64)
    return values


def read_row(database: Any, id_: int, number: int) -> DatabaseRow:
    """One row through ASE; ValueError where it is damaged or lacks energies or forces."""
    try:
        row = database.get(id=id_)
        values = decoded(row.data)
        positions, numbers = np.array(row.positions, dtype=np.float64), np.array(row.numbers, dtype=np.int16)
    except Exception as error:  # whatever ASE's decoder stumbles over in a damaged row
        raise ValueError(f"cannot be read ({type(error).__name__}: {error})") from error
    if positions.shape != (len(numbers), 3) or not len(numbers) or not np.isfinite(positions).all():
        raise ValueError("positions are not whole")
    missing = [key for key in _PRESENT if key not in values]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)}")
    if not np.isfinite(values["energy"]).any():
        raise ValueError("energies are NaN")
    shapes = {(len(numbers), len(values["energy"]), 3), (len(values["energy"]), len(numbers), 3)}
    if values["forces"].shape not in shapes:
        raise ValueError(f"forces have shape {values['forces'].shape}, one of {sorted(shapes)} was expected")
    cell, pbc = np.array(row.cell, dtype=np.float64).reshape(3, 3), np.array(row.pbc, dtype=bool)
    return DatabaseRow(number, numbers, positions, pbc, cell, values, tuple(row.key_value_pairs))


def rows_of(database: Any, ids: Sequence[int], lost: dict[str, list[int]]) -> Iterator[DatabaseRow]:
    """The rows that are whole; the numbers of the others go to ``lost`` under the reason."""
    with opened(database):
        for number, id_ in enumerate(ids):
            try:
                yield read_row(database, id_, number)
            except ValueError as error:
                lost.setdefault(str(error), []).append(number)


def find_layout(rows: Sequence[DatabaseRow], *, says_spainn: bool, where: str) -> tuple[Layout, str, list[str]]:
    """Layout of the forces, how it was found, and what contradicts it.

    By the shapes where atoms and states differ in number; else by the physics (the forces on all atoms of a state add
    up to zero, those of all states on one atom do not); else by what the database says of itself.
    """
    shaped = {_layout_of_shape(row) for row in rows} - {None}
    if len(shaped) == 2:
        raise ValueError(f"{where} holds rows with forces as (atom, state, xyz) and as (state, atom, xyz)")
    if shaped:
        layout = shaped.pop()
        assert layout is not None
        return layout, "by the shapes", []
    said: Layout = "atom first" if says_spainn else "state first"
    over_first, over_second = (
        float(np.median([np.abs(row.values["forces"].sum(axis=axis)).max() for row in rows])) for axis in (0, 1)
    )
    if min(over_first, over_second) < 0.05 * max(over_first, over_second):
        layout = "atom first" if over_first < over_second else "state first"
        doubts = [] if layout == said or not says_spainn else [f"the forces are {layout}, not as the metadata say"]
        return layout, "because the forces on the atoms of a state add up to zero", doubts
    if says_spainn:
        return "atom first", "as the metadata say", []
    raise ValueError(
        f"{where}: {rows[0].num_states} atoms and as many states, and neither the metadata nor the sums of the forces tell "
        "(atom, state, xyz) from (state, atom, xyz); write `_property_unit_dict` and `_distance_unit` into the metadata "
        "where it is SPaiNN's layout (atom first)"
    )


def _layout_of_shape(row: DatabaseRow) -> Layout | None:
    num_atoms, num_states = len(row.atomic_numbers), row.num_states
    if num_atoms == num_states:
        return None
    return "atom first" if row.values["forces"].shape[0] == num_atoms else "state first"


def bond_ratio(rows: Sequence[DatabaseRow]) -> float:
    """Median over the atoms of (distance to the nearest atom) / (sum of covalent radii in angstrom).

    About 1 where positions are angstrom, about 1.9 where they are bohr; NaN for lone atoms.
    """
    ratios = []
    for row in rows:
        if len(row.atomic_numbers) < 2:
            continue
        distances = np.linalg.norm(row.positions[:, None] - row.positions, axis=-1)
        radii = covalent_radii[row.atomic_numbers]
        relative = distances / (radii[:, None] + radii)
        np.fill_diagonal(relative, np.inf)
        ratios.append(relative.min(axis=1))
    return float(np.median(np.concatenate(ratios))) if ratios else float("nan")
