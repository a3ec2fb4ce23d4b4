"""Surface hopping as a whole: conservation, reversal, signs, crossings, frustration, stopping and going on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mlff.dynamics.namd import HoppingSettings, SurfaceHopping, load_swarm, save_swarm
from mlff.dynamics.namd.analytic import TullyModel, TwoLevelChain, pyrazine
from mlff.dynamics.namd.electronic import HBAR
from mlff.dynamics.namd.swarm import FRUSTRATED, HOP
from mlff.units import KINETIC

from .potentials import CrossingLines, Failing, SpinCrossing, TurnedSigns, three_states, zero_point


def run(potential, start, states, steps, **settings):
    dynamics = SurfaceHopping(potential, HoppingSettings(**settings))
    swarms = [dynamics.start(*start, states)]
    for _ in range(steps):
        swarms.append(dynamics.step(swarms[-1]))
    return swarms


@pytest.fixture(scope="module")
def molecule():
    return pyrazine()


@pytest.fixture(scope="module")
def start(molecule):
    return zero_point(molecule, 12)


def test_energy_errors_fall_fourfold_when_the_timestep_halves(molecule, start):
    errors = []
    for timestep in (0.4, 0.2, 0.1):
        swarms = run(molecule, start, 0, round(20 / timestep), timestep=timestep, method="adiabatic")
        total = np.array([swarm.total_energy for swarm in swarms])
        errors.append(np.sqrt(((total - total.mean(axis=0)) ** 2).mean()))
    assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 4, rtol=0.1)


def test_total_energy_is_conserved_through_hops(molecule, start):
    for settings in (dict(couplings="model"), dict(couplings="curvature", rescale="momentum"), dict(method="lz")):
        swarms = run(molecule, start, 1, 240, timestep=0.1, **settings)
        assert sum((swarm.hop == HOP).sum() for swarm in swarms) >= 8
        total = np.array([swarm.total_energy for swarm in swarms])
        assert np.abs(total - total[0]).max() < 2e-3  # eV, that of velocity Verlet at this timestep


def test_motion_without_hops_is_reversible(molecule, start):
    last = run(molecule, start, 1, 100, method="adiabatic")[-1]
    back = run(molecule, (last.positions, -last.velocities), 1, 100, method="adiabatic")[-1]
    assert_allclose(back.positions, start[0], atol=1e-10)
    assert_allclose(back.velocities, -start[1], atol=1e-10)


@pytest.mark.parametrize("couplings", ["model", "overlap", "curvature"])
@pytest.mark.parametrize("states", [2, 3])
def test_random_signs_of_the_states_change_nothing(couplings, states):
    potential = pyrazine(all_modes=False) if states == 2 else three_states()
    conditions = zero_point(potential, 10, seed=5)
    same = [run(each, conditions, states - 1, 120, couplings=couplings, timestep=0.25, substeps=5)
            for each in (potential, TurnedSigns(potential, 1), TurnedSigns(potential, 2))]  # fmt: skip
    assert sum((swarm.hop == HOP).sum() for swarm in same[0]) >= 4
    for plain, *turned in zip(*same):
        for other in turned:
            assert_array_equal(plain.active, other.active)
            assert_allclose(plain.positions, other.positions, atol=1e-10)
            assert_allclose(plain.populations, other.populations, atol=1e-9)


def test_random_signs_change_nothing_without_eigenvectors_either():
    potential = three_states()
    conditions = zero_point(potential, 10, seed=5)
    one, other = (run(TurnedSigns(potential, seed, eigenvectors=False), conditions, 2, 150, timestep=0.1, substeps=3)
                  for seed in (1, 2))  # fmt: skip
    assert_array_equal([swarm.active for swarm in one], [swarm.active for swarm in other])
    assert_allclose(one[-1].populations, other[-1].populations, atol=1e-9)
    # Followed by scalar products of coupling vectors or by eigenvectors, the signs are the same here.
    known = run(potential, conditions, 2, 150, timestep=0.1, substeps=3)
    assert np.mean([(a.active == b.active).mean() for a, b in zip(one, known)]) > 0.95


def test_a_trajectory_is_the_same_alone_and_in_any_batch(molecule, start):
    whole = run(molecule, start, 1, 120)[-1]
    dynamics = SurfaceHopping(molecule)
    for rows in ([3], [11, 3, 7]):
        swarm = dynamics.start(start[0][rows], start[1][rows], 1, trajectories=np.array(rows))
        for _ in range(120):
            swarm = dynamics.step(swarm)
        assert_array_equal(swarm.active, whole.active[rows])
        assert_allclose(swarm.positions, whole.positions[rows], atol=1e-9)
        assert_allclose(swarm.coefficients, whole.coefficients[rows], atol=1e-8)


@pytest.mark.parametrize("couplings", ["model", "overlap", "curvature"])
def test_a_stored_swarm_goes_on_to_the_last_bit(molecule, start, tmp_path, couplings):
    settings = HoppingSettings(couplings=couplings)
    dynamics = SurfaceHopping(molecule, settings)
    swarm = dynamics.start(*start, 1)
    for step in range(80):
        if step == 40:
            save_swarm(tmp_path / "swarm.npz", swarm, settings)
        swarm = dynamics.step(swarm)
    again, stored = load_swarm(tmp_path / "swarm.npz")
    assert stored == settings
    anew = SurfaceHopping(pyrazine(), stored)
    for _ in range(40):
        again = anew.step(again)
    for name in ("positions", "velocities", "coefficients", "active", "history", "hop", "steps"):
        assert_array_equal(getattr(again, name), getattr(swarm, name))
    assert_array_equal(again.surfaces.eigenvectors, swarm.surfaces.eigenvectors)


def test_a_state_file_that_is_missing_or_damaged_is_refused(tmp_path, molecule, start):
    with pytest.raises(ValueError, match="does not exist"):
        load_swarm(tmp_path / "none.npz")
    path = tmp_path / "swarm.npz"
    save_swarm(path, SurfaceHopping(molecule).start(*start, 1), HoppingSettings())
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content[:5000] + b"x" + content[5001:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be read"):
            load_swarm(path)


@pytest.mark.parametrize("couplings", ["model", "overlap"])
def test_states_that_cross_unseen_are_followed(couplings):
    """Two lines that hardly couple: the atom stays on its own, which is the upper state after the crossing."""
    potential = CrossingLines([0.5, -0.5, 3.0], coupling=1e-7)
    positions, velocities = np.zeros((3, 1, 3)), np.zeros((3, 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = [-0.2, -0.201, -0.21], 0.05
    swarms = run(potential, (positions, velocities), 1, 20, couplings=couplings, timestep=0.5)
    # Left of the origin the order is (3 x, x/2, -x/2); right of it (-x/2, x/2, 3 x): the atom keeps its slope.
    line = np.array([swarm.potential_energy - 0.5 * swarm.positions[:, 0, 0] for swarm in swarms])
    assert np.abs(line).max() < 1e-6
    total = np.array([swarm.total_energy for swarm in swarms])
    assert np.abs(total - total[0]).max() < 1e-6
    assert_allclose(swarms[-1].populations[np.arange(3), swarms[-1].active], 1, atol=1e-6)
    two = CrossingLines([0.5, -0.5], coupling=1e-7)
    last = run(two, (positions, velocities), 0, 20, couplings=couplings, timestep=0.5)
    assert (last[-1].active == 1).all() and (last[0].active == 0).all()
    assert sum((swarm.hop == HOP).sum() for swarm in last) == 3


@pytest.mark.parametrize("couplings", ["model", "overlap"])
def test_passing_an_avoided_crossing_has_the_probability_of_landau_and_zener(couplings):
    coupling, slope, speed, count = 0.03, 1.0, 0.05, 300
    potential = CrossingLines([slope, -slope], coupling, mass=500.0)
    positions, velocities = np.zeros((count, 1, 3)), np.zeros((count, 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = -0.6, speed
    last = run(potential, (positions, velocities), 0, 48, couplings=couplings, substeps=10, decoherence=None)[-1]
    expected = np.exp(-2 * np.pi * coupling**2 / (HBAR * 2 * slope * speed))
    assert abs((last.active == 1).mean() - expected) < 3 * np.sqrt(expected * (1 - expected) / count) + 0.01
    assert abs(last.populations[:, 1].mean() - expected) < 0.05


def test_spin_orbit_magnitudes_lead_to_hops_between_multiplicities():
    spin_orbit, slope, speed, count = 0.02, 1.0, 0.03, 300
    positions, velocities = np.zeros((count, 1, 3)), np.zeros((count, 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = -0.5, speed
    last = run(SpinCrossing(slope, spin_orbit, mass=800.0), (positions, velocities), 0, 68, substeps=10, decoherence=None)[-1]
    expected = 1 - np.exp(-2 * np.pi * spin_orbit**2 / (HBAR * 2 * slope * speed))
    assert abs(last.populations[:, 1].mean() - expected) < 0.05
    assert abs((last.active == 1).mean() - expected) < 0.1
    forbidden = run(SpinCrossing(slope, spin_orbit), (positions, velocities), 0, 68, spin_hops=False, substeps=2)[-1]
    assert (forbidden.active == 0).all()
    assert_allclose(forbidden.populations[:, 0], 1, atol=1e-13)


@pytest.mark.parametrize("frustrated", ["keep", "reverse", "gradient"])
def test_hops_without_enough_energy_do_not_happen(frustrated):
    chain = TwoLevelChain(3, gap=2.0, coupling=-300.0)
    rng = np.random.default_rng(0)
    velocities = np.zeros((40, 3, 3))
    velocities[:, :, 0] = 0.005 * rng.normal(size=(40, 3))
    swarms = run(chain, (np.zeros((40, 3, 3)), velocities), 0, 60, timestep=0.1, frustrated=frustrated, decoherence=None)
    assert all((swarm.active == 0).all() for swarm in swarms)
    assert sum((swarm.hop == FRUSTRATED).sum() for swarm in swarms) > 20
    total = np.array([swarm.total_energy for swarm in swarms])
    assert np.abs(total - total[0]).max() < 1e-4
    turned = kept = 0
    for before, after in zip(swarms, swarms[1:]):
        rows = after.hop == FRUSTRATED  # a reversal is far more than a step's acceleration
        drift = after.velocities[rows, 0, 0] * before.velocities[rows, 0, 0]
        turned += (drift < 0).sum()
        kept += (drift > 0).sum()
    if frustrated == "keep":
        assert turned <= 0.1 * kept
    else:
        assert turned > (kept if frustrated == "reverse" else 0)


def test_a_trajectory_that_fails_stops_and_the_others_go_on():
    model = TullyModel("simple")
    positions, velocities = np.zeros((3, 1, 3)), np.zeros((3, 1, 3))
    positions[:, 0, 0], velocities[:, 0, 0] = [-5, -4, -3], [0.3, -0.1, 0.3]
    for extra, words in ((np.nan, "not finite"), (2.0, "jumped by more than 0.5 eV")):
        swarms = run(Failing(model, -2.0, extra=extra), (positions, velocities), 0, 30)
        last = swarms[-1]
        assert [words in reason for reason in last.stopped] == [True, False, True]
        assert last.steps[1] == 30 and last.steps[2] < last.steps[0] < 30
        assert (last.positions[[0, 2], 0, 0] <= -2.0).all() and np.isfinite(last.total_energy).all()
        alone = run(model, (positions[1:2], velocities[1:2]), 0, 30)[-1]
        assert_allclose(last.positions[1], alone.positions[0], atol=1e-14)


def test_kinetic_energy_and_hops_between_uncoupled_states_use_the_momentum(molecule, start):
    swarm = SurfaceHopping(molecule).start(*start, 1)
    by_hand = 0.5 * KINETIC * (molecule.masses[:, None] * start[1] ** 2).sum(axis=(1, 2))
    assert_allclose(swarm.kinetic_energy, by_hand)
    moved = SurfaceHopping(molecule, HoppingSettings(rescale="momentum"))._attempt(swarm, np.zeros(12, dtype=int))
    ratio = moved.velocities / np.where(swarm.velocities == 0, 1, swarm.velocities)
    for one in ratio:
        assert_allclose(one[np.abs(one) > 0], one[np.abs(one) > 0].flat[0])  # parallel to what it was
    assert_allclose(moved.total_energy, swarm.total_energy)
    along = SurfaceHopping(molecule)._attempt(swarm, np.zeros(12, dtype=int))
    change = (along.velocities - swarm.velocities) * molecule.masses[:, None]
    for one, vector in zip(change.reshape(12, -1), swarm.surfaces.nac[:, :, 0].reshape(12, -1)):
        assert abs(one @ vector) > (1 - 1e-9) * np.linalg.norm(one) * np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(timestep=0.0), "`timestep` is 0.0; give a positive number in fs"),
        (dict(method="ehrenfest"), "choose one of fssh, lz, adiabatic"),
        (dict(couplings="exact"), "choose one of model, overlap, curvature"),
        (dict(substeps=0), "`substeps` is 0; give a whole number, 1 or more"),
        (dict(decoherence=-1.0), "or None for no correction"),
        (dict(max_energy_jump=float("nan")), "or None for no limit"),
        (dict(seed=-1), "`seed` is -1"),
    ],
)
def test_wrong_settings_are_refused_in_words(wrong, words):
    with pytest.raises(ValueError, match=words):
        HoppingSettings(**wrong)


def test_wrong_starts_are_refused_in_words(molecule, start):
    dynamics = SurfaceHopping(molecule)
    with pytest.raises(ValueError, match="the potential has the states 0 to 1"):
        dynamics.start(*start, 2)
    with pytest.raises(ValueError, match=r"give both as \[trajectories, 10, 3\]"):
        dynamics.start(start[0][:, :3], start[1], 0)
    with pytest.raises(ValueError, match="rows of norm 1"):
        dynamics.start(*start, 0, coefficients=np.ones((12, 2)))
    with pytest.raises(ValueError, match="not finite at the start of the trajectories 4"):
        dynamics.start(np.where(np.arange(12)[:, None, None] == 4, np.nan, start[0]), start[1], 0)
    chain = TwoLevelChain(2)
    with pytest.raises(ValueError, match="no eigenvectors to take overlaps of"):
        SurfaceHopping(chain, HoppingSettings(couplings="overlap")).start(np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), 0)
