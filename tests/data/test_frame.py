"""Frame: from and to ASE without losing, zeroing or inventing anything."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from mlff.data import Frame


def test_round_trip_through_ase():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.set_velocities(np.random.default_rng(0).normal(size=(4, 3)))
    atoms.info.update(trajectory="t1", step=4, time=2.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.ones((4, 3)), stress=np.arange(6.0))
    back = Frame.from_ase(atoms).to_ase()
    assert back.get_potential_energy() == -1.5 and (back.get_forces() == 1).all()
    np.testing.assert_array_equal(back.get_stress(), np.arange(6.0))
    np.testing.assert_array_equal(back.positions, atoms.positions)
    np.testing.assert_allclose(back.get_velocities(), atoms.get_velocities(), rtol=1e-6)
    assert (back.cell == atoms.cell).all() and back.pbc.all() and back.info == atoms.info


def test_constraints_do_not_zero_forces():
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.ones((3, 3)))
    atoms.set_constraint(FixAtoms([0]))
    assert (atoms.get_forces()[0] == 0).all()
    assert (Frame.from_ase(atoms).forces == 1).all()


def test_nothing_is_computed_and_stale_results_are_not_labels():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    assert Frame.from_ase(atoms).energy is None
    energy = atoms.get_potential_energy()
    assert Frame.from_ase(atoms).energy[0] == energy
    atoms.rattle(0.1)
    assert Frame.from_ase(atoms).energy is None


def test_keys_are_found_or_named():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]])
    atoms.info["REF_energy"] = -3.0
    atoms.arrays["mine"] = np.ones((2, 3))
    assert Frame.from_ase(atoms).energy[0] == -3 and Frame.from_ase(atoms).forces is None
    assert (Frame.from_ase(atoms, forces_key="mine").forces == 1).all()
    with pytest.raises(ValueError, match="`theirs` is not in the atoms' arrays; there are: numbers, positions, mine"):
        Frame.from_ase(atoms, forces_key="theirs")


def test_masked_labels_do_not_reach_ase():
    frame = Frame(atomic_numbers=[1], positions=np.zeros((1, 3)), energy=[np.nan, -1.0], forces=np.zeros((1, 2, 3)),
                  forces_valid=np.array([True, False]))  # fmt: skip
    assert frame.num_states == 2 and frame.energy_valid.tolist() == [False, True]
    assert "energy" not in frame.to_ase(0).calc.results and "forces" not in frame.to_ase(1).calc.results
    with pytest.raises(ValueError, match="`state` is 2 but the frame has 2 states"):
        frame.to_ase(2)


def test_wrong_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"`forces` has shape \(1, 3\); \(1, 1, 3\) was expected for 1 atoms and 1 states"
    ):
        Frame(atomic_numbers=[1], positions=np.zeros((1, 3)), forces=np.zeros((1, 3)))
