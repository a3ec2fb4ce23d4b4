"""Hessians are the derivatives of the forces; modes are those of textbooks, without translations and rotations."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.vibrations.data import VibrationsData

from mlff.calculators import MLFFCalculator
from mlff.dynamics import hessian, normal_modes
from mlff.dynamics.vibrations import HIGHEST
from mlff.models import model_config
from mlff.potential.config import PotentialConfig
from mlff.potential.potential import Potential
from mlff.units import BOLTZMANN, INVERSE_CM

from ..models.variants import CELL, NUMBERS, POSITIONS, VARIANTS, WITHOUT_SYMMETRY, make_potential

STEP = 2e-5
"""angstrom, of finite differences."""


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_hessian_is_the_derivative_of_the_forces(variant, periodic):
    atoms = Atoms(NUMBERS, POSITIONS, cell=CELL if periodic else None, pbc=periodic)
    potential = make_potential(variant)
    second = hessian(potential, atoms, state=1)
    atoms.calc = MLFFCalculator(potential, state=1, dtype="float64")
    for row in (0, 10, 23):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions.flat[row] += sign * STEP
            forces.append(moved.get_forces().ravel())
        expected = (forces[1] - forces[0]) / (2 * STEP)
        np.testing.assert_allclose(second[row], expected, rtol=0, atol=1e-6 * abs(second).max())
    np.testing.assert_array_equal(second, second.T)
    shifts = second.reshape(24, 8, 3).sum(axis=1)
    if VARIANTS[variant][0] in WITHOUT_SYMMETRY:
        assert abs(shifts).max() > 1e-3 * abs(second).max()
    else:
        np.testing.assert_allclose(shifts, 0, atol=1e-9 * abs(second).max())


def test_diabatic_surfaces_have_the_hessian_of_their_eigenvalue(ethanol):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        settings = PotentialConfig(
            model=model_config("painn", num_features=8, num_layers=1, cutoff=4.0), num_states=3, species=(1, 6, 8),
            atomic_energies=dict.fromkeys((1, 6, 8), 0.0), surfaces="diabatic", nac_pairs=((0, 1), (0, 2), (1, 2)),
        )  # fmt: skip
        potential = Potential(settings).double().eval()
    second = hessian(potential, ethanol, state=1)
    forces = []
    for sign in (1, -1):
        moved = ethanol.copy()
        moved.calc = MLFFCalculator(potential, state=1, dtype="float64")
        moved.positions[2, 1] += sign * STEP
        forces.append(moved.get_forces().ravel())
    np.testing.assert_allclose(second[7], (forces[1] - forces[0]) / (2 * STEP), rtol=0, atol=1e-6 * abs(second).max())


def test_rows_in_several_passes_are_the_same(potential, ethanol, monkeypatch):
    whole = hessian(potential, ethanol)
    monkeypatch.setattr("mlff.dynamics.vibrations.PAIRS_AT_ONCE", 100)
    np.testing.assert_allclose(hessian(potential, ethanol), whole, rtol=0, atol=1e-12)


def test_atoms_that_feel_nothing_have_no_force_constants(potential):
    for atoms in (Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 50.0]])):
        assert not hessian(potential, atoms).any()


def test_a_potential_in_single_precision_is_used_in_double_and_left_alone(potential, ethanol):
    kept = {name: tensor.clone() for name, tensor in potential.state_dict().items()}
    second = hessian(potential.float(), ethanol)
    assert second.dtype == np.float64 and all((kept[name] == each).all() for name, each in potential.state_dict().items())
    assert all(parameter.requires_grad for parameter in potential.parameters())


def springs(positions, bonds, constant):
    """Hessian of harmonic bonds at rest: the block of a bond is its constant times the outer product of its direction."""
    second = np.zeros((len(positions), 3, len(positions), 3))
    for i, j in bonds:
        along = (positions[j] - positions[i]) / np.linalg.norm(positions[j] - positions[i])
        block = constant * np.outer(along, along)
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            second[a, :, b] += sign * block
    return second.reshape(3 * len(positions), -1)


def wavenumber(constant, mass):
    """1/cm of an oscillator: sqrt(k/m)/(2 pi c), in SI."""
    omega = np.sqrt(constant * 16.02176634 / (mass * 1.66053906660e-27))
    return omega / (2 * np.pi * 2.99792458e10)


def test_a_diatomic_molecule_vibrates_with_its_reduced_mass():
    positions = np.array([[0.3, -0.2, 0.1], [0.8, 0.5, 0.9]])
    found = normal_modes(springs(positions, [(0, 1)], 35.0), [1.008, 34.9689], positions)
    mass = 1.008 * 34.9689 / (1.008 + 34.9689)
    assert found.frequencies == pytest.approx([wavenumber(35.0, mass)], rel=1e-6)
    assert found.zero_point_energy == pytest.approx(0.5 * found.frequencies[0] * INVERSE_CM)


def test_the_stretches_of_a_linear_triatomic_molecule_are_those_of_the_textbook():
    """Symmetric k/m, antisymmetric k (M + 2 m)/(m M) (Landau and Lifshitz, Mechanics, section 24); the bends are free."""
    positions = np.array([[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
    found = normal_modes(springs(positions, [(0, 1), (1, 2)], 100.0), [15.995, 12.0, 15.995], positions)
    assert len(found.frequencies) == 4
    expected = [0, 0, wavenumber(100.0, 15.995), wavenumber(100.0, 15.995 * 12.0 / (12.0 + 2 * 15.995))]
    np.testing.assert_allclose(found.frequencies, expected, rtol=1e-6, atol=1e-3)
    assert found.reduced_masses[2] == pytest.approx(15.995)


def test_modes_diagonalise_the_hessian_and_neither_shift_nor_turn_the_molecule(potential, ethanol):
    second, masses, positions = hessian(potential, ethanol), ethanol.get_masses(), ethanol.positions
    found = normal_modes(second, masses, positions)
    assert len(found.frequencies) == 3 * 9 - 6 and (np.diff(found.frequencies) >= 0).all()
    flat = found.modes.reshape(21, 27)
    np.testing.assert_allclose(flat @ flat.T, np.eye(21), atol=1e-12)
    momenta = found.modes * np.sqrt(masses)[:, None]
    np.testing.assert_allclose(momenta.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(np.cross(positions, momenta).sum(axis=1), 0, atol=1e-9)
    roots = np.repeat(np.sqrt(masses), 3)
    diagonal = flat @ (second / np.outer(roots, roots)) @ flat.T
    signs = np.sign(found.angular_frequencies) * found.angular_frequencies**2 * 103.64269652680503
    np.testing.assert_allclose(diagonal, np.diag(signs), atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found.displacements, axis=(1, 2)), 1)


def test_the_members_of_a_committee_are_compared_along_the_modes_of_their_mean():
    positions = np.array([[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
    masses = [15.995, 12.0, 15.995]
    members = [springs(positions, [(0, 1), (1, 2)], constant) for constant in (90.0, 110.0)]
    found = normal_modes(np.mean(members, axis=0), masses, positions)
    np.testing.assert_allclose(found.frequencies_in(np.mean(members, axis=0)), found.frequencies, rtol=1e-9, atol=1e-3)
    for member, constant in zip(members, (90.0, 110.0)):
        expected = [0, 0, wavenumber(constant, 15.995), wavenumber(constant, 15.995 * 12.0 / (12.0 + 2 * 15.995))]
        np.testing.assert_allclose(found.frequencies_in(member), expected, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(found.frequencies_in(-members[0])[2:], -found.frequencies_in(members[0])[2:])


def test_frequencies_do_not_depend_on_place_and_direction(potential, ethanol):
    before = normal_modes(hessian(potential, ethanol), ethanol.get_masses(), ethanol.positions).frequencies
    ethanol.rotate(50, (1, 2, 3))
    ethanol.translate((4, 5, 6))
    after = normal_modes(hessian(potential, ethanol), ethanol.get_masses(), ethanol.positions).frequencies
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_frequencies_equal_ases_where_nothing_is_projected(potential):
    atoms = bulk("C", cubic=True)
    atoms.rattle(0.05, seed=1)
    second = hessian(potential, atoms)
    found = normal_modes(second, atoms.get_masses())
    theirs = VibrationsData.from_2d(atoms, second).get_frequencies()
    theirs = np.sort(np.where(abs(theirs.imag) > theirs.real, -theirs.imag, theirs.real))
    translations = np.sort(np.argsort(abs(theirs))[:3])
    np.testing.assert_allclose(found.frequencies, np.delete(theirs, translations), rtol=1e-6, atol=1e-2)


def test_a_saddle_point_has_a_negative_frequency_that_no_zero_point_energy_counts():
    positions = np.array([[0, 0, 0], [0, 0, 1.0]])
    found = normal_modes(-springs(positions, [(0, 1)], 10.0), [1.0, 1.0], positions)
    assert found.num_imaginary == 1 and found.zero_point_energy == 0
    assert found.frequencies[0] == pytest.approx(-wavenumber(10.0, 0.5), rel=1e-6)


@pytest.mark.parametrize(("share", "warned"), [(0.999, False), (1.001, True)])
def test_a_frequency_above_that_of_hydrogen_is_warned_of(share, warned):
    """H2 has the highest one: 575 N/m on half the mass of a hydrogen atom."""
    positions = np.array([[0, 0, 0], [0, 0, 0.7414]])
    constant = (share * HIGHEST / wavenumber(1.0, 0.5 * 1.00783)) ** 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = normal_modes(springs(positions, [(0, 1)], constant), [1.00783] * 2, positions)
    assert found.frequencies == pytest.approx([share * HIGHEST], rel=1e-6)
    expected = [f"1 of the 1 frequencies, up to {share * HIGHEST:,.0f} 1/cm, lie above the 4,401 1/cm of H2"] * warned
    assert [str(each.message)[: len(expected[0])] for each in caught] == expected
    assert constant * 16.02 == pytest.approx(575, rel=0.01)  # eV/angstrom^2 in N/m


def test_angular_frequencies_are_in_radians_a_femtosecond():
    positions = np.array([[0, 0, 0], [0, 0, 1.0]])
    found = normal_modes(springs(positions, [(0, 1)], 30.0), [1.0, 1.0], positions)
    period = 2 * np.pi / found.angular_frequencies[0]  # fs
    assert period == pytest.approx(1e15 / (found.frequencies[0] * 2.99792458e10), rel=1e-6)
    kelvin = 0.6582119569 * found.angular_frequencies[0] / BOLTZMANN  # hbar omega / k
    assert kelvin == pytest.approx(1.438776877 * found.frequencies[0], rel=1e-6)


def test_wrong_input_is_refused(potential, ethanol):
    with pytest.raises(ValueError, match="`state` is 1; the potential has 1 state"):
        hessian(potential, ethanol, state=1)
    with pytest.raises(ValueError, match="not trained on N"):
        hessian(potential, molecule("NH3"))
    with pytest.raises(ValueError, match=r"shape \(6, 6\) and must be finite; for 3 masses it must be \(9, 9\)"):
        normal_modes(np.eye(6), [1, 1, 1])
    with pytest.raises(ValueError, match="`masses` must be positive"):
        normal_modes(np.eye(6), [1, 0])
    ethanol.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match="has constraints"):
        hessian(potential, ethanol)
