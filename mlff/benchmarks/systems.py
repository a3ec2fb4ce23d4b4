"""The structures that speed is measured on: a molecule, boxes of water of any size, or a file of the user's own."""

from __future__ import annotations

import re

import numpy as np
from ase import Atoms, units
from scipy.spatial.transform import Rotation

WATER_DENSITY = 1.0
"""g/cm^3."""
WATER_MASS = 18.015
"""g/mol."""
BOND, ANGLE = 0.9572, 104.52
"""O-H in angstrom and H-O-H in degrees: the geometry of TIP3P (Jorgensen et al., J. Chem. Phys. 79, 926 (1983))."""


def benchmark_system(name: str) -> Atoms:
    """The structure called ``azobenzene`` or ``water-N`` (N atoms), or the one in a file.

    Raises:
        ValueError: no such structure, N not a number of whole molecules, or a file that cannot be read.
    """
    if name == "azobenzene":
        return azobenzene_molecule()
    if match := re.fullmatch(r"water-(\d+)", name):
        num_atoms = int(match[1])
        if num_atoms == 0 or num_atoms % 3:
            raise ValueError(f"`{name}`: {num_atoms} atoms are no whole water molecules; give a multiple of 3, such as 192")
        return water_box(num_atoms // 3)
    if "." in name or "/" in name:
        from mlff.dynamics.structures import read_structure

        return read_structure(name)
    raise ValueError(f"there is no workload `{name}`; give azobenzene, water-N with N atoms, or a structure file")


def azobenzene_molecule() -> Atoms:
    """The first frame of the azobenzene set: 24 atoms, no cell."""
    from mlff.datasets import azobenzene

    frame = azobenzene()[0]
    return Atoms(frame.atomic_numbers, frame.positions)


def water_box(num_molecules: int) -> Atoms:
    """Water at 1 g/cm^3 in a cubic periodic box, the same for the same number of molecules.

    Molecules of the geometry of TIP3P stand on a simple cubic lattice, turned at random: as many neighbours as in the
    liquid, and no two atoms of different molecules near each other.
    """
    volume = num_molecules * WATER_MASS / units._Nav / WATER_DENSITY * 1e24  # angstrom^3
    length = volume ** (1 / 3)
    sites = next(n for n in range(1, num_molecules + 1) if n**3 >= num_molecules)
    generator = np.random.default_rng(num_molecules)
    lattice = np.stack(np.meshgrid(*[np.arange(sites)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    taken = np.sort(generator.permutation(sites**3)[:num_molecules])
    oxygens = (lattice[taken] + 0.5) * length / sites
    half = np.radians(ANGLE / 2)
    molecule = BOND * np.array([[0, 0, 0], [np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]])
    turns = Rotation.random(num_molecules, generator).as_matrix()
    positions = oxygens[:, None] + molecule @ turns.transpose(0, 2, 1)
    return Atoms("OH2" * num_molecules, positions.reshape(-1, 3), cell=[length] * 3, pbc=True)
