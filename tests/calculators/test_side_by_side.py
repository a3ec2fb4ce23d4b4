"""Structures side by side in one call have the energies and forces of single calls."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from mlff.calculators import CommitteeCalculator, MLFFCalculator
from mlff.models import MODELS


def one_object(copies):
    atoms = copies[0].copy()
    for each in copies[1:]:
        atoms += each
    return atoms


def rattled(atoms, count):
    copies = [atoms.copy() for _ in range(count)]
    for seed, each in enumerate(copies):
        each.rattle(0.05, seed=seed)
        each.translate((0.3 * seed, 0, 0))  # they overlap: nothing but the list keeps them apart
    return copies


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), bulk("C", cubic=True)], ids=["molecule", "crystal"])
def test_every_structure_has_its_own_energy_and_forces(make_potential, model, atoms):
    single = MLFFCalculator(make_potential(model, num_states=2), state=1, dtype="float64")
    together = single.side_by_side(3)
    copies = rattled(atoms, 3)
    found = one_object(copies)
    found.calc = together
    energies, forces = found.get_potential_energies().reshape(3, -1), found.get_forces().reshape(3, -1, 3)
    for k, each in enumerate(copies):
        each.calc = single
        np.testing.assert_allclose(energies[k].sum(), each.get_potential_energy(), rtol=0, atol=1e-8)
        np.testing.assert_allclose(forces[k], each.get_forces(), rtol=0, atol=1e-9)
    total = sum(single.get_property("state_energies", each) for each in copies)
    np.testing.assert_allclose(together.results["state_energies"], total, rtol=0, atol=1e-8)
    assert found.get_potential_energy() == pytest.approx(energies.sum())


def test_the_calculator_that_it_comes_from_is_left_alone(make_potential):
    single = MLFFCalculator(make_potential(num_states=2), dtype="float64")
    atoms = molecule("CH3CH2OH")
    atoms.calc = single
    energy = atoms.get_potential_energy()
    together = single.side_by_side(2)
    together.state = 1
    assert single.state == 0 and atoms.get_potential_energy() == energy
    assert together.potential is single.potential


def test_a_committee_does_the_same(make_potential):
    single = CommitteeCalculator([make_potential("painn"), make_potential("egnn")], dtype="float64")
    copies = rattled(molecule("CH3CH2OH"), 2)
    found = one_object(copies)
    found.calc = single.side_by_side(2)
    forces = found.get_forces().reshape(2, -1, 3)
    for k, each in enumerate(copies):
        each.calc = single
        np.testing.assert_allclose(forces[k], each.get_forces(), rtol=0, atol=1e-9)
