"""ASE databases: with several states in the layout of SPaiNN, with one in that of SchNetPack, which is plain ASE.

SPaiNN (Mausenberger et al., Chem. Sci. 2024, 15, 15880): atomic units also inside ASE's rows; energy (1, state), forces and
couplings (atom, state or pair, xyz), ``smooth_nacs`` = nac (E_i - E_j), pairs i < j and dipoles i <= j row by row of the upper
triangle, within the singlets and within the triplets where there are both. SchNetPack reads ``data`` of each row by the
names in the metadata ``_property_unit_dict``, lengths in ``_distance_unit``.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlff.data.exporters.selection import Block, Piece, Told, left_out, own_masses
from mlff.data.system import System
from mlff.units import BOHR, HARTREE

_ALWAYS = {"positions", "cell", "pbc", "energy", "forces", "active_state", "hop", "step", "time", "kinetic_energy"}
_LETTERS = {1: "S", 2: "D", 3: "T", 4: "Q"}

Pairs = list[tuple[int, int]]


def write_ase_db(pieces: Sequence[Piece], path: Path, state: int, advance: Callable[[int], None]) -> Told:
    """Write the frames of one system as rows; trajectory, time, step and so on are their key-value pairs."""
    system = pieces[0].system
    try:
        without = _write_rows(pieces, path, advance)
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, f"the database cannot be written, {error}") from error
    finally:
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)  # SQLite's, after an error
    several = system.num_states > 1
    sentences = left_out(
        pieces, _ALWAYS | ({"nac", "interstate_coupling", "dipole"} if several else {"stress"}), "ase-db"
    )
    if system.charge:
        sentences.append("ase-db has no place for the charge: give it to `mlff data import` with `--charge`")
    if without:
        sentences.append(f"{without} frames without any energy were left out: the programs that read ase-db need one")
    return sentences, without


def _write_rows(pieces: Sequence[Piece], path: Path, advance: Callable[[int], None]) -> int:
    """Write the rows; the number of frames without an energy, which are left out."""
    import ase.db

    system, without = pieces[0].system, 0
    connection = ase.db.connect(str(path), type="db", append=True, use_lock_file=False)
    connection.metadata = _metadata(system)
    for piece in pieces:
        for block in piece.blocks(advance):
            with connection:
                for atoms, pairs, data in _states(block) if system.num_states > 1 else _single(block):
                    if data is None:
                        without += 1
                        continue
                    connection.write(atoms, key_value_pairs=pairs, data=data)
    return without


def _metadata(system: System) -> dict[str, Any]:
    """What SPaiNN and SchNetPack want to know of the whole database."""
    common: dict[str, Any] = {"atomrefs": {}, "ReferenceMethod": system.level_of_theory}
    if system.num_states == 1:
        units = {"energy": "eV"} | ({"forces": "eV/Ang"} if system.has("forces") else {})
        return common | {"_distance_unit": "Ang", "_property_unit_dict": units}
    names = {"energy": "Hartree", "forces": "Hartree/Bohr"}
    nac_pairs, dipole_pairs = _pairs(system)
    if system.has("nac") and nac_pairs:
        names["nacs"] = "1"
    if system.has("interstate_coupling") and nac_pairs:
        names["smooth_nacs"] = "1"
    if system.has("dipole"):
        names["dipoles"] = "1"
    known = all(each in _LETTERS for each in system.multiplicities)
    counts = {
        name: system.multiplicities.count(m) for name, m in (("n_singlets", 1), ("n_duplets", 2), ("n_triplets", 3))
    }
    if not known:
        counts["n_singlets"] = system.num_states
    return common | {
        "_distance_unit": "Bohr",
        "_property_unit_dict": names,
        "phasecorrected": system.phase == "aligned",
        "states": " ".join(_LETTERS[each] for each in system.multiplicities) if known else "",
        **counts,
    }


def _pairs(system: System) -> tuple[Pairs, Pairs]:
    """Pairs of the couplings and of the dipoles, in SPaiNN's order."""
    count = system.multiplicities.count(1)
    if system.multiplicities == (1,) * count + (3,) * (system.num_states - count):
        blocks = [(0, count), (count, system.num_states)]
    else:
        blocks = [(0, system.num_states)]
    result = []
    for diagonal, own in ((0, system.nac_pairs), (1, system.dipole_pairs)):
        found = [(i, j) for first, last in blocks for i in range(first, last) for j in range(i + 1 - diagonal, last)]
        if not set(own) <= set(found):  # between multiplicities as well
            found = [(i, j) for i in range(system.num_states) for j in range(i + 1 - diagonal, system.num_states)]
        result.append(found)
    return result[0], result[1]


def _states(block: Block) -> Iterator[tuple[Atoms, dict[str, Any], dict[str, Any] | None]]:
    """Rows of several states, in atomic units; None for data where no energy is known."""
    system, count = block.piece.system, len(block)
    nac_pairs, dipole_pairs = _pairs(system)
    positions, energy, forces = (block.read(name) for name in ("positions", "energy", "forces"))
    assert positions is not None
    if forces is None:
        forces = np.full((count, system.num_atoms, system.num_states, 3), np.nan)
    columns = {"forces": forces.astype(np.float64) / (HARTREE / BOHR)}
    for key, name, own, wanted, factor in (
        ("nacs", "nac", system.nac_pairs, nac_pairs, BOHR),
        ("smooth_nacs", "interstate_coupling", system.nac_pairs, nac_pairs, -BOHR / HARTREE),
        ("dipoles", "dipole", system.dipole_pairs, dipole_pairs, 1 / BOHR),
    ):
        if not system.has(name) or not wanted:
            continue
        values = block.read(name)
        columns[key] = np.full((count, *((system.num_atoms,) if key != "dipoles" else ()), len(wanted), 3), np.nan)
        if values is not None:
            columns[key][..., [wanted.index(pair) for pair in own], :] = values.astype(np.float64) * factor
    atoms = _atoms(block, positions, 1 / BOHR)
    for k, pairs in enumerate(_key_values(block)):
        if energy is None or not np.isfinite(energy[k]).any():
            yield atoms(k), pairs, None
        else:
            yield (
                atoms(k),
                pairs,
                {"energy": energy[k : k + 1] / HARTREE, **{key: each[k] for key, each in columns.items()}},
            )


def _single(block: Block) -> Iterator[tuple[Atoms, dict[str, Any], dict[str, Any] | None]]:
    """Rows of one state, in eV and angstrom: in ASE's own columns and, for SchNetPack, in ``data``."""
    positions, energy, forces, stress = (block.read(name) for name in ("positions", "energy", "forces", "stress"))
    assert positions is not None
    atoms, expected = _atoms(block, positions, 1.0), block.piece.system.has("forces")
    for k, pairs in enumerate(_key_values(block)):
        made = atoms(k)
        if energy is None or not np.isfinite(energy[k, 0]):
            yield made, pairs, None
            continue
        data: dict[str, Any] = {"energy": energy[k].copy()}
        results: dict[str, Any] = {"energy": float(energy[k, 0])}
        if expected:
            data["forces"] = (
                np.full_like(positions[k], np.nan) if forces is None else forces[k, :, 0].astype(np.float64)
            )
            if np.isfinite(data["forces"]).all():
                results["forces"] = data["forces"]
        if stress is not None and np.isfinite(stress[k, 0]).all():
            results["stress"] = stress[k, 0].astype(np.float64)
        made.calc = SinglePointCalculator(made, **results)
        yield made, pairs, data


def _atoms(block: Block, positions: np.ndarray, factor: float) -> Callable[[int], Atoms]:
    system, cell, pbc = block.piece.system, block.read("cell"), block.read("pbc")
    numbers, masses = system.atomic_numbers.astype(int), own_masses(system)

    def frame(k: int) -> Atoms:
        return Atoms(
            numbers,
            positions=positions[k] * factor,
            cell=None if cell is None else cell[k] * factor,
            pbc=False if pbc is None else pbc[k],
            masses=masses,
        )

    return frame


def _key_values(block: Block) -> Iterator[dict[str, Any]]:
    """Key-value pairs of each frame, which ASE selects rows by: what is known of it."""
    name = block.piece.trajectory.name
    read = {each: block.read(each) for each in ("time", "step", "active_state", "hop", "kinetic_energy")}
    for k in range(len(block)):
        pairs: dict[str, Any] = {}
        if name is not None:
            pairs["trajectory"] = f"trajectory_{name}" if _like_a_number(name) else name
        for key, values in read.items():
            if values is not None:
                value = values[k].item()
                if value == value and not (key in ("step", "active_state") and value < 0):
                    pairs[key] = value
        yield pairs


def _like_a_number(text: str) -> bool:
    """Whether ASE refuses the text as a value, because it would read it as a number or a truth value."""
    try:
        float(text)
    except ValueError:
        return text in ("True", "False")
    return True
