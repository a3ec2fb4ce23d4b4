"""Populations in equilibrium with a thermostat are those of Boltzmann."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlff.dynamics.namd import HoppingSettings, SurfaceHopping
from mlff.dynamics.namd.analytic import TwoLevelChain
from mlff.units import BOLTZMANN, KINETIC


def test_two_levels_on_a_chain_reach_the_populations_of_boltzmann():
    """Schmidt, Parandekar and Tully 2008. The last atom has a Langevin thermostat, in steps of its own between ours.

    Coupled twice as strongly as there, the populations forget their start within 150 fs.
    """
    chain, count, steps, timestep, friction, temperature = TwoLevelChain(5, coupling=-12.0), 300, 1600, 0.25, 0.1, 1200.0
    rng = np.random.default_rng(3)
    width = np.sqrt(BOLTZMANN * temperature / (12 * KINETIC))
    kept = np.exp(-friction * timestep)
    stiffness = 2 * 175 * 0.010364269656262175 * 16  # eV/angstrom^2
    stretches = np.sqrt(BOLTZMANN * temperature / stiffness) * rng.normal(size=(count, 5))
    positions, velocities = np.zeros((2, count, 5, 3))
    positions[:, :, 0], velocities[:, :, 0] = np.cumsum(stretches, axis=1), width * rng.normal(size=(count, 5))
    expected = 1 / (1 + np.exp(chain.gap / (BOLTZMANN * temperature)))
    dynamics = SurfaceHopping(chain, HoppingSettings(timestep=timestep, substeps=1, decoherence=None))
    swarm = dynamics.start(positions, velocities, 0)  # far from equilibrium: all in the lower state
    excited, kinetic = [], []
    for step in range(steps):
        swarm = dynamics.step(swarm)
        after = swarm.velocities.copy()
        after[:, -1, 0] = kept * after[:, -1, 0] + np.sqrt(1 - kept**2) * width * rng.normal(size=count)
        swarm = replace(swarm, velocities=after)
        if step >= 600:
            excited.append((swarm.active == 1).mean())
            kinetic.append(swarm.kinetic_energy.mean())
    assert np.mean(kinetic) / (2.5 * BOLTZMANN * temperature) == pytest.approx(1, abs=0.04)
    assert np.mean(excited) == pytest.approx(expected, rel=0.1)
