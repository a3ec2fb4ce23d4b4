"""Tully's three models: against exact quantum scattering, his published results, and the package mudslide."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from mlff.dynamics.namd import HoppingSettings, SurfaceHopping
from mlff.dynamics.namd.analytic import TullyModel
from mlff.units import ATOMIC_TIME, BOHR

from .wave_packet import scattered

COUNT = 200


def hopping(crossing, momenta, count=COUNT, *, start=-6.0, timestep=0.4, **settings):
    """Parts of trajectories transmitted and reflected in each state, for each momentum (atomic units)."""
    momenta = np.repeat(momenta, count)
    positions, velocities = np.zeros((2, len(momenta), 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = start * BOHR, momenta / 2000 * BOHR / ATOMIC_TIME
    options = dict(timestep=timestep, substeps=8, decoherence=None, seed=1) | settings
    dynamics = SurfaceHopping(TullyModel(crossing), HoppingSettings(**options))
    swarm = dynamics.start(positions, velocities, 0)
    for _ in range(3000):
        x, v = swarm.positions[:, 0, 0], swarm.velocities[:, 0, 0]
        outside = (np.abs(x) >= -start * BOHR) & (x * v > 0)
        if outside.all():
            break
        swarm = swarm if not outside.any() else swarm.with_rows(np.flatnonzero(outside), ended(swarm, outside))
        swarm = dynamics.step(swarm)
    right, upper = swarm.positions[:, 0, 0] > 0, swarm.active == 1
    parts = {"T0": right & ~upper, "T1": right & upper, "R0": ~right & ~upper, "R1": ~right & upper}
    return [{name: part.reshape(-1, count)[k].mean() for name, part in parts.items()} for k in range(len(momenta) // count)]


def ended(swarm, rows):
    chosen = swarm.select(rows)
    return replace(chosen, stopped=np.full(len(chosen), "outside", dtype=chosen.stopped.dtype))


def error(part, count=COUNT):
    """Three standard errors of a part of so many trajectories."""
    return 3 * np.sqrt(max(part * (1 - part), 0.5 / count) / count)


@pytest.mark.parametrize("couplings", ["model", "overlap"])
def test_the_simple_avoided_crossing_agrees_with_quantum_mechanics(couplings):
    """Tully 1990, figure 4: surface hopping follows the exact result from the threshold of the upper state on."""
    momenta = [12.0, 20.0, 30.0]
    for momentum, found in zip(momenta, hopping("simple", momenta, couplings=couplings)):
        exact = scattered(TullyModel("simple"), momentum)
        assert found["R0"] == found["R1"] == 0
        assert abs(found["T1"] - exact["T1"]) < error(exact["T1"]) + 0.04


def test_the_dual_avoided_crossing_oscillates_with_the_energy():
    """Figure 5: Stueckelberg oscillations, in the right places at high energy."""
    momenta = [20.0, 30.0, 55.0]
    found = hopping("dual", momenta, start=-8.0, timestep=0.2)
    exact = [scattered(TullyModel("dual"), momentum) for momentum in momenta]
    for one, other in zip(found[1:], exact[1:]):
        assert abs(one["T1"] - other["T1"]) < error(other["T1"]) + 0.06
    assert found[1]["T1"] > found[0]["T1"] + 0.3 and found[1]["T1"] > found[2]["T1"] + 0.3


def test_the_extended_coupling_reflects_below_the_upper_threshold_and_not_above():
    """Figure 6: up to k = 28 the upper state is closed on the right and what goes there comes back; above it passes."""
    below, above = hopping("extended", [15.0, 32.0], start=-8.0)
    assert below["T1"] == 0 and 0.1 < below["R0"] + below["R1"] < 0.6
    assert above["R0"] + above["R1"] < 0.05 and above["T1"] > 0.2
    assert abs(below["T0"] + below["R0"] + below["R1"] - 1) < 1e-12


def test_below_its_threshold_the_upper_state_of_the_simple_crossing_stays_empty():
    (found,) = hopping("simple", [8.0], count=60)
    assert found["T1"] == found["R1"] == 0 and found["T0"] > 0.95


def test_landau_zener_and_curvature_find_the_simple_crossing_too():
    exact = scattered(TullyModel("simple"), 20.0)["T1"]
    (by_gap,) = hopping("simple", [20.0], method="lz")
    (by_curvature,) = hopping("simple", [20.0], couplings="curvature", rescale="momentum")
    assert abs(by_gap["T1"] - exact) < 0.15
    assert 0.1 < by_curvature["T1"] < exact + error(exact)  # energies alone know of no coupling before the gap curves


@pytest.mark.parametrize(("crossing", "momentum"), [("simple", 16.0), ("dual", 30.0), ("extended", 10.0)])
def test_mudslide_scatters_as_we_do(crossing, momentum):
    pytest.importorskip("mudslide")
    scattering_models = importlib.import_module("mudslide.models.scattering_models")
    hopper = importlib.import_module("mudslide.surface_hopping_md").SurfaceHoppingMD

    names = {"simple": "TullySimpleAvoidedCrossing", "dual": "TullyDualAvoidedCrossing",
             "extended": "TullyExtendedCouplingReflection"}  # fmt: skip
    model, count, parts = getattr(scattering_models, names[crossing])(), 40, dict.fromkeys(("T0", "T1", "R0", "R1"), 0.0)
    start = -6.0 if crossing == "simple" else -8.0
    for seed in range(count):
        run = hopper(model, [start], [momentum / 2000], 0, dt=10.0, bounds=[[start - 0.5], [-start + 0.5]],
                     seed_sequence=seed, max_time=1e6, trace_every=10**6)
        run.simulate()
        parts[f"{'T' if run.position[0] > 0 else 'R'}{run.state}"] += 1 / count
    (found,) = hopping(crossing, [momentum], start=start, timestep=0.2)
    for name, part in parts.items():
        middle = 0.5 * (part + found[name])
        assert abs(part - found[name]) < np.hypot(error(middle, count), error(middle))
