"""Wigner's and Boltzmann's distributions of harmonic vibrations: energies, limits, no drift, no rotation."""

import numpy as np
import pytest
from ase.build import molecule

from mlff.dynamics.namd.harmonic import mode_widths, num_soft, sample_harmonic, without_rotation
from mlff.dynamics.vibrations import HBAR, NormalModes, normal_modes
from mlff.units import BOLTZMANN, INVERSE_CM, KINETIC


@pytest.fixture(scope="module")
def water() -> tuple[NormalModes, np.ndarray]:
    """Modes of a molecule of springs."""
    atoms = molecule("H2O")
    positions = atoms.get_positions()
    hessian = np.zeros((9, 9))
    for a, b, k in ((0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)):
        unit = (positions[a] - positions[b]) / np.linalg.norm(positions[a] - positions[b])
        row = np.zeros((3, 3))
        row[a], row[b] = unit, -unit
        hessian += k * np.outer(row.ravel(), row.ravel())
    return normal_modes(hessian, atoms.get_masses(), positions), positions


def streams(number: int) -> list[np.random.Generator]:
    return [np.random.default_rng([5, k]) for k in range(number)]


@pytest.mark.parametrize("temperature", [0.0, 300.0, 3000.0])
def test_half_of_the_energy_is_kinetic_and_it_is_that_of_a_quantum_oscillator(temperature):
    frequencies = np.array([100.0, 1000.0, 3500.0])
    coordinate, moving = mode_widths(frequencies, temperature)
    quantum = frequencies * INVERSE_CM
    occupied = 1 / np.expm1(quantum / (BOLTZMANN * temperature)) if temperature else 0.0
    omega = quantum / HBAR
    np.testing.assert_allclose(0.5 * KINETIC * moving**2, 0.5 * quantum * (occupied + 0.5))
    np.testing.assert_allclose(0.5 * KINETIC * omega**2 * coordinate**2, 0.5 * quantum * (occupied + 0.5))
    # The narrowest product of widths that quantum mechanics allows is that of the ground state.
    assert (coordinate * moving * KINETIC >= HBAR / 2 * (1 - 1e-12)).all()


def test_hot_quantum_oscillators_are_classical():
    quantum, classical = (mode_widths(np.array([50.0, 200.0]), 2e4, classical=each) for each in (False, True))
    np.testing.assert_allclose(quantum, classical, rtol=1e-4)
    np.testing.assert_allclose(0.5 * KINETIC * classical[1] ** 2, 0.5 * BOLTZMANN * 2e4)


@pytest.mark.parametrize("classical", [False, True])
def test_samples_have_those_widths_along_every_mode(water, classical):
    modes, start = water
    number = 4000
    positions, velocities = sample_harmonic(modes, start, 300.0, streams(number), classical=classical)
    widths = mode_widths(modes.frequencies, 300.0, classical=classical)
    roots = np.sqrt(modes.masses)[:, None]
    for moved, width in ((positions - start, widths[0]), (velocities, widths[1])):
        along = np.einsum("mnx,tnx->tm", modes.modes, moved * roots)
        # 4 standard errors of a standard deviation, and what taking out the rotation costs
        np.testing.assert_allclose(along.std(axis=0) / width, 1, atol=4 / np.sqrt(2 * number) + 0.01)
        assert (np.abs(along.mean(axis=0)) < 4 * width / np.sqrt(number)).all()
    correlation = np.einsum("mnx,tnx,mky,tky->tm", modes.modes, (positions - start) * roots, modes.modes, velocities * roots)
    assert (np.abs(correlation.mean(axis=0)) < 5 * widths[0] * widths[1] / np.sqrt(number)).all()


def test_nothing_drifts_or_turns(water):
    modes, start = water
    positions, velocities = sample_harmonic(modes, start, 300.0, streams(20))
    momenta = modes.masses[:, None] * velocities
    centre = modes.masses @ start / modes.masses.sum()
    np.testing.assert_allclose(np.einsum("n,tnx->tx", modes.masses, positions) / modes.masses.sum(), centre + np.zeros((20, 3)),
                               atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(momenta.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.cross(positions - centre, momenta).sum(axis=1), 0, atol=1e-12)


def test_rotation_is_taken_out_of_linear_molecules_too():
    positions = np.array([[[0.0, 0, 0], [0, 0, 1.2]]])
    velocities = np.array([[[1.0, 0, 0.5], [-1.0, 2.0, -0.5]]])
    left = without_rotation(positions, velocities, np.array([1.0, 1.0]))
    np.testing.assert_allclose(left, [[[0, 0, 0.5], [0, 0, -0.5]]], atol=1e-12)


def test_a_structure_does_not_depend_on_how_many_are_drawn(water):
    modes, start = water
    few, many = (sample_harmonic(modes, start, 0.0, streams(number)) for number in (2, 5))
    np.testing.assert_allclose(few[0], many[0][:2], rtol=0, atol=1e-14)
    np.testing.assert_allclose(few[1], many[1][:2], rtol=0, atol=1e-14)


def test_imaginary_modes_and_wrong_temperatures_are_refused_and_soft_modes_rest(water):
    modes, start = water
    bent = NormalModes(np.array([-300.0, 5.0, 2000.0]), modes.modes, modes.masses)
    with pytest.raises(ValueError, match=r"no minimum: 1 of its 3 frequencies are imaginary \(300i 1/cm\)"):
        sample_harmonic(bent, start, 300.0, streams(1))
    with pytest.raises(ValueError, match="give 0 K or more"):
        sample_harmonic(modes, start, -1.0, streams(1))
    with pytest.raises(ValueError, match="give a positive temperature"):
        sample_harmonic(modes, start, 0.0, streams(1), classical=True)
    soft = NormalModes(np.array([5.0, 800.0, 2000.0]), modes.modes, modes.masses)
    assert num_soft(soft) == 1
    positions, _ = sample_harmonic(soft, start, 300.0, streams(3))
    along = np.einsum("nx,tnx->t", soft.modes[0], (positions - start) * np.sqrt(soft.masses)[:, None])
    np.testing.assert_allclose(along, 0, atol=1e-12)
