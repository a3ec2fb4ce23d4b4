"""Batch: several frames side by side in numpy, atoms concatenated, ready to become a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlff.data.system import System

PAIR_AXES = {"nac": "nac_pairs", "interstate_coupling": "nac_pairs", "dipole": "dipole_pairs", "soc_magnitude": "soc_pairs"}
"""Quantities of pairs of states, and the system's attribute that says which pairs."""

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class PairValues:
    """A quantity of pairs of states, in the frames of a batch."""

    pairs: Pairs  #: states (i, j) of the pair axis, i <= j: all that any system of the dataset has
    values: np.ndarray  #: as in mlff.properties, couplings f4 [N,P,3], dipole f4 [B,P,3], soc_magnitude f8 [B,P]; NaN missing
    valid: np.ndarray  #: bool [B,P]


@dataclass(frozen=True, eq=False)
class Batch:
    """B frames of N atoms in all; units as everywhere (eV, angstrom).

    Where the systems have different numbers of states, S is the largest and the states that a frame lacks are NaN with
    their mask false.
    """

    atomic_numbers: np.ndarray  #: i64 [N]
    positions: np.ndarray  #: f8 [N,3]
    batch: np.ndarray  #: i64 [N], the frame of each atom
    num_atoms: np.ndarray  #: i64 [B]
    cell: np.ndarray | None  #: f8 [B,3,3], zeros for a frame without a cell; None where no frame has one
    pbc: np.ndarray  #: bool [B,3]
    energy: np.ndarray | None  #: f8 [B,S]
    energy_valid: np.ndarray  #: bool [B,S]
    forces: np.ndarray | None  #: f4 [N,S,3]
    forces_valid: np.ndarray  #: bool [B,S]
    stress: np.ndarray | None  #: f4 [B,S,6]
    stress_valid: np.ndarray  #: bool [B]
    of_pairs: Mapping[str, PairValues] = field(default_factory=dict)  #: quantities of ``PAIR_AXES`` that were asked for

    @property
    def num_frames(self) -> int:
        """Number of frames, B."""
        return len(self.num_atoms)


def gather_one(system: System, rows: np.ndarray, num_atoms: np.ndarray, batch: np.ndarray, num_states: int) -> Batch:
    """A batch whose frames are all of one system: one fancy index a quantity."""
    if system.num_states != num_states:
        return gather_many((system,), np.zeros(len(rows), np.int64), rows, num_atoms, batch, num_states)
    num = len(rows)

    def take(name: str) -> np.ndarray | None:
        return system.read(name, rows) if system.has(name) else None

    def mask(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return system.read(name, rows) if system.has(name) else np.zeros((num, *shape), dtype=bool)

    pbc, forces, positions = take("pbc"), take("forces"), system.read("positions", rows)
    return Batch(
        atomic_numbers=np.tile(system.atomic_numbers.astype(np.int64), num),
        positions=positions.reshape(-1, 3),
        batch=batch,
        num_atoms=num_atoms,
        cell=take("cell"),
        pbc=np.zeros((num, 3), bool) if pbc is None else pbc,
        energy=take("energy"),
        energy_valid=mask("energy_valid", (num_states,)),
        forces=None if forces is None else forces.reshape(-1, num_states, 3),
        forces_valid=mask("forces_valid", (num_states,)),
        stress=take("stress"),
        stress_valid=mask("stress_valid", ()),
    )


def gather_many(
    systems: Sequence[System],
    owner: np.ndarray,
    rows: np.ndarray,
    num_atoms: np.ndarray,
    batch: np.ndarray,
    num_states: int,
) -> Batch:
    """A batch over several systems: each fills its places; what a system lacks stays NaN and masked."""
    num, total = len(rows), int(num_atoms.sum())
    starts = np.cumsum(num_atoms) - num_atoms
    present = [(systems[k], np.flatnonzero(owner == k)) for k in np.unique(owner)]
    numbers = np.empty(total, np.int64)
    atoms = [(starts[places][:, None] + np.arange(system.num_atoms)).ravel() for system, places in present]
    for (system, places), at in zip(present, atoms):
        numbers[at] = np.tile(system.atomic_numbers, len(places))

    def per_atom(name: str, result: np.ndarray, by_state: bool) -> np.ndarray | None:
        found = False
        for (system, places), at in zip(present, atoms):
            if system.has(name):
                found = True
                values = system.read(name, rows[places]).reshape(len(at), *((-1, 3) if by_state else (3,)))
                result[(at, slice(0, values.shape[1])) if by_state else at] = values
        return result if found else None

    def per_frame(name: str, result: np.ndarray, by_state: bool = False) -> np.ndarray | None:
        found = False
        for system, places in present:
            if system.has(name):
                found = True
                values = system.read(name, rows[places])
                result[(places, slice(0, values.shape[1])) if by_state else places] = values
        return result if found else None

    energy_valid, forces_valid = np.zeros((num, num_states), bool), np.zeros((num, num_states), bool)
    pbc, stress_valid = np.zeros((num, 3), bool), np.zeros(num, bool)
    positions = np.empty((total, 3))
    per_atom("positions", positions, False)
    per_frame("energy_valid", energy_valid, True)
    per_frame("forces_valid", forces_valid, True)
    per_frame("stress_valid", stress_valid)
    per_frame("pbc", pbc)
    return Batch(
        atomic_numbers=numbers,
        positions=positions,
        batch=batch,
        num_atoms=num_atoms,
        cell=per_frame("cell", np.zeros((num, 3, 3))),
        pbc=pbc,
        energy=per_frame("energy", np.full((num, num_states), np.nan), True),
        energy_valid=energy_valid,
        forces=per_atom("forces", np.full((total, num_states, 3), np.nan, np.float32), True),
        forces_valid=forces_valid,
        stress=per_frame("stress", np.full((num, num_states, 6), np.nan, np.float32), True),
        stress_valid=stress_valid,
    )


def pairs_of(systems: Sequence[System], name: str) -> Pairs:
    """The pairs of states, sorted, for which any system has the quantity ``name`` of ``PAIR_AXES``."""
    return tuple(sorted({pair for system in systems if system.has(name) for pair in getattr(system, PAIR_AXES[name])}))


def gather_pairs(
    systems: Sequence[System], owner: np.ndarray, rows: np.ndarray, num_atoms: np.ndarray, name: str, pairs: Pairs
) -> PairValues:
    """The quantity ``name`` of frames, each system's pairs put where `pairs` has them; the others stay NaN and masked."""
    per_atom = name in ("nac", "interstate_coupling")
    shape = (int(num_atoms.sum()), len(pairs), 3) if per_atom else (len(rows), len(pairs), *((3,) if name == "dipole" else ()))
    values = np.full(shape, np.nan, np.float64 if name == "soc_magnitude" else np.float32)
    valid = np.zeros((len(rows), len(pairs)), bool)
    starts = np.cumsum(num_atoms) - num_atoms
    for k in np.unique(owner):
        system, places = systems[k], np.flatnonzero(owner == k)
        if not system.has(name) or not (own := getattr(system, PAIR_AXES[name])):
            continue
        columns = np.array([pairs.index(pair) for pair in own])
        at = (starts[places][:, None] + np.arange(system.num_atoms)).ravel() if per_atom else places
        read = system.read(name, rows[places])
        values[at[:, None], columns] = read.reshape(len(at), *read.shape[1 + per_atom :])
        mask = f"{name}_valid"
        known = system.read(mask, rows[places]) if system.has(mask) else np.isfinite(read)
        valid[places[:, None], columns] = known
    return PairValues(pairs, values, valid)
