"""SPaiNN and SchNarc: training databases of ASE (.db), geometries with energies, forces and couplings of all states.

Positions are bohr inside ASE, the values atomic units and true forces. Their ``smooth_nacs`` are nac (E_i - E_j) for
i < j, the negative of our interstate coupling. Rows are no trajectories: their order says nothing that we could claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlff.data.importers.sharc.states import soc_magnitudes
from mlff.data.importers.spainn_db.facts import DatabaseFacts, find_facts
from mlff.data.importers.spainn_db.rows import DatabaseRow, holds_rows, opened, row_ids, rows_of
from mlff.data.importers.trajectory import ImportedTrajectory, Importer, ImportOptions, SystemFacts, sha256

_BLOCK = 1000  # rows held at a time
_SAMPLE = 200  # rows looked at before the first is written
_READ = ("energy", "forces", "nacs", "smooth_nacs", "dipoles", "has_forces")


def read_spainn_db(paths: Sequence[Path], options: ImportOptions) -> Iterator[ImportedTrajectory]:
    """The rows of each database, a block at a time, in their order."""
    for path in paths:
        yield from _read(path, options)


def _read(path: Path, options: ImportOptions) -> Iterator[ImportedTrajectory]:
    import ase.db

    ids, damage = row_ids(path)
    said = ImportedTrajectory(SystemFacts(()), {}, None, source=str(path))
    if damage is not None:
        said.problems.append(f"{path.name}: the database is damaged ({damage}) after {len(ids)} rows")
    if not ids:
        raise ValueError(f"{path.name} holds no row" + (f": {damage}" if damage else ""))
    connection = ase.db.connect(str(path), type="db")
    metadata = _metadata(connection, path, said.problems)
    sample = _sample(connection, ids)
    if not sample:
        raise ValueError(f"{path.name}: none of its {len(ids)} rows is whole")
    facts = find_facts(metadata, sample, path.name, said)
    lost: dict[str, list[int]] = {}  # reason -> rows, from 0
    odd: dict[str, list[int]] = {}
    unread: Counter[str] = Counter()
    keys: dict[str, None] = {}
    block = -(-_BLOCK // options.every) * options.every  # so that a stride goes on from block to block
    digest, whole = sha256(path), 0
    held: dict[SystemFacts, list[dict[str, np.ndarray]]] = {}
    for row in rows_of(connection, ids, lost):
        system, columns = _converted(row, facts, odd)
        whole += 1
        read = (*_READ, "socs") if facts.has_soc else _READ
        unread.update(key for key in row.values if key not in read and np.any(row.values[key] != 0))
        keys |= dict.fromkeys(row.keys)
        rows = held.setdefault(system, [])
        rows.append(columns)
        if len(rows) == block:
            yield _block(system, held.pop(system), path, digest)
    for system, rows in held.items():
        yield _block(system, rows, path, digest)
    said.problems += [f"{path.name}: {_rows(numbers)} dropped: {reason}" for reason, numbers in lost.items()]
    said.problems += [f"{path.name}: {_rows(numbers)} without {reason}" for reason, numbers in odd.items()]
    for key, count in sorted(unread.items()):
        said.problems.append(f"{path.name}: `{key}` of {count} rows not read: its order of states is not documented")
    not_read = f"; key-value pairs not read: {', '.join(sorted(keys))}" if keys else ""
    said.notes.append(f"{path.name}: {whole} rows, {facts.program} database{not_read}")
    yield said


def _metadata(connection: Any, path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        with opened(connection):
            metadata = connection.metadata
    except Exception as error:  # the table of ASE is missing or its JSON is damaged
        problems.append(f"{path.name}: its metadata cannot be read ({type(error).__name__}: {error})")
        return {}
    return dict(metadata) if isinstance(metadata, Mapping) else {}


def _sample(connection: Any, ids: Sequence[int]) -> list[DatabaseRow]:
    """Whole rows from all over the database (rows from one place may be the broken ones)."""
    step = max(1, len(ids) // _SAMPLE)
    return list(rows_of(connection, ids[::step], {})) or list(rows_of(connection, ids, {}))


def _converted(
    row: DatabaseRow, facts: DatabaseFacts, odd: dict[str, list[int]]
) -> tuple[SystemFacts, dict[str, np.ndarray]]:
    """Facts of the row's system, and its columns without the frame axis; values of a wrong shape go to ``odd``."""
    num_atoms, num_states = len(row.atomic_numbers), row.num_states
    nac_pairs, dipole_pairs = facts.nac_pairs.get(num_states, ()), facts.dipole_pairs.get(num_states, ())
    columns = {"positions": row.positions * facts.length, "energy": row.values["energy"] * facts.energy}
    for key, name, factor, shape in (
        ("forces", "forces", facts.forces, (num_atoms, num_states, 3)),
        ("nacs", "nac", facts.nac, (num_atoms, len(nac_pairs), 3)),
        ("smooth_nacs", "interstate_coupling", facts.smooth, (num_atoms, len(nac_pairs), 3)),
        ("dipoles", "dipole", facts.dipole, (len(dipole_pairs), 3)),
    ):
        values = row.values.get(key, np.empty(0))
        if not values.size:
            continue
        if facts.layout == "state first" and values.ndim == 3:
            values = values.transpose(1, 0, 2)
        if values.shape == shape:
            columns[name] = values.astype(np.float64) * factor
        else:
            reason = f"`{key}` of shape {row.values[key].shape}, which fits no pairs of the {num_states} states"
            odd.setdefault(reason, []).append(row.number)
    soc = _soc(row, facts, odd)
    columns |= soc
    if "has_forces" in row.values and not row.values["has_forces"].any():
        columns["forces"] = np.full((num_atoms, num_states, 3), np.nan)
    if row.pbc.any():
        columns |= {"pbc": row.pbc, "cell": row.cell * facts.length}
    multiplicity = facts.multiplicity if len(facts.multiplicity) == num_states else ()
    system = SystemFacts(
        tuple(row.atomic_numbers.tolist()),
        num_states,
        multiplicity=multiplicity,
        root=tuple(multiplicity[:k].count(m) for k, m in enumerate(multiplicity)),
        nac_pairs=nac_pairs,
        dipole_pairs=dipole_pairs,
        spin_states=facts.spins.components if facts.spins and soc else (),
        soc_pairs=tuple(facts.spins.soc_pairs()) if facts.spins and soc else (),
        level_of_theory=facts.level_of_theory,
        program=facts.program,
        phase=facts.phase,
    )
    return system, columns


def _soc(row: DatabaseRow, facts: DatabaseFacts, odd: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Spin-orbit couplings: real and imaginary part of a < b for the M components in SHARC's order, as SchNarc writes.

    Rows of zeros were not computed; they are missing where another row has couplings, so that all have one system.
    """
    if not facts.has_soc or facts.spins is None or facts.spins.num_states != row.num_states:
        return {}
    num, pairs = len(facts.spins.components), facts.spins.soc_pairs()
    values = row.values.get("socs", np.empty(0)).astype(np.float64).ravel()
    matrix = np.full((num, num), np.nan + 0j)
    if values.size == num * (num - 1) and values.any():
        matrix = np.zeros((num, num), dtype=np.complex128)
        matrix[np.triu_indices(num, 1)] = values.view(np.complex128) * facts.soc
        matrix += matrix.conj().T
    elif values.any():
        odd.setdefault(f"`socs` of size {values.size}, {num * (num - 1)} was expected", []).append(row.number)
    return {"soc": matrix, "soc_magnitude": soc_magnitudes(matrix[None], facts.spins, pairs)[0]}


def _rows(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
    return f"{len(numbers)} rows ({shown}, from 0)"


def _block(system: SystemFacts, rows: list[dict[str, np.ndarray]], path: Path, digest: str) -> ImportedTrajectory:
    columns: dict[str, np.ndarray] = {}
    for name in {key: None for row in rows for key in row}:
        present = next(row[name] for row in rows if name in row)
        absent = np.zeros_like(present) if name in ("pbc", "cell") else np.full_like(present, np.nan)
        columns[name] = np.stack([row.get(name, absent) for row in rows])
    return ImportedTrajectory(system, columns, None, source=str(path), sha256=digest)


SPAINN_DB = Importer(
    holds_rows, read_spainn_db, ("every",), description="a training database of SPaiNN or SchNarc (.db)"
)
