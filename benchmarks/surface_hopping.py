"""Energy conservation and speed of surface hopping.

    python benchmarks/surface_hopping.py conservation    # pyrazine's vibronic coupling model, between hops
    python benchmarks/surface_hopping.py speed           # 200 trajectories of 6 atoms on a PaiNN of default size

Times are of the process, so other work on the machine changes them little. All ratios are of one run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from ase.build import molecule

from mlff.dynamics.namd import HoppingSettings, SurfaceHopping
from mlff.dynamics.namd.analytic import pyrazine
from mlff.dynamics.namd.ml import MLSurfaces
from mlff.models import model_config
from mlff.potential.potential import Potential, PotentialConfig
from mlff.units import BOLTZMANN, KINETIC


def conservation(count: int = 50, time_fs: float = 100.0) -> None:
    """RMS and drift of the total energy on one surface, from the vibrational ground state's positions and momenta."""
    potential = pyrazine()
    q, p = np.random.default_rng(0).normal(size=(2, count, 24)) * np.sqrt(0.5)
    print("timestep (fs)   RMS of the total energy (meV)   drift, mean of |slope| (meV/ps)")
    for timestep in (0.1, 0.2, 0.25, 0.5):
        dynamics = SurfaceHopping(potential, HoppingSettings(timestep=timestep, method="adiabatic"))
        swarm = dynamics.start(potential.positions(q), potential.velocities(p), 0)
        total = [swarm.total_energy]
        for _ in range(round(time_fs / timestep)):
            swarm = dynamics.step(swarm)
            total.append(swarm.total_energy)
        energies = 1e3 * np.array(total)
        slopes = np.polyfit(1e-3 * timestep * np.arange(len(total)), energies, 1)[0]
        rms = np.sqrt(((energies - energies.mean(axis=0)) ** 2).mean())
        print(f"{timestep:<15} {rms:<31.3f} {np.abs(slopes).mean():.3f}")


def speed(count: int = 200, steps: int = 10) -> None:
    """A step of all trajectories, the same work of the model alone, and a step of one trajectory."""
    torch.set_num_threads(1)
    for name, electronic in {"couplings learned": dict(couplings="interstate"), "diabatic": dict(surfaces="diabatic")}.items():
        step, model, single = times(electronic, count, steps)
        print(f"{name:18s} {count} trajectories: {1e3 * step:.0f} ms a step, the model alone {1e3 * model:.0f} ms "
              f"({100 * model / step:.0f} %); one trajectory {1e3 * single:.1f} ms: {count * single / step:.1f} times faster")


def times(electronic: dict[str, str], count: int, steps: int) -> tuple[float, float, float]:
    atoms, rng = molecule("C2H4"), np.random.default_rng(0)
    positions = atoms.positions + 0.03 * rng.normal(size=(count, len(atoms), 3))
    velocities = np.sqrt(BOLTZMANN * 300 / KINETIC / atoms.get_masses())[:, None] * rng.normal(size=positions.shape)
    torch.manual_seed(0)
    potential = Potential(PotentialConfig(model=model_config("painn"), num_states=3, species=(1, 6),
                                          atomic_energies={1: 0.0, 6: 0.0}, **electronic)).eval()  # fmt: skip
    surfaces = MLSurfaces(potential, atoms.numbers)
    dynamics = SurfaceHopping(surfaces)
    swarm, one = dynamics.start(positions, velocities, 2), dynamics.start(positions[:1], velocities[:1], 2)
    graph, states = surfaces._graph(torch.as_tensor(positions), potential.cutoff), torch.full((count,), 2)
    return (
        best(lambda: dynamics.step(swarm), steps),
        best(lambda: potential(graph, states=states, couplings=True, properties=False), steps),
        best(lambda: dynamics.step(one), 5 * steps),
    )


def best(function: Callable[[], object], repeats: int) -> float:
    """Shortest processor time of a call, s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    {"conservation": conservation, "speed": speed}[sys.argv[1]]()
