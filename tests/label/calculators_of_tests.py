"""Calculators that misbehave, for workers to import by name."""

import os
import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT


class Spring(Calculator):
    """One spring of 1 eV/angstrom^2 between every atom and the origin; the charge is added to the energy.

    It has no result for structures of two atoms, ends its process for three, gives NaN for five, and waits `delay` seconds.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(self, delay=0.0, charge=0, **settings):
        super().__init__(**settings)
        self.delay, self.charge = delay, charge

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        time.sleep(self.delay)
        print("chatter that must not reach anyone")
        if len(atoms) == 2:
            raise RuntimeError("the SCF did not\nconverge")
        if len(atoms) == 3:
            os._exit(7)
        positions = atoms.get_positions()
        energy = 0.5 * float((positions**2).sum()) + self.charge
        self.results = {"energy": np.nan if len(atoms) == 5 else energy, "forces": -positions}


class Warm(EMT):
    """EMT whose free energy differs from its energy, as with an electronic temperature."""

    def calculate(self, *arguments, **more):
        super().calculate(*arguments, **more)
        self.results["free_energy"] = self.results["energy"] - 1.0


def threads():
    """A calculator that tells the number of threads as its energy."""
    return Spring(charge=int(os.environ["OMP_NUM_THREADS"]))


NUMBER = 3
