"""Energy of azobenzene along its CNNC torsion, everything else relaxed: python examples/torsion_scan.py

Shows an ASE constraint at work. Trust the barrier least: few frames of the training set are near 90 degrees.
"""

from pathlib import Path

from ase.constraints import FixInternals
from ase.io import read
from ase.optimize import BFGS

from mlff import MLFFCalculator

CNNC = (5, 6, 7, 8)
SECOND_HALF = [7, 8, 9, 10, 11, 12, 13, 19, 20, 21, 22, 23]  # turns with the second nitrogen

atoms = read(Path(__file__).parent / "structures" / "trans.xyz")
calculator = MLFFCalculator("azobenzene-painn")
energies = {}
for angle in range(180, -1, -30):
    atoms.set_constraint()
    atoms.set_dihedral(*CNNC, angle, indices=SECOND_HALF)
    atoms.set_constraint(FixInternals(dihedrals_deg=[[angle, list(CNNC)]]))
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=100)
    energies[angle] = atoms.get_potential_energy()

lowest = min(energies.values())
for angle, energy in energies.items():
    print(f"{angle:4d} degrees  {energy - lowest:6.3f} eV")
