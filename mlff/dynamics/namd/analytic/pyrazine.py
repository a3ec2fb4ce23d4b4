"""Pyrazine's S1 (n pi*) and S2 (pi pi*) states and their conical intersection: a model from the literature, in Cartesians."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np

from .lvc import LinearVibronicCoupling

HALF_GAP = 0.42300  #: eV, half the vertical gap between S1 and S2
KAPPA = {"v6a": (0.09806, -0.13545), "v1": (0.05033, 0.17100), "v9a": (0.14521, 0.03746)}
"""Linear terms of S1 and S2 along the tuning modes, eV."""
LAMBDA = {"v10a": 0.20804}
"""Linear term between S1 and S2 along the coupling mode, eV."""


@dataclass(frozen=True)
class PyrazineModes:
    """Pyrazine in the xy plane, nitrogen on the x axis, and its 24 modes by irreducible representation of D2h."""

    masses: np.ndarray
    """amu ``[10]``."""
    atomic_numbers: np.ndarray
    positions: np.ndarray
    """angstrom ``[10, 3]``."""
    labels: tuple[str, ...]
    """Of the modes, such as v10a; their irreducible representation where the model does not name them."""
    frequencies: np.ndarray
    """hbar omega of the ground state, eV ``[24]``."""
    modes: np.ndarray
    """Mass-weighted, orthonormal, ``[24, 10, 3]``."""


def pyrazine(*, all_modes: bool = True) -> LinearVibronicCoupling:
    """The linear 4-mode model of Raab, Worth, Meyer and Cederbaum (J. Chem. Phys. 110, 936, 1999), two states.

    Parameters are theirs, after Woywod, Domcke, Sobolewski and Werner (J. Chem. Phys. 100, 1400, 1994); energies count from
    the middle between the states at the ground state's geometry. The tuning modes 6a, 1 and 9a keep D2h; the coupling mode
    10a (b1g) moves the hydrogens out of the plane and is fixed by symmetry alone. Displacements are those of GFN2-xTB at
    its minimum, in order of frequency within each representation.

    Args:
        all_modes: whether the other 20 modes are there too, harmonic at their published frequencies and not coupled, so
            that every deformation of the molecule costs energy. They change nothing in the dynamics of the four.
    """
    molecule = pyrazine_modes()
    named = [index for index, label in enumerate(molecule.labels) if label in KAPPA or label in LAMBDA]
    chosen = list(range(len(molecule.labels))) if all_modes else named
    linear = np.zeros((len(chosen), 2, 2))
    for row, index in enumerate(chosen):
        label = molecule.labels[index]
        if label in KAPPA:
            linear[row] = np.diag(KAPPA[label])
        elif label in LAMBDA:
            linear[row] = LAMBDA[label] * np.array([[0, 1], [1, 0]])
    return LinearVibronicCoupling(
        molecule.masses, molecule.atomic_numbers, molecule.positions, molecule.modes[chosen],
        molecule.frequencies[chosen], np.array([-HALF_GAP, HALF_GAP]), linear,
    )  # fmt: skip


def pyrazine_modes() -> PyrazineModes:
    """The molecule and its modes, from the package's file."""
    text = resources.files(__package__).joinpath("pyrazine.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    masses, modes = np.array(stored["masses"]), np.array(stored["modes"]).reshape(24, 30)
    left, _, right = np.linalg.svd(modes, full_matrices=False)  # orthonormal to the last bit, not to the digits stored
    return PyrazineModes(
        masses=masses,
        atomic_numbers=np.array(stored["atomic_numbers"]),
        positions=np.array(stored["positions"]),
        labels=tuple(stored["labels"]),
        frequencies=np.array(stored["frequencies"]),
        modes=(left @ right).reshape(24, 10, 3),
    )
