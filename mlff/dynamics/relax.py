"""Relaxation of a structure, and of its cell, to the nearest minimum of the energy."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from .trajectory import TrajectoryFile, check_suffix

OPTIMIZERS = {"BFGS": BFGS, "LBFGS": LBFGS, "FIRE": FIRE}


@dataclass(frozen=True)
class Relaxation:
    """What a relaxation led to; energies in eV, forces in eV/angstrom, one value a step from the start on."""

    atoms: Atoms
    """The last structure, with its calculator."""
    converged: bool
    energies: tuple[float, ...]
    max_forces: tuple[float, ...]
    """Largest force on an atom; with `cell`, or on the cell (its virial, eV)."""
    rmsd: float
    """From the first structure, angstrom: of a molecule after alignment, in a cell after removal of the mean shift."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps taken."""
        return len(self.energies) - 1


def run_relaxation(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    steps: int = 500,
    optimizer: Literal["BFGS", "LBFGS", "FIRE"] = "BFGS",
    cell: bool = False,
    trajectory: str | os.PathLike[str] | None = None,
    callback: Callable[[int, float, float], None] | None = None,
) -> Relaxation:
    """Relax a copy of `atoms`, with its calculator, until no force exceeds `fmax`.

    Args:
        atoms: the structure; constraints are kept.
        fmax: in eV/angstrom.
        steps: optimiser steps at most.
        optimizer: of ASE.
        cell: relax the cell too, by ASE's FrechetCellFilter.
        trajectory: file (.traj, .xyz, .extxyz) that every step is written to; it appears when the relaxation ends.
        callback: called after every step with its number, energy and largest force.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"`optimizer` is {optimizer!r}; choose one of {', '.join(OPTIMIZERS)}")
    if not (math.isfinite(fmax) and fmax > 0):
        raise ValueError(f"`fmax` is {fmax} eV/angstrom; give a positive force")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"`steps` is {steps!r}; give a whole number, 0 or more")
    if atoms.calc is None:
        raise ValueError("the structure has no calculator; set `atoms.calc` first")
    if cell and not atoms.pbc.all():
        raise ValueError(f"relaxing the cell needs a structure periodic along three axes; pbc is {atoms.pbc.tolist()}")
    path = None if trajectory is None else check_suffix(trajectory)

    moving = atoms.copy()
    moving.calc = atoms.calc
    target = FrechetCellFilter(moving) if cell else moving
    energies: list[float] = []
    max_forces: list[float] = []
    # The path is written aside and renamed at the end, so a file of that name is always a whole one.
    aside = None if path is None else path.with_name(f".partial-{os.getpid()}-{path.name}")
    frames = None if aside is None else TrajectoryFile(aside)

    def record() -> None:
        forces = target.get_forces()
        energy = float(moving.get_potential_energy())
        largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
        if not (math.isfinite(energy) and math.isfinite(largest)):
            raise ValueError(f"the energy or a force is not finite after {len(energies)} steps (energy {energy} eV)")
        energies.append(energy)
        max_forces.append(largest)
        if frames is not None:
            frames.write(moving)
        if callback is not None:
            callback(len(energies) - 1, energy, largest)

    try:
        dynamics = OPTIMIZERS[optimizer](target, logfile=None)
        dynamics.attach(record)
        converged = bool(dynamics.run(fmax=fmax, steps=steps))
    finally:
        _finish(frames, aside, path, keep=bool(energies))
    return Relaxation(moving, converged, tuple(energies), tuple(max_forces), rmsd(atoms, moving))


def rmsd(first: Atoms, second: Atoms) -> float:
    """Root mean square displacement of the atoms, angstrom, aligned (molecules) or with the mean shift removed."""
    aligned = second.copy()
    aligned.set_constraint()
    if first.pbc.any():
        moved = aligned.positions - first.positions
        moved -= moved.mean(axis=0)
    else:
        target = first.copy()
        target.set_constraint()
        minimize_rotation_and_translation(target, aligned)
        moved = aligned.positions - target.positions
    return float(np.sqrt(np.mean(np.sum(moved**2, axis=1))))


def _finish(frames: TrajectoryFile | None, aside: Path | None, path: Path | None, keep: bool) -> None:
    if frames is None or aside is None or path is None:
        return
    frames.close()
    if keep:
        os.replace(aside, path)
    aside.unlink(missing_ok=True)
