"""Internal coordinates: bond lengths, angles and torsions of chosen atoms along many frames, periodic images included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlff.data.system import System

_KINDS = {2: "distance", 3: "angle", 4: "torsion"}
_BLOCK = 1 << 21  # coordinates of atoms that are read at a time


@dataclass(frozen=True)
class Internal:
    """A distance (two atoms), an angle (three) or a torsion (four); atoms are counted from 0."""

    atoms: tuple[int, ...]

    @property
    def kind(self) -> str:
        """distance, angle or torsion."""
        return _KINDS[len(self.atoms)]

    @property
    def unit(self) -> str:
        """Å of a distance, ° of the others."""
        return "Å" if self.kind == "distance" else "°"

    def name(self, atomic_numbers: np.ndarray) -> str:
        """Elements and numbers of the atoms: C5–N6–N7–C8."""
        from ase.data import chemical_symbols

        return "–".join(f"{chemical_symbols[int(atomic_numbers[atom])]}{atom}" for atom in self.atoms)


def measure(system: System, rows: np.ndarray, atoms: Sequence[Sequence[int]]) -> np.ndarray:
    """Values of several coordinates with equally many atoms each, ``[len(rows), len(atoms)]``, read piece by piece.

    In angstrom or degrees, a torsion from -180 to 180; NaN where it is not defined. In periodic frames each atom is taken
    at the image that is nearest to the atom before it.
    """
    chosen = np.asarray(atoms, dtype=np.int64)
    result = np.empty((len(rows), len(chosen)))
    size = max(1, _BLOCK // max(1, system.num_atoms, chosen.size))
    periodic = system.has("pbc") and system.has("cell")
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        positions = system.read("positions", block)[:, chosen]
        if periodic:
            positions = _unwrapped(positions, system.read("cell", block), system.read("pbc", block))
        result[start : start + size] = internal_values(positions.reshape(-1, *positions.shape[2:])).reshape(len(block), -1)
    return result


def parse_internal(text: str, num_atoms: int) -> Internal:
    """The coordinate that ``text`` names: ``0-5``, ``0-5-6`` or ``0-5-6-7``; a ValueError where it is none."""
    words = re.split(r"[-,–]", text.strip())
    if not 2 <= len(words) <= 4 or not all(word.strip().isascii() and word.strip().isdigit() for word in words):
        raise ValueError(
            f"an internal coordinate is two atoms (a distance), three (an angle) or four (a torsion), counted from 0, "
            f"such as 0-5 or 4-5-6-7; got {text!r}"
        )
    atoms = tuple(int(word) for word in words)
    if max(atoms) >= num_atoms or len(set(atoms)) != len(atoms):
        raise ValueError(
            f"the internal coordinate {text!r} needs different atoms counted from 0 to {num_atoms - 1}: "
            f"there are {num_atoms} atoms"
        )
    return Internal(atoms)


def internal_values(positions: np.ndarray) -> np.ndarray:
    """Distance, angle or torsion of the two, three or four atoms of each frame: ``[F,2..4,3]`` to ``[F]``.

    In the unit of the positions and in degrees; NaN where atoms coincide or stand on one line.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.shape[1] == 2:
        return np.linalg.norm(positions[:, 1] - positions[:, 0], axis=1)
    if positions.shape[1] == 3:
        first, second = positions[:, 0] - positions[:, 1], positions[:, 2] - positions[:, 1]
        across = np.linalg.norm(np.cross(first, second), axis=1)
        angle = np.degrees(np.arctan2(across, (first * second).sum(axis=1)))
        return np.where(first.any(axis=1) & second.any(axis=1), angle, np.nan)
    bonds = np.diff(positions, axis=1)
    lines = ~(np.cross(bonds[:, 0], bonds[:, 1]).any(axis=1) & np.cross(bonds[:, 1], bonds[:, 2]).any(axis=1))
    return np.where(lines, np.nan, torsion_degrees(positions))


def torsion_degrees(positions: np.ndarray) -> np.ndarray:
    """Signed torsion angle of four atoms in every frame, degrees from -180 to 180: ``[B,4,3]`` to ``[B]``."""
    first, middle, last = (positions[:, k + 1] - positions[:, k] for k in range(3))
    n1, n2 = np.cross(first, middle), np.cross(middle, last)
    length = np.linalg.norm(middle, axis=1)
    return np.degrees(np.arctan2(length * (first * n2).sum(1), (n1 * n2).sum(1)))


def _unwrapped(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Atoms ``[F,C,K,3]`` as chains of nearest images along K; frames of one cell are done together."""
    from ase.geometry import find_mic

    if not pbc.any():
        return positions
    boxes, owner = np.unique(np.concatenate([cell.reshape(-1, 9), pbc], axis=1), axis=0, return_inverse=True)
    result = np.array(positions)
    for index, box in enumerate(boxes):
        periodic = box[9:].astype(bool)
        if not periodic.any():
            continue
        own = np.flatnonzero(owner.reshape(-1) == index)
        steps = np.diff(positions[own], axis=2)
        nearest, _ = find_mic(steps.reshape(-1, 3), box[:9].reshape(3, 3), periodic)
        result[own, :, 1:] = positions[own, :, :1] + np.cumsum(nearest.reshape(steps.shape), axis=2)
    return result
