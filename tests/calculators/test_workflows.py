"""MLFFCalculator in ASE's own tools: constraints, filters, NEB, thermostats, phonons, vibrations, files."""

import io

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLengths
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE
from ase.phonons import Phonons
from ase.vibrations import Vibrations

from mlff.calculators import MLFFCalculator


@pytest.fixture
def calculator(potential):
    return MLFFCalculator(potential, dtype="float64")


@pytest.fixture
def methanol(calculator):
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=4)
    atoms.calc = calculator
    return atoms


def test_optimisation_lowers_energy_and_forces(methanol):
    energy = methanol.get_potential_energy()
    assert BFGS(methanol, logfile=None).run(fmax=1e-4, steps=300)
    assert methanol.get_potential_energy() < energy
    assert np.linalg.norm(methanol.get_forces(), axis=1).max() <= 1e-4


def test_fixed_atoms_stay_where_they_are(methanol):
    methanol.set_constraint(FixAtoms([0, 1]))
    start = methanol.positions[:2].copy()
    BFGS(methanol, logfile=None).run(fmax=0.01, steps=5)
    np.testing.assert_array_equal(methanol.positions[:2], start)
    assert abs(methanol.get_forces(apply_constraint=False)[:2]).max() > 0


def test_fixed_bonds_keep_their_length_in_dynamics(methanol):
    methanol.set_constraint(FixBondLengths([(0, 1)]))
    length = methanol.get_distance(0, 1)
    VelocityVerlet(methanol, 0.5 * units.fs).run(10)
    assert methanol.get_distance(0, 1) == pytest.approx(length, abs=1e-9)


def test_cell_relaxation_ends_without_stress(make_potential):
    atoms = bulk("C", a=3.0)
    atoms.set_cell(atoms.cell * [1.0, 1.05, 0.97], scale_atoms=True)
    atoms.calc = MLFFCalculator(make_potential(scale=2.0), dtype="float64")
    volume, stress = atoms.get_volume(), abs(atoms.get_stress()).max()
    relaxation = FIRE(FrechetCellFilter(atoms), logfile=None)
    relaxation.run(fmax=0.01, steps=150)
    assert abs(atoms.get_stress()).max() < stress / 5
    assert atoms.get_volume() != pytest.approx(volume, rel=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_band_with_one_calculator_or_one_each(methanol, potential, shared):
    images = [methanol.copy() for _ in range(5)]
    images[-1].rattle(0.1, seed=5)
    band = NEB(images, method="improvedtangent", allow_shared_calculator=shared)
    band.interpolate()
    for image in images:
        image.calc = methanol.calc if shared else MLFFCalculator(potential, dtype="float64")
    forces = band.get_forces()
    assert forces.shape == (3 * len(methanol), 3) and abs(forces).max() > 0
    FIRE(band, logfile=None).run(fmax=1e-3, steps=3)
    fresh = images[2].copy()
    fresh.calc = MLFFCalculator(potential, dtype="float64")
    assert images[2].get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-9)


def test_langevin_dynamics_reaches_its_temperature(make_potential):
    atoms = molecule("C6H6")
    atoms.calc = MLFFCalculator(make_potential(scale=0.1), dtype="float64")
    rng = np.random.default_rng(0)
    dynamics = Langevin(atoms, 1.0 * units.fs, temperature_K=300, friction=0.05 / units.fs, rng=rng, fixcm=False)
    temperatures = []
    dynamics.attach(lambda: temperatures.append(atoms.get_temperature()))
    dynamics.run(200)
    assert 150 < np.mean(temperatures[50:]) < 450


def test_phonons_of_a_crystal_have_three_acoustic_branches(calculator, tmp_path):
    atoms = bulk("C")
    phonons = Phonons(atoms, calculator, supercell=(2, 2, 2), delta=0.02, name=str(tmp_path / "phonon"))
    phonons.run()
    phonons.read(acoustic=True)
    frequencies = phonons.band_structure([[0, 0, 0]], verbose=False)[0]
    assert np.sort(abs(frequencies))[:3] == pytest.approx(0, abs=1e-3)


def test_vibrations_at_rest_have_six_zero_modes(methanol, tmp_path):
    BFGS(methanol, logfile=None).run(fmax=1e-5, steps=500)
    vibrations = Vibrations(methanol, name=str(tmp_path / "vib"), delta=0.003)
    vibrations.run()
    squares = vibrations.get_energies().real ** 2 - vibrations.get_energies().imag ** 2
    assert np.sort(abs(squares))[:6].max() < 1e-3 * abs(squares).max()


def test_trajectory_and_xyz_files_keep_the_results(methanol, tmp_path):
    forces, energy = methanol.get_forces(), methanol.get_potential_energy()
    for name in ("a.traj", "a.xyz"):
        write(tmp_path / name, methanol)
        again = read(tmp_path / name)
        assert again.get_potential_energy() == pytest.approx(energy, abs=1e-6)
        np.testing.assert_allclose(again.get_forces(), forces, atol=1e-6)
    write(io.StringIO(), methanol, format="xyz")
