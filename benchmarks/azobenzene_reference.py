"""Minima, vibrations and torsion of azobenzene with GFN2-xTB: python benchmarks/azobenzene_reference.py

Writes azobenzene_reference.json beside this file, which azobenzene_trial.py compares models with; tblite is needed
(pip install "mlff[reference]"). The two minima of examples/structures are relaxed on to 1e-4 eV/Å; their Hessians are
central differences of forces, +-0.005 Å; the torsion CNNC is scanned in steps of 10 degrees, everything else relaxed, once
from each minimum, and the lower of the two energies is kept: a scan in one direction drags the rings' twist of its start along.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixInternals
from ase.io import read
from ase.optimize import BFGS

from mlff.dynamics import normal_modes, run_relaxation

HERE = Path(__file__).parent
STRUCTURES = HERE.parent / "examples/structures"
REFERENCE = HERE / "azobenzene_reference.json"
ISOMERS = ("trans", "cis")
CNNC = (5, 6, 7, 8)
SECOND_HALF = (7, 8, 9, 10, 11, 12, 13, 19, 20, 21, 22, 23)
ANGLES = tuple(range(0, 181, 10))
"""|CNNC| in degrees; the isomers in examples/structures have it on the negative side."""
STEP = 0.005
"""Å."""


def isomer_structure(isomer: str) -> Atoms:
    """GFN2-xTB's minimum of an isomer."""
    return read(STRUCTURES / f"{isomer}.xyz")


def minimum(isomer: str, calculator: Any, fmax: float = 1e-4) -> Atoms:
    """The minimum that the calculator has near GFN2-xTB's, with the calculator."""
    atoms = isomer_structure(isomer)
    atoms.calc = calculator
    return run_relaxation(atoms, fmax=fmax, steps=3000).atoms


def torsion_scan(minima: dict[str, Atoms], calculator: Any, fmax: float = 0.01) -> list[float]:
    """Energy at each of ANGLES, eV, the rest relaxed; the lower one of the scans from trans and from cis.

    A relaxation may slide along the inversion at a nitrogen until C-N-N is straight, where the torsion is not defined: such an
    angle is left to the other scan.

    Raises:
        ValueError: at an angle both scans end so.
    """
    found = []
    for isomer, angles in (("trans", ANGLES[::-1]), ("cis", ANGLES)):
        last = minima[isomer]
        energies = {}
        for angle in angles:
            atoms = last.copy()
            atoms.set_constraint()
            atoms.set_dihedral(*CNNC, -angle, indices=SECOND_HALF)
            atoms.set_constraint(FixInternals(dihedrals_deg=[[-angle % 360, list(CNNC)]]))
            atoms.calc = calculator
            try:
                BFGS(atoms, logfile=None).run(fmax=fmax, steps=300)
            except ValueError:  # of FixInternals
                energies[angle] = np.inf
                continue
            energies[angle] = float(atoms.get_potential_energy())
            last = atoms
        found.append([energies[angle] for angle in ANGLES])
    lowest = np.min(found, axis=0)
    if not np.isfinite(lowest).all():
        nowhere = [angle for angle, energy in zip(ANGLES, lowest) if not np.isfinite(energy)]
        raise ValueError(f"neither scan has a structure at {nowhere} degrees")
    return lowest.tolist()


def difference_hessian(atoms: Atoms) -> np.ndarray:
    """Second derivatives from central differences of the forces, eV/Å^2 ``[3N, 3N]``."""
    rows = []
    for index in range(3 * len(atoms)):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions.flat[index] += sign * STEP
            forces.append(moved.get_forces().ravel())
        rows.append((forces[1] - forces[0]) / (2 * STEP))
    second = np.array(rows)
    return 0.5 * (second + second.T)


def main() -> None:
    from tblite.ase import TBLite

    calculator = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)
    minima = {isomer: minimum(isomer, calculator) for isomer in ISOMERS}
    result: dict[str, Any] = {"method": "GFN2-xTB", "isomers": {}}
    for isomer, atoms in minima.items():
        modes = normal_modes(difference_hessian(atoms), atoms.get_masses(), atoms.positions)
        result["isomers"][isomer] = {
            "energy_eV": float(atoms.get_potential_energy()),
            "positions_A": atoms.positions.round(6).tolist(),
            "frequencies_per_cm": modes.frequencies.round(2).tolist(),
        }
        print(f"{isomer}: {atoms.get_potential_energy():.5f} eV, lowest frequencies {modes.frequencies[:4].round(1)} 1/cm")
    result["torsion"] = {"angles_degrees": list(ANGLES), "energies_eV": torsion_scan(minima, calculator)}
    lowest = min(result["torsion"]["energies_eV"])
    print("torsion: " + ", ".join(f"{a} {e - lowest:.3f}" for a, e in zip(ANGLES, result["torsion"]["energies_eV"])))
    REFERENCE.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
