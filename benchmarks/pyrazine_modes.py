"""Make mlff/dynamics/namd/analytic/pyrazine.json: pyrazine's geometry and modes at GFN2-xTB, frequencies as published.

    python benchmarks/pyrazine_modes.py mlff/dynamics/namd/analytic/pyrazine.json

Needs tblite (pip install "mlff[reference]"). The Hessian, from central differences of the forces, is averaged over the eight
operations of D2h, so that every mode belongs to one irreducible representation; within each, modes in order of frequency
take the ground state's frequencies of Woywod et al. (J. Chem. Phys. 100, 1400, 1994), those of the 24-mode model of Raab
et al. (110, 936, 1999). What it prints sets the two side by side.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from ase.optimize import BFGS

from mlff.dynamics.namd.electronic import HBAR
from mlff.units import INVERSE_CM, KINETIC

PUBLISHED = {  # eV; representation, parity under reflection of x (along N-N), y and z (out of plane)
    "ag": ((1, 1, 1), (0.0739, 0.1258, 0.1525, 0.1961, 0.3788)),
    "b1g": ((1, -1, -1), (0.1139,)),
    "b2g": ((-1, 1, -1), (0.0937, 0.1219)),
    "b3g": ((-1, -1, 1), (0.0873, 0.1669, 0.1891, 0.3769)),
    "au": ((-1, -1, -1), (0.0423, 0.1190)),
    "b1u": ((-1, 1, 1), (0.1266, 0.1408, 0.1840, 0.3734)),
    "b2u": ((1, -1, 1), (0.1318, 0.1425, 0.1756, 0.3798)),
    "b3u": ((1, 1, -1), (0.0521, 0.0973)),
}
NAMED = {("ag", 0): "v6a", ("ag", 1): "v1", ("ag", 2): "v9a", ("b1g", 0): "v10a"}
START = [(1.4, 0), (-1.4, 0), (0.7, 1.13), (0.7, -1.13), (-0.7, 1.13), (-0.7, -1.13),
         (1.25, 2.06), (1.25, -2.06), (-1.25, 2.06), (-1.25, -2.06)]  # fmt: skip


def minimum() -> Atoms:
    from tblite.ase import TBLite

    atoms = Atoms("N2C4H4", positions=[(x, y, 0) for x, y in START])
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    centred = atoms.positions - atoms.get_center_of_mass()
    for orbit in ([0, 1], [2, 3, 4, 5], [6, 7, 8, 9]):  # exact D2h
        centred[orbit] = np.abs(centred[orbit]).mean(axis=0) * np.sign([(*START[k], 0) for k in orbit])
    atoms.positions = centred
    return atoms


def hessian(atoms: Atoms, step: float = 0.005) -> np.ndarray:
    rows, start = [], atoms.positions.copy()
    for index in range(start.size):
        forces = []
        for sign in (1, -1):
            moved = start.copy()
            moved.flat[index] += sign * step
            atoms.positions = moved
            forces.append(atoms.get_forces().ravel())
        rows.append(-(forces[0] - forces[1]) / (2 * step))
    atoms.positions = start
    plain = np.array(rows)
    operations = [operation(start, np.array(signs)) for signs in product((1, -1), repeat=3)]
    return sum(each @ (plain + plain.T) / 2 @ each.T for each in operations) / len(operations)


def operation(positions: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The matrix that a reflection of coordinates is, atoms exchanged."""
    images = [int(np.linalg.norm(positions * signs - each, axis=1).argmin()) for each in positions]
    matrix = np.zeros((positions.size, positions.size))
    for atom, image in enumerate(images):
        matrix[3 * atom : 3 * atom + 3, 3 * image : 3 * image + 3] = np.diag(signs)
    return matrix


def without_rigid_motion(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Projector on the mass-weighted displacements that neither move nor turn the molecule."""
    roots = np.sqrt(masses)[:, None]
    rigid = [roots * axis for axis in np.eye(3)] + [roots * np.cross(axis, positions) for axis in np.eye(3)]
    basis, _ = np.linalg.qr(np.array(rigid).reshape(6, -1).T)
    return np.eye(len(basis)) - basis @ basis.T


def main() -> None:
    atoms = minimum()
    masses = atomic_masses[atoms.numbers]
    weights = np.repeat(masses, 3) ** -0.5
    inner = without_rigid_motion(atoms.positions, masses)
    dynamical = inner @ (hessian(atoms) * np.outer(weights, weights)) @ inner
    reflections = [operation(atoms.positions, np.array(signs)) for signs in ((-1, 1, 1), (1, -1, 1), (1, 1, -1))]
    labels, frequencies, modes = [], [], []
    for name, (parity, published) in PUBLISHED.items():
        projector = np.eye(len(dynamical))
        for sign, reflection in zip(parity, reflections):
            projector = projector @ (np.eye(len(dynamical)) + sign * reflection) / 2
        values, vectors = np.linalg.eigh(projector @ dynamical @ projector)
        energies = HBAR * np.sqrt(np.abs(values) / KINETIC)
        for number, index in enumerate(np.flatnonzero(energies > 0.01)):
            labels.append(NAMED.get((name, number), f"{name}-{number + 1}"))
            frequencies.append(published[number])
            modes.append(vectors[:, index] * np.sign(vectors[np.abs(vectors[:, index]).argmax(), index]))
            print(f"{labels[-1]:8s} published {published[number] / INVERSE_CM:7.0f} cm-1, "
                  f"GFN2-xTB {energies[index] / INVERSE_CM:7.0f} cm-1")
        assert number + 1 == len(published), name
    document = {
        "masses": masses.tolist(), "atomic_numbers": atoms.numbers.tolist(), "labels": labels, "frequencies": frequencies,
        "positions": atoms.positions.round(8).tolist(), "modes": np.array(modes).round(8).tolist(),
    }  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(document).replace("], ", "],\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
