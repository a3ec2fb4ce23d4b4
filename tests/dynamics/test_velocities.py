"""First velocities: temperature, drift, rotation, degrees of freedom."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from mlff.dynamics.velocities import draw_velocities, take_out_drift


def angular_momentum(atoms):
    return np.cross(atoms.positions - atoms.get_center_of_mass(), atoms.get_momenta()).sum(axis=0)


def test_drawn_momenta_have_the_temperature():
    atoms = bulk("Cu", cubic=True) * (6, 6, 6)
    draw_velocities(atoms, 300, np.random.default_rng(0))
    assert atoms.get_temperature() == pytest.approx(300, rel=0.05)


@pytest.mark.parametrize(
    ("atoms", "left"),
    [(molecule("CH4"), 9), (molecule("CO2"), 4), (molecule("H2"), 1), (Atoms("H"), 3), (bulk("C"), 3)],
    ids=["CH4", "CO2", "H2", "H", "crystal"],
)
def test_drift_and_rotation_are_taken_out_and_counted(atoms, left):
    if not atoms.pbc.any():
        atoms.rotate(37, (1, 2, 3))  # a linear molecule along no axis of the coordinates
    draw_velocities(atoms, 300, np.random.default_rng(1))
    assert take_out_drift(atoms) == left
    if len(atoms) > 1:
        assert abs(atoms.get_momenta().sum(axis=0)).max() < 1e-12
    if len(atoms) > 1 and not atoms.pbc.any():
        assert abs(angular_momentum(atoms)).max() < 1e-12
    assert atoms.get_kinetic_energy() > 0


def test_what_is_left_is_untouched_by_taking_out_again():
    atoms = molecule("CO2")
    draw_velocities(atoms, 300, np.random.default_rng(1))
    take_out_drift(atoms)
    momenta = atoms.get_momenta()
    take_out_drift(atoms)
    np.testing.assert_allclose(atoms.get_momenta(), momenta, atol=1e-14)


def test_constrained_structures_keep_their_momenta():
    atoms = molecule("CH4")
    atoms.set_constraint(FixAtoms([0]))
    draw_velocities(atoms, 300, np.random.default_rng(1))
    momenta = atoms.get_momenta()
    assert take_out_drift(atoms) == 12
    np.testing.assert_array_equal(atoms.get_momenta(), momenta)
    assert not momenta[0].any()
