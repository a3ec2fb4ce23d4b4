"""Batch: several frames side by side in numpy, atoms concatenated, ready to become a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

    @property
    def num_frames(self) -> int:
        """Number of frames, B."""
        return len(self.num_atoms)
