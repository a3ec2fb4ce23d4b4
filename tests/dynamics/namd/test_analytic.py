"""Analytic potentials: exact derivatives, and what is known of the models."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from mlff.dynamics.namd.analytic import LinearVibronicCoupling, TullyModel, TurningPotential, TwoLevelChain, pyrazine
from mlff.dynamics.namd.analytic.pyrazine import HALF_GAP, KAPPA, LAMBDA, pyrazine_modes
from mlff.units import BOHR, HARTREE

STEP = 1e-5


def some_positions(potential, count, rng):
    if isinstance(potential, TurningPotential):
        return turned_at_random(some_positions(potential.potential, count, rng), rng)[0]
    if isinstance(potential, LinearVibronicCoupling):
        return potential.positions(rng.normal(size=(count, len(potential.frequencies))))
    scale = 0.1 if isinstance(potential, TwoLevelChain) else 2.0
    return scale * rng.normal(size=(count, len(potential.masses), 3))


def turned_at_random(positions, rng):
    """Each structure turned and moved, and the rotations."""
    rotations = Rotation.random(len(positions), random_state=rng).as_matrix()
    return positions @ rotations.swapaxes(1, 2) + rng.normal(size=(len(positions), 1, 3)), rotations


POTENTIALS = {
    "simple": TullyModel("simple"), "dual": TullyModel("dual"), "extended": TullyModel("extended"),
    "pyrazine": pyrazine(), "four modes": pyrazine(all_modes=False), "chain": TwoLevelChain(4),
    "turning": TurningPotential(pyrazine()),
}  # fmt: skip


@pytest.mark.parametrize("name", POTENTIALS)
def test_forces_are_the_negative_gradient(name):
    potential, rng = POTENTIALS[name], np.random.default_rng(1)
    positions = some_positions(potential, 3, rng)
    for state in range(2):
        states = np.full(3, state)
        forces = potential.surfaces(positions, states, couplings=False).forces
        for atom, axis in np.ndindex(len(potential.masses), 3):
            energies = []
            for sign in (1, -1):
                moved = positions.copy()
                moved[:, atom, axis] += sign * STEP
                energies.append(potential.surfaces(moved, states, couplings=False).energies[:, state])
            assert_allclose(-(energies[0] - energies[1]) / (2 * STEP), forces[:, atom, axis], atol=2e-8, rtol=2e-6)


@pytest.mark.parametrize("name", ["simple", "dual", "extended", "pyrazine", "turning"])
def test_couplings_are_derivatives_of_the_states(name):
    potential, rng = POTENTIALS[name], np.random.default_rng(2)
    positions, states = some_positions(potential, 3, rng), np.zeros(3, dtype=int)
    here = potential.surfaces(positions, states, couplings=True)
    for atom, axis in [(0, 0), (len(potential.masses) - 1, 2), (len(potential.masses) - 1, 0)]:
        overlap = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[:, atom, axis] += sign * STEP
            there = potential.surfaces(moved, states, couplings=False).eigenvectors
            first, second = (np.einsum("td,td->t", here.eigenvectors[:, :, i], there[:, :, 1]) for i in (0, 1))
            overlap.append(first * np.sign(second))
        assert_allclose((overlap[0] - overlap[1]) / (2 * STEP), here.nac[:, atom, 0, axis], atol=2e-7, rtol=1e-5)


def test_tully_models_have_their_published_limits():
    far = np.zeros((2, 1, 3))
    far[:, 0, 0] = np.array([-50, 50]) * BOHR
    states = np.zeros(2, dtype=int)
    hartree = {name: TullyModel(name).surfaces(far, states, couplings=False).energies / HARTREE
               for name in ("simple", "dual", "extended")}  # fmt: skip
    assert_allclose(hartree["simple"], [[-0.01, 0.01], [-0.01, 0.01]], atol=1e-9)
    assert_allclose(hartree["dual"], [[0, 0.05], [0, 0.05]], atol=1e-9)
    split = np.hypot(0.0006, 0.2)
    assert_allclose(hartree["extended"], [[-0.0006, 0.0006], [-split, split]], atol=1e-9)
    with pytest.raises(ValueError, match="choose simple, dual or extended"):
        TullyModel("quadruple")


def test_pyrazine_has_its_vertical_gap_and_its_crossing():
    potential = pyrazine()
    states = np.array([0])
    start = potential.surfaces(potential.reference[None], states, couplings=False).energies[0]
    assert_allclose(start, [-HALF_GAP, HALF_GAP])
    # Along q of the tuning modes where E1 + kappa1 q = E2 + kappa2 q the states cross, as long as q(10a) = 0.
    molecule, q = pyrazine_modes(), np.zeros((1, 24))
    slopes = np.array([KAPPA[label][1] - KAPPA[label][0] if label in KAPPA else 0 for label in molecule.labels])
    q[0] = -2 * HALF_GAP * slopes / (slopes @ slopes)
    crossing = potential.surfaces(potential.positions(q), states, couplings=False).energies[0]
    assert_allclose(crossing[0], crossing[1], atol=1e-12)
    q[0, molecule.labels.index("v10a")] = 0.5
    apart = potential.surfaces(potential.positions(q), states, couplings=False).energies[0]
    assert_allclose(apart[1] - apart[0], 2 * LAMBDA["v10a"] * 0.5, atol=1e-12)


def test_pyrazines_coupling_mode_is_out_of_the_plane_and_its_tuning_modes_are_in_it():
    molecule = pyrazine_modes()
    for label, mode in zip(molecule.labels, molecule.modes):
        if label == "v10a":
            assert np.abs(mode[:, :2]).max() < 1e-8
            hydrogens = mode[molecule.atomic_numbers == 1, 2]
            assert np.linalg.norm(mode[molecule.atomic_numbers == 7]) < 1e-8 and np.abs(hydrogens).min() > 0.2
        elif label in KAPPA:
            assert np.abs(mode[:, 2]).max() < 1e-8
    # No mode moves or turns the molecule.
    weights = np.sqrt(molecule.masses)[:, None]
    assert np.abs(np.einsum("mnx,nk->mxk", molecule.modes, weights)).max() < 1e-6
    turning = np.cross(molecule.positions[None], molecule.modes * weights).sum(axis=1)
    assert np.abs(turning).max() < 1e-6


def test_vibronic_coupling_refuses_what_does_not_fit():
    molecule = pyrazine_modes()
    good = dict(masses=molecule.masses, atomic_numbers=molecule.atomic_numbers, reference=molecule.positions,
                modes=molecule.modes, frequencies=molecule.frequencies, energies=np.zeros(2), linear=np.zeros((24, 2, 2)))
    LinearVibronicCoupling(**good)
    for name, value, words in (
        ("frequencies", -molecule.frequencies, "positive"), ("modes", 2 * molecule.modes, "orthonormal"),
        ("linear", np.zeros((3, 2, 2)), "do not fit"), ("linear", np.arange(96.0).reshape(24, 2, 2), "symmetric"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            LinearVibronicCoupling(**(good | {name: value}))


def test_a_turning_potential_turns_and_is_the_other_along_its_modes():
    fixed, turning, rng = pyrazine(), TurningPotential(pyrazine()), np.random.default_rng(3)
    positions, states = some_positions(fixed, 4, rng), np.array([0, 1, 0, 1])
    turned, rotations = turned_at_random(positions, rng)
    theirs, here, there = (each.surfaces(at, states, couplings=True)
                           for each, at in ((fixed, positions), (turning, positions), (turning, turned)))  # fmt: skip
    for other in (here, there):
        assert_allclose(other.energies, theirs.energies, atol=1e-12)
        assert_allclose(other.forces.sum(axis=1), 0, atol=1e-10)
    assert_allclose(there.forces, np.einsum("txy,tny->tnx", rotations, here.forces), atol=1e-10)
    assert_allclose(np.abs(there.nac), np.abs(np.einsum("txy,tnpy->tnpx", rotations, here.nac)), atol=1e-8)
    for mine, original in ((here.forces, theirs.forces), (here.nac[:, :, 0], theirs.nac[:, :, 0])):
        assert_allclose(np.cross(positions, mine).sum(axis=1), 0, atol=1e-10)  # no torque, which the other has
        assert np.abs(np.cross(positions, original).sum(axis=1)).max() > 1e-3
        along = [np.einsum("mnx,tnx->tm", fixed._displacements, each) for each in (mine, original)]
        assert_allclose(*along, atol=1e-8)


def test_a_turning_potential_is_nan_where_positions_are_and_refuses_a_line():
    turning = TurningPotential(pyrazine())
    positions = np.stack([turning.potential.reference] * 2)
    positions[1, 0] = np.nan
    found = turning.surfaces(positions, np.array([0, 1]), couplings=False)
    assert np.isfinite(found.forces[0]).all() and np.isnan(found.forces[1]).all() and np.isnan(found.energies[1]).all()
    with pytest.raises(ValueError, match="on a line"):
        TurningPotential(TullyModel("simple"))
