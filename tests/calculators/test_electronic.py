"""Results of the electronic states through ASE: what the potential gives, where it has them, and when they are asked for."""

import copy

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError

from mlff.calculators import CommitteeCalculator
from mlff.calculators.ase import MLFFCalculator
from mlff.graph import build_graph

STATES = {
    "num_states": 4, "multiplicities": (1, 1, 1, 3),
    "dipole_pairs": ((0, 0), (1, 1), (0, 1), (1, 2)), "soc_pairs": ((0, 3), (1, 3)),
}  # fmt: skip


@pytest.fixture(params=[{"couplings": "interstate"}, {"couplings": "direct"}, {"surfaces": "diabatic"}], ids=str)
def excited(request, make_potential):
    return make_potential(**STATES, **request.param)


@pytest.fixture
def ethanol(excited):
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(excited, dtype="float64")
    return atoms


def expected(excited, atoms):
    graph = build_graph(atoms.positions, atoms.numbers, excited.cutoff)
    return {name: value.numpy() for name, value in atoms.calc.potential(graph, couplings=True).items()}


def test_results_are_those_of_the_potential(excited, ethanol):
    results, get = expected(excited, ethanol), ethanol.calc.get_property
    for name in ("nac", "interstate_coupling"):
        assert get(name, ethanol).shape == (9, 3, 3) and np.abs(get(name, ethanol)).max() > 1e-5
        np.testing.assert_allclose(get(name, ethanol), results[name], atol=1e-10)
    np.testing.assert_allclose(ethanol.get_dipole_moment(), results["dipole"][0, 0], atol=1e-10)
    np.testing.assert_allclose(get("transition_dipoles", ethanol), results["dipole"][0, 2:], atol=1e-10)
    np.testing.assert_allclose(get("soc_magnitude", ethanol), results["soc_magnitude"][0], atol=1e-12)
    np.testing.assert_allclose(get("gaps", ethanol), results["energy"][0, 1:] - results["energy"][0, 0], atol=1e-10)


def test_the_state_chooses_energy_forces_and_dipole(excited, ethanol):
    results = expected(excited, ethanol)
    ethanol.calc.state = 1
    assert ethanol.get_potential_energy() == pytest.approx(results["energy"][0, 1], abs=1e-9)
    np.testing.assert_allclose(ethanol.get_forces(), results["forces"][:, 1], atol=1e-10)
    np.testing.assert_allclose(ethanol.get_dipole_moment(), results["dipole"][0, 1], atol=1e-10)
    ethanol.calc.state = 2  # whose permanent dipole is not among the pairs
    with pytest.raises(PropertyNotImplementedError, match="dipole"):
        ethanol.get_dipole_moment()


def test_couplings_are_computed_when_they_are_asked_for(ethanol):
    ethanol.get_forces()
    assert not {"nac", "dipole", "soc_magnitude"} & set(ethanol.calc.results)
    ethanol.calc.get_property("nac", ethanol)
    assert {"nac", "interstate_coupling", "forces"} <= set(ethanol.calc.results)
    ethanol.rattle(0.01, seed=1)
    ethanol.get_potential_energy()
    assert "nac" not in ethanol.calc.results


def test_a_potential_without_them_says_so(make_potential):
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(make_potential(num_states=2))
    for name in ("nac", "dipole", "transition_dipoles", "soc_magnitude"):
        with pytest.raises(PropertyNotImplementedError, match=name):
            atoms.calc.get_property(name, atoms)


def test_the_dipole_of_a_crystal_is_refused_and_its_couplings_are_not(ethanol):
    ethanol.set_cell(np.eye(3) * 9)
    ethanol.pbc = True
    assert ethanol.calc.get_property("nac", ethanol).shape == (9, 3, 3)
    with pytest.raises(PropertyNotImplementedError, match="dipole"):
        ethanol.get_dipole_moment()


def test_structures_side_by_side_have_no_couplings_in_common(ethanol):
    calculator = ethanol.calc.side_by_side(2)
    other = ethanol.copy()
    other.translate([0.1, 0.2, 50.0])
    with pytest.raises(PropertyNotImplementedError, match="one structure at a time"):
        calculator.get_property("nac", ethanol + other)


def test_compile_true_runs_diabatic_surfaces_uncompiled(make_potential):
    atoms = molecule("CH3CH2OH")
    potential = make_potential(**STATES, surfaces="diabatic")
    atoms.calc = MLFFCalculator(potential, compile=True)
    with pytest.warns(UserWarning, match="separate energies"):
        energy = atoms.get_potential_energy()
    atoms.calc = MLFFCalculator(potential, compile=False)
    assert energy == atoms.get_potential_energy()


def test_labelled_atoms_are_one_molecule(make_potential):
    atoms = molecule("CH3CH2OH")
    potential = make_potential(num_states=2, labelled_atoms=tuple(atoms.numbers.tolist()))
    atoms.calc = MLFFCalculator(potential)
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(ValueError, match="one molecule, with the atomic numbers"):
        swapped = atoms[::-1]
        swapped.calc = MLFFCalculator(potential)
        swapped.get_potential_energy()


def with_turned_states(potential, signs):
    """The same potential, whose couplings have other signs of the states."""
    turned = copy.deepcopy(potential)
    factors = torch.tensor([signs[i] * signs[j] for i, j in potential.config.nac_pairs], dtype=torch.float32)
    (readout,) = turned.coupling_head.readout.readouts
    with torch.no_grad():
        readout.network[-1].weight.view(3, -1, readout.network[-1].weight.shape[1]).mul_(factors.view(3, 1, 1))
        readout.network[-1].bias.view(3, -1).mul_(factors.view(3, 1))
    return turned


def test_a_committee_whose_members_differ_in_the_signs_of_states_agrees(make_potential):
    one = make_potential(**STATES, couplings="interstate")
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(one, dtype="float64")
    alone = {name: atoms.calc.get_property(name, atoms) for name in ("nac", "transition_dipoles", "soc_magnitude", "gaps")}
    members = [one, with_turned_states(one, (1, -1, 1, 1)), with_turned_states(one, (-1, 1, 1, 1))]
    atoms.calc = CommitteeCalculator(members, dtype="float64")
    for name, value in alone.items():
        np.testing.assert_allclose(atoms.calc.get_property(name, atoms), value, atol=1e-9)
    assert atoms.get_dipole_moment().shape == (3,)
    atoms.calc.state = 2
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


def test_members_with_other_pairs_are_refused(make_potential):
    members = [make_potential(num_states=2), make_potential(num_states=2, couplings="interstate")]
    with pytest.raises(ValueError, match="same pairs of states"):
        CommitteeCalculator(members)
