"""A committee's mean is the mean, its spread the spread, and its forces the derivative of its energy."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from mlff.calculators import CommitteeCalculator, MLFFCalculator, make_calculator
from mlff.models import model_config
from mlff.potential.checkpoint import load_potential, save_potential
from mlff.potential.potential import Potential


def potential(seed, species=(1, 6, 8), num_states=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = model_config("painn", num_features=8, num_layers=1, cutoff=3.0)
        return Potential.build(config, species=species, scale=0.5, num_states=num_states)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("committee")
    for number in (0, 1, 10):
        save_potential(potential(number), path / f"member-{number}" / "model")
    return path


def test_results_are_mean_and_standard_deviation_of_the_members(folder):
    atoms = molecule("CH3CH2OH")
    atoms.calc = CommitteeCalculator(folder, dtype="float64")
    own = []
    for number in (0, 1, 10):
        alone = atoms.copy()
        alone.calc = MLFFCalculator(folder / f"member-{number}", dtype="float64")
        own.append((alone.get_potential_energy(), alone.get_forces()))
    energies, forces = (np.array(each) for each in zip(*own))
    assert atoms.get_potential_energy() == pytest.approx(energies.mean(), abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), forces.mean(axis=0), atol=1e-10)
    results = atoms.calc.results
    assert results["energy_uncertainty"] == pytest.approx(energies.std(ddof=1), rel=1e-9)
    np.testing.assert_allclose(results["forces_uncertainty"], forces.std(axis=0, ddof=1), atol=1e-10)
    assert atoms.calc.get_property("energy_uncertainty", atoms) > 0


def test_forces_are_the_derivative_of_the_mean_energy(folder):
    atoms = molecule("CH3CH2OH")
    atoms.calc = CommitteeCalculator(folder, dtype="float64")
    forces, step = atoms.get_forces(), 1e-4
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[2, 1] += sign * step
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(forces[2, 1], abs=1e-6)


def test_equal_members_have_no_spread():
    one = potential(3).eval()
    atoms = molecule("CH3CH2OH")
    atoms.calc = CommitteeCalculator([one, one])
    atoms.get_forces()
    assert atoms.calc.results["energy_uncertainty"] == 0
    assert not atoms.calc.results["forces_uncertainty"].any()


def test_stress_has_a_spread_in_a_crystal():
    atoms = bulk("C", "diamond", a=3.57)
    atoms.calc = CommitteeCalculator([potential(k, (6,)).eval() for k in range(2)])
    stress = [each.get_stress(atoms) for each in atoms.calc.members]
    np.testing.assert_allclose(atoms.get_stress(), np.mean(stress, axis=0), rtol=1e-5)
    np.testing.assert_allclose(atoms.calc.results["stress_uncertainty"], np.std(stress, axis=0, ddof=1), atol=1e-7)


def test_the_state_is_that_of_all_members():
    committee = CommitteeCalculator([potential(k, num_states=2).eval() for k in range(2)], state=1)
    atoms = molecule("CH3CH2OH")
    atoms.calc = committee
    excited = atoms.get_potential_energy()
    assert excited == pytest.approx(committee.results["state_energies"][1])
    committee.state = 0
    assert [each.state for each in committee.members] == [0, 0]
    assert atoms.get_potential_energy() == pytest.approx(committee.results["state_energies"][0]) != excited


def test_a_committee_is_recognised_by_its_folder(folder):
    assert len(make_calculator(folder).members) == 3
    assert isinstance(make_calculator(folder / "member-1"), MLFFCalculator)


def test_mistakes_are_told(folder):
    with pytest.raises(ValueError, match="at least two models and 1 was given"):
        CommitteeCalculator(folder / "member-0")
    with pytest.raises(ValueError, match="at least two models and 1 was given"):
        CommitteeCalculator(potential(0))
    with pytest.raises(ValueError, match="must know the same elements"):
        CommitteeCalculator([potential(0), potential(1, (6,))])
    with pytest.raises(ValueError, match="is a committee of several models; name one of them"):
        load_potential(folder)
    with pytest.raises(ValueError, match="no checkpoint at"):
        CommitteeCalculator("no/such/folder")
