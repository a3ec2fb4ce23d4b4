"""Trained potentials as surfaces: batches, pairs, committees, and surface hopping on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal

from mlff.dynamics.namd import HoppingSettings, SurfaceHopping
from mlff.dynamics.namd.ml import MLSurfaces
from mlff.graph import build_graph
from mlff.models import model_config
from mlff.potential.potential import Potential, PotentialConfig
from mlff.units import BOLTZMANN, KINETIC

ATOMS = molecule("H2CO")
ELEMENTS = {1: 0.0, 6: 0.0, 8: 0.0}


def fresh(seed=0, num_states=3, **electronic):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_config("painn", num_features=16, num_layers=2, cutoff=3.0)
        config = PotentialConfig(model=model, species=tuple(ELEMENTS), atomic_energies=ELEMENTS, scale=0.5,
                                 num_states=num_states, **electronic)  # fmt: skip
        return Potential(config).double().eval()


SPINS = dict(num_states=4, multiplicities=(1, 1, 3, 3), soc_pairs=((0, 2), (1, 2), (1, 3)))
KINDS = {"diabatic": dict(surfaces="diabatic"), "interstate": dict(couplings="interstate"), "direct": dict(couplings="direct"),
         "spins": SPINS | dict(couplings="interstate"), "energies": {}}  # fmt: skip


def geometries(count, seed=0):
    rng = np.random.default_rng(seed)
    positions = ATOMS.positions + 0.05 * rng.normal(size=(count, len(ATOMS), 3))
    width = np.sqrt(BOLTZMANN * 500 / KINETIC / ATOMS.get_masses())
    return positions, width[:, None] * rng.normal(size=positions.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_the_potential_gives_of_each_structure(kind):
    potential = fresh(**KINDS[kind])
    surfaces = MLSurfaces(potential, ATOMS.numbers)
    positions, _ = geometries(5)
    states = np.arange(5) % potential.num_states
    found = surfaces.surfaces(positions, states, couplings=True)
    for k, state in enumerate(states):
        graph = build_graph(positions[k], ATOMS.numbers, potential.cutoff)
        single = potential(graph, couplings=bool(potential.config.nac_pairs))
        assert_allclose(found.energies[k], single["energy"][0], atol=1e-12)
        assert_allclose(found.forces[k], single["forces"][:, state], atol=1e-10)
        pairs = list(zip(*np.triu_indices(potential.num_states, 1)))
        for p, (i, j) in enumerate(pairs):
            if (i, j) in potential.config.nac_pairs:
                learned = single["nac"][:, potential.config.nac_pairs.index((i, j))]
                assert_allclose(found.nac[k, :, p], learned, rtol=1e-6, atol=1e-9)
            elif found.nac is not None:
                assert not found.nac[:, :, p].any()
            if (i, j) in potential.config.soc_pairs:
                assert_allclose(found.soc_magnitude[k, p], single["soc_magnitude"][0, potential.config.soc_pairs.index((i, j))])
    assert (found.nac is None) == (kind == "energies")
    assert (found.eigenvectors is not None) == (kind == "diabatic")


def test_small_batches_give_the_same_and_structures_that_are_not_finite_give_nan():
    potential = fresh(surfaces="diabatic")
    positions, _ = geometries(7)
    whole = MLSurfaces(potential, ATOMS.numbers).surfaces(positions, np.zeros(7, dtype=int), couplings=True)
    positions[2, 1] = np.nan
    parts = MLSurfaces(potential, ATOMS.numbers, batch_size=3).surfaces(positions, np.zeros(7, dtype=int), couplings=True)
    good = np.arange(7) != 2
    assert np.isnan(parts.energies[2]).all() and np.isnan(parts.forces[2]).all()
    for name in ("energies", "forces", "nac", "eigenvectors"):
        assert_allclose(getattr(parts, name)[good], getattr(whole, name)[good], atol=1e-9)


def test_a_committee_is_the_mean_of_its_members():
    members = [fresh(seed, couplings="interstate") for seed in (1, 2, 3)]
    positions, _ = geometries(4)
    states = np.array([0, 1, 2, 0])
    single = [MLSurfaces(each, ATOMS.numbers).surfaces(positions, states, couplings=True) for each in members]
    found = MLSurfaces(members, ATOMS.numbers).surfaces(positions, states, couplings=True)
    assert_allclose(found.energies, np.mean([each.energies for each in single], axis=0))
    forces = np.array([each.forces for each in single])
    assert_allclose(found.forces, forces.mean(axis=0))
    spread = np.sqrt(forces.var(axis=0, ddof=1).sum(axis=2)).max(axis=1)
    assert_allclose(found.disagreement, spread)
    assert_allclose(np.abs(found.nac), np.abs(with_signs(single)), atol=1e-12)
    settings = HoppingSettings(max_disagreement=float(spread.min() / 2))
    dynamics = SurfaceHopping(MLSurfaces(members, ATOMS.numbers), settings)
    stopped = dynamics.step(dynamics.start(positions, np.zeros_like(positions), states))
    assert all("committee's forces deviate" in reason for reason in stopped.stopped)


def with_signs(single):
    """The mean of the members' couplings over the best of all choices of signs, which three states allow to try."""
    result = np.zeros_like(single[0].nac)
    for each in single:
        choices = [each.nac * np.array([a, b, a * b])[:, None] for a in (1, -1) for b in (1, -1)]
        fit = np.array([(single[0].nac * choice).sum(axis=(1, 3)).sum(axis=1) for choice in choices])
        result += np.array(choices)[fit.argmax(axis=0), np.arange(len(result))]
    return result / len(single)


@pytest.mark.parametrize(("kind", "couplings"), [("diabatic", "overlap"), ("interstate", "model"), ("energies", "curvature")])
def test_surface_hopping_on_a_potential_conserves_the_energy(kind, couplings):
    potential = fresh(**KINDS[kind])
    dynamics = SurfaceHopping(MLSurfaces(potential, ATOMS.numbers), HoppingSettings(timestep=0.1, couplings=couplings))
    positions, velocities = geometries(6)
    swarm = first = dynamics.start(positions, velocities, 2)
    for _ in range(40):
        swarm = dynamics.step(swarm)
    assert swarm.running.all()
    assert np.abs(swarm.total_energy - first.total_energy).max() < 1e-3
    assert_allclose(swarm.populations.sum(axis=1), 1, atol=1e-12)


def test_dtype_is_chosen_without_touching_the_callers_potential():
    potential = fresh().float()
    potential.train()
    surfaces = MLSurfaces(potential, ATOMS.numbers, dtype="float64")
    assert surfaces.members[0].dtype == torch.float64
    assert potential.dtype == torch.float32 and potential.training
    assert_array_equal(surfaces.masses, ATOMS.get_masses())


def test_what_does_not_fit_is_refused_in_words():
    potential = fresh()
    with pytest.raises(ValueError, match=r"not trained on the elements \[7\]"):
        MLSurfaces(potential, [7, 1])
    with pytest.raises(ValueError, match="differ in their states or couplings"):
        MLSurfaces([potential, fresh(num_states=2)], ATOMS.numbers)
    with pytest.raises(ValueError, match="give one an atom"):
        MLSurfaces(potential, ATOMS.numbers, masses=np.ones(3))
    with pytest.raises(ValueError, match="use couplings='curvature'"):
        SurfaceHopping(MLSurfaces(potential, ATOMS.numbers)).start(*geometries(2), 0)


@pytest.mark.parametrize("members", [1, 2])
def test_spin_orbit_magnitudes_move_amplitude_where_nothing_needs_coupling_vectors(members):
    """Curvature and rescaling along the momentum ask for no coupling vector at any step; hops between spins still happen."""
    potentials = [fresh(seed, **KINDS["spins"]) for seed in range(members)]
    surfaces = MLSurfaces(potentials, ATOMS.numbers)
    populations = {}
    for spin_hops in (True, False):
        settings = HoppingSettings(couplings="curvature", rescale="momentum", spin_hops=spin_hops, decoherence=None)
        dynamics = SurfaceHopping(surfaces, settings)
        swarm = dynamics.step(dynamics.start(*geometries(3), 1))
        assert swarm.surfaces.nac is None and (swarm.surfaces.soc_magnitude[:, [1, 3, 4]] > 0).all()
        populations[spin_hops] = swarm.populations[:, 2:].sum(axis=1)
    assert (populations[True] > 1e-7).all() and (populations[False] == 0).all()
