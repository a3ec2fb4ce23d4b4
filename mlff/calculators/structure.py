"""Structures that a model cannot be asked about, told before it is."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mlff.graph import Graph

SMALLEST_DISTANCE = 0.1
"""Atoms nearer than this, in angstrom, are a mistake in the structure, not physics."""


def check_structure(atoms: Atoms) -> None:
    """Raise ValueError for a structure that no model can be asked about: empty, not finite."""
    if len(atoms) == 0:
        raise ValueError("the structure has no atoms")
    finite = np.isfinite(atoms.positions)
    if not finite.all():
        finite = finite.all(axis=1)
        raise ValueError(f"the positions of {_listed(np.flatnonzero(~finite), atoms)} are not finite numbers")
    if atoms.pbc.any() and not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"the cell is not finite: {atoms.cell.array.tolist()}")


def check_elements(atoms: Atoms, species: tuple[int, ...]) -> None:
    """Raise ValueError for elements that the model does not know."""
    numbers = atoms.numbers
    unknown = ~np.isin(numbers, species)
    if unknown.any():
        elements = ", ".join(_symbol(number) for number in sorted(set(numbers[unknown].tolist())))
        raise ValueError(f"the model was not trained on {elements} ({_listed(np.flatnonzero(unknown), atoms)}); "
                         f"it knows {', '.join(_symbol(number) for number in species)}")


def check_distances(atoms: Atoms, graph: Graph) -> None:
    """Raise ValueError where two atoms, or an atom and an image, lie on top of each other."""
    if graph.num_pairs == 0:
        return
    squares = graph.pair_vectors().square().sum(dim=1)
    nearest = int(squares.argmin())
    distance = float(squares[nearest]) ** 0.5
    if distance < SMALLEST_DISTANCE:
        i, j = graph.pairs[:, nearest].tolist()
        raise ValueError(f"{_listed(np.array([i, j]), atoms)} are {distance:.3g} angstrom apart; "
                         f"nothing below {SMALLEST_DISTANCE} angstrom is physical: check the structure or the cell")


def _listed(indices: np.ndarray, atoms: Atoms) -> str:
    """``atoms 3 (C), 7 (H)``, with at most six named."""
    named = ", ".join(f"{index} ({_symbol(atoms.numbers[index])})" for index in indices[:6].tolist())
    more = f" and {len(indices) - 6} more" if len(indices) > 6 else ""
    return f"atom{'s' if len(indices) > 1 else ''} {named}{more}"


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else f"element {number}"
