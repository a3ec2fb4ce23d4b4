"""Trajectories that are stepped together: where they are, how fast, in which state."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .couplings import HISTORY
from .surfaces import Surfaces, kinetic_energy

NO_HOP, HOP, FRUSTRATED = 0, 1, 2


@dataclass(frozen=True)
class Swarm:
    """T trajectories of one system of N atoms in S electronic states."""

    masses: np.ndarray
    """amu ``[N]``."""
    atomic_numbers: np.ndarray
    """``[N]``."""
    trajectories: np.ndarray
    """Numbers of the trajectories, ``[T]``: their random numbers belong to these."""
    steps: np.ndarray
    """Steps made, ``[T]``; those still running have made the same number."""
    positions: np.ndarray
    """angstrom, ``[T, N, 3]``."""
    velocities: np.ndarray
    """angstrom/fs, ``[T, N, 3]``."""
    active: np.ndarray
    """Active state, 0-based, ``[T]``."""
    coefficients: np.ndarray
    """Of the adiabatic states in order of energy, complex ``[T, S]``."""
    surfaces: Surfaces
    """At the positions; forces are those of the active states."""
    history: np.ndarray
    """Energies of the last four steps, newest first, eV ``[T, 4, S]``; NaN before the start and before the last hop."""
    hop: np.ndarray
    """``[T]``: 1 where the last step hopped, 2 where it tried and had not the energy, else 0."""
    stopped: np.ndarray
    """Why a trajectory stopped, str ``[T]``; empty while it runs."""

    def __len__(self) -> int:
        return len(self.trajectories)

    @property
    def running(self) -> np.ndarray:
        """bool ``[T]``."""
        return self.stopped == ""

    @property
    def potential_energy(self) -> np.ndarray:
        """Of the active state, eV ``[T]``."""
        return self.surfaces.energies[np.arange(len(self)), self.active]

    @property
    def kinetic_energy(self) -> np.ndarray:
        """eV ``[T]``."""
        return kinetic_energy(self.velocities, self.masses)

    @property
    def total_energy(self) -> np.ndarray:
        """eV ``[T]``."""
        return self.potential_energy + self.kinetic_energy

    @property
    def populations(self) -> np.ndarray:
        """|c|^2, ``[T, S]``; the part of trajectories that are in a state is a mean over `active`."""
        return np.abs(self.coefficients) ** 2

    def select(self, rows: np.ndarray) -> Swarm:
        """Some of the trajectories."""
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in PER_TRAJECTORY}
        return replace(self, surfaces=self.surfaces.select(rows), **chosen)

    def with_rows(self, rows: np.ndarray, other: Swarm) -> Swarm:
        """The same with those of `other` in the place of `rows`."""

        def put(mine: np.ndarray, new: np.ndarray) -> np.ndarray:
            result = mine.copy()
            result[rows] = new
            return result

        arrays: dict[str, Any] = {name: put(getattr(self, name), getattr(other, name)) for name in PER_TRAJECTORY}
        return replace(self, surfaces=self.surfaces.mapped(put, other.surfaces), **arrays)


PER_TRAJECTORY = tuple(
    each.name for each in fields(Swarm) if each.name not in ("masses", "atomic_numbers", "surfaces")
)  #: fields with one row a trajectory


def extended(history: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """History with a new step in front."""
    return np.concatenate((energies[:, None], history[:, : HISTORY - 1]), axis=1)


def fresh_history(energies: np.ndarray) -> np.ndarray:
    """History that knows of one step only."""
    history = np.full((len(energies), HISTORY, energies.shape[1]), np.nan)
    history[:, 0] = energies
    return history
