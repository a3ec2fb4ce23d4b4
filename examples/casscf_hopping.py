"""Surface hopping of CH2NH2+ on the fly: python examples/casscf_hopping.py [--trajectories 10 --time 100 --basis 6-31G*]

State-averaged CASSCF of PySCF (`pip install "mlff[pyscf]"`) drives the trajectories: forces of the active state and the
couplings of all pairs of states at every step. What it writes is a run of `mlff namd`: OUT/trajectories.h5, a native data
file that grows, can be read meanwhile, and is what `mlff train --nac` learns from. Without options it is a short try in a
small basis; with those above it made the set inside the package (`mlff.datasets.ch2nh2()`; docs/ch2nh2.md), a step of a
trajectory taking a second of one core. A run that was stopped goes on with --resume; --first-trajectory 10 adds more, in
another folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mlff.dynamics import run_namd
from mlff.dynamics.namd import HoppingSettings
from mlff.dynamics.namd.advance import Progress
from mlff.dynamics.namd.casscf import CASSCFSurfaces
from mlff.dynamics.namd.initial import InitialConditions, from_minimum

ATOMS = [6, 7, 1, 1, 1, 1]
PLANAR = [[0, 0, 0], [0, 0, 1.28], [0.94, 0, -0.54], [-0.94, 0, -0.54], [0.87, 0, 1.79], [-0.87, 0, 1.79]]  # angstrom
ACTIVE = [5, 6, 7, 8, 9]  # Hartree-Fock orbitals, to become sigma of CN, sigma of CH2, pi, pi*, sigma* of CN


def main() -> None:
    """Read the options, start or go on, tell how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trajectories", type=int, default=1)
    parser.add_argument("--first-trajectory", type=int, default=0)
    parser.add_argument("--time", type=float, default=2.0, help="fs")
    parser.add_argument("--start-state", type=int, default=2, help="counted from 0; 2 is the bright pi pi* state")
    parser.add_argument("--temperature", type=float, default=300.0, help="of Wigner's distribution, K")
    parser.add_argument("--basis", default="STO-3G")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument("-o", "--out", type=Path, default=Path("ch2nh2"))
    options = parser.parse_args()

    potential = CASSCFSurfaces(
        ATOMS, np.array(PLANAR), basis=options.basis, charge=1, num_states=3, active_electrons=6, active_orbitals=ACTIVE,
        memory=options.out.with_name(f"{options.out.name}.orbitals.npz"),
    )  # fmt: skip

    told = [0, 0]

    def show(progress: Progress) -> None:
        for reason in potential.failures[told[0] :]:
            print(f"a geometry failed: {reason}")
        for _, overlap in potential.exchanges[told[1] :]:
            print(f"an active orbital was exchanged for another (overlap {overlap:.2f})")
        told[:] = len(potential.failures), len(potential.exchanges)
        states = " ".join(f"S{state}:{count}" for state, count in enumerate(progress.counts))
        print(f"{progress.step * 0.5:7.1f} fs  running {progress.running}  {states}  hops {progress.hops}", flush=True)

    if options.resume:
        run = run_namd(potential, out=options.out, time=options.time, resume=True, callback=show)
    else:
        drawn = from_minimum(
            potential, np.array(PLANAR), distribution="wigner", temperature=options.temperature,
            number=options.first_trajectory + options.trajectories, start_state=options.start_state, seed=options.seed,
        )  # fmt: skip
        chosen = slice(options.first_trajectory, None)
        initial = InitialConditions(drawn.positions[chosen], drawn.velocities[chosen], drawn.states[chosen],
                                    drawn.source)  # fmt: skip
        print(initial.source, flush=True)
        run = run_namd(
            potential, initial, out=options.out, time=options.time, first=options.first_trajectory, callback=show,
            settings=HoppingSettings(timestep=0.5, max_energy_jump=0.2, seed=options.seed),
            about={"level_of_theory": potential.level_of_theory, "program": potential.program, "charge": potential.charge},
        )  # fmt: skip
    for number, step, reason in zip(run.swarm.trajectories, run.swarm.steps, run.swarm.stopped, strict=True):
        print(f"trajectory {number}: {step * 0.5:.1f} fs{'' if not reason else ', stopped: ' + reason}")
    print(f"written to {run.folder.trajectories}")


if __name__ == "__main__":
    main()
