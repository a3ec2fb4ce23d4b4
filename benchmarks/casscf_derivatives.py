"""Forces and couplings of CASSCF in one pass beside PySCF's own calls: python benchmarks/casscf_derivatives.py [--basis 6-31G*]

One gradient and the couplings of all pairs of three states of CH2NH2+, in seconds of processor time of one core, and the
largest difference of the two ways.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mlff.dynamics.namd import state_pairs
from mlff.dynamics.namd.casscf import CASSCFSurfaces
from mlff.dynamics.namd.casscf_derivatives import Derivatives

PLANAR = [[0, 0, 0], [0, 0, 1.28], [0.94, 0, -0.54], [-0.94, 0, -0.54], [0.87, 0, 1.79], [-0.87, 0, 1.79]]  # angstrom


def main() -> None:
    """Time both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--basis", default="6-31G*")
    basis = parser.parse_args().basis

    import pyscf

    pyscf.lib.num_threads(1)
    potential = CASSCFSurfaces([6, 7, 1, 1, 1, 1], np.array(PLANAR), basis=basis, charge=1, num_states=3,
                               active_electrons=6, active_orbitals=[5, 6, 7, 8, 9])  # fmt: skip
    bent = np.array(PLANAR) + 0.03 * np.random.default_rng(0).normal(size=(6, 3))
    start = time.process_time()
    solver = potential._solved(bent)
    print(f"{potential.level_of_theory}, {solver.mol.nao} basis functions: wave function {time.process_time() - start:.2f} s")

    pairs = list(state_pairs(3))
    start = time.process_time()
    gradients, couplings = Derivatives(solver)([1], pairs)
    print(f"one pass: {time.process_time() - start:.2f} s")

    start = time.process_time()
    gradient, coupling = solver.nuc_grad_method(), solver.nac_method()
    gradient_of_pyscf = gradient.kernel(state=1)
    couplings_of_pyscf = [coupling.kernel(state=(j, i), use_etfs=True, mult_ediff=True) for i, j in pairs]
    print(f"PySCF's calls: {time.process_time() - start:.2f} s")
    difference = max(np.abs(gradients[0] - gradient_of_pyscf).max(), np.abs(couplings - np.stack(couplings_of_pyscf)).max())
    print(f"largest difference: {difference:.1e} hartree/bohr")


if __name__ == "__main__":
    main()
