"""Forces and stress are derivatives of the energy, energy is conserved and extensive: through the calculator, float64."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mlff.calculators import MLFFCalculator
from mlff.dynamics import run_md
from mlff.models import MODELS


def skewed_crystal():
    """Two C, one N, one O in a triclinic cell smaller than the cutoff."""
    atoms = bulk("C", a=3.7) * (2, 1, 1)
    atoms.numbers[:] = [6, 7, 6, 8]
    atoms.set_cell(atoms.cell @ np.array([[1.0, 0.1, 0.0], [0.0, 1.05, 0.15], [-0.08, 0.0, 0.97]]), scale_atoms=True)
    atoms.rattle(0.08, seed=2)
    return atoms


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("zbl", [False, True])
def test_forces_are_minus_the_slope_of_the_energy(make_potential, model, zbl):
    atoms = molecule("CH3OH")
    atoms.rattle(0.1, seed=1)
    atoms.positions[5] = atoms.positions[0] + (0.6, 0.0, 0.1)  # near enough for the ZBL prior
    atoms.calc = MLFFCalculator(make_potential(model, zbl=zbl), dtype="float64")
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_forces_and_stress_of_a_skewed_cell_are_slopes_of_the_energy(make_potential, model):
    atoms = skewed_crystal()
    atoms.calc = MLFFCalculator(make_potential(model, scale=5.0), dtype="float64")
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-6)
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    assert abs(numerical).max() > 1e-3
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-6)


@pytest.mark.parametrize("pbc", [(True, False, False), (True, True, False), (False, True, True)])
def test_forces_of_partly_periodic_systems_are_slopes_of_the_energy(potential, pbc):
    atoms = skewed_crystal()
    atoms.pbc = pbc
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=2e-6)


def test_a_supercell_has_as_much_more_energy_and_the_same_stress(potential):
    atoms = skewed_crystal()
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    large = atoms.copy() * (2, 1, 3)
    large.calc = MLFFCalculator(potential, dtype="float64")
    assert large.get_potential_energy() == pytest.approx(6 * atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(large.get_forces(), np.tile(atoms.get_forces(), (6, 1)), atol=1e-10)
    np.testing.assert_allclose(large.get_stress(), atoms.get_stress(), atol=1e-11)


def test_translation_wrapping_and_permutation_change_nothing(potential):
    atoms = skewed_crystal()
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    moved = atoms.copy()
    moved.calc = atoms.calc
    moved.translate([123.4, -56.7, 8.9])
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    moved.wrap()
    np.testing.assert_allclose(moved.get_forces(), forces, atol=1e-9)
    order = [2, 0, 3, 1]
    permuted = atoms[order]
    permuted.calc = atoms.calc
    np.testing.assert_allclose(permuted.get_forces(), forces[order], atol=1e-10)


def test_a_molecule_far_from_the_origin(potential):
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    forces = atoms.get_forces()
    atoms.translate([1e5, 0, -1e5])
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-7)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_energy_fluctuation_falls_fourfold_when_the_time_step_halves(make_potential, model):
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(make_potential(model, scale=1.0), dtype="float64")
    coarse, fine = (
        run_md(atoms, steps=round(50 / dt), timestep=dt, temperature=100, seed=5, interval=1).energies
        for dt in (0.5, 0.25)
    )
    assert coarse.fluctuation > 1e-5
    assert 3.4 < coarse.fluctuation / fine.fluctuation < 4.7
