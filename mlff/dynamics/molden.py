"""Normal modes in the Molden format, which viewers animate (Molden, Jmol, Avogadro) and samplers of initial conditions read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from mlff.units import BOHR

from .aside import written_aside
from .vibrations import NormalModes


def write_molden(path: Path, atoms: Atoms, modes: NormalModes) -> None:
    """Write a structure and its modes, aside first and then renamed.

    Sections [Atoms] (angstrom), [FREQ] (1/cm, imaginary ones negative), [FR-COORD] (bohr) and [FR-NORM-COORD]: Cartesian
    displacements of the atoms, not mass-weighted, each of length one over all atoms.
    """
    symbols, numbers = atoms.get_chemical_symbols(), atoms.get_atomic_numbers()
    lines = ["[Molden Format]", "[Atoms] Angs"]
    lines += [f"{symbol:<3}{k + 1:6d}{number:4d}{_row(place)}"
              for k, (symbol, number, place) in enumerate(zip(symbols, numbers, atoms.positions))]  # fmt: skip
    lines += ["[FREQ]", *(f"{frequency:14.6f}" for frequency in modes.frequencies), "[FR-COORD]"]
    lines += [f"{symbol:<3}{_row(place / BOHR)}" for symbol, place in zip(symbols, atoms.positions)]
    lines.append("[FR-NORM-COORD]")
    for k, mode in enumerate(modes.displacements):
        lines += [f"vibration {k + 1:6d}", *(_row(moved) for moved in mode)]
    with written_aside(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(vector: np.ndarray) -> str:
    return "".join(f"{value:16.9f}" for value in vector)
