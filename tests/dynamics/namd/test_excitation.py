"""Start states follow oscillator strengths and the window, and what cannot be picked is said."""

import numpy as np
import pytest

from mlff.dynamics.namd.excitation import oscillator_strengths, pick_excitations
from mlff.units import BOHR, HARTREE


def streams(number: int) -> list[np.random.Generator]:
    return [np.random.default_rng([1, k]) for k in range(number)]


def test_the_oscillator_strength_of_hydrogen():
    # 1s-2p of hydrogen: gap 3/8 hartree, |<1s|z|2p>| = 128 sqrt(2) / 243 bohr; one polarisation gives 0.1387, three 0.4162.
    dipole = np.array([0, 0, 128 * np.sqrt(2) / 243 * BOHR])
    assert oscillator_strengths(3 / 8 * HARTREE, dipole) * 3 == pytest.approx(0.4162, abs=1e-4)


def test_states_are_picked_as_often_as_they_are_bright():
    number = 6000
    energies = np.tile([0.0, 4.0, 5.0, 9.0], (number, 1))
    strengths = np.tile([0.0, 0.1, 0.4, 3.0], (number, 1))
    _, states = pick_excitations(energies, strengths, (3.0, 6.0), 4000, streams(number))
    shares = np.bincount(states, minlength=4) / len(states)
    assert shares[0] == shares[3] == 0
    assert shares[1] / shares[2] == pytest.approx(0.25, abs=4 * 0.25 / np.sqrt(len(states) * 0.2))


def test_without_strengths_the_window_decides_and_one_state_can_be_asked_for():
    energies = np.array([[0.0, 4.0, 5.0], [0.0, 6.5, 7.0], [0.0, 3.5, 4.5]])
    candidates, states = pick_excitations(energies, None, (3.0, 6.0), 2, streams(3), upper=1)
    assert candidates.tolist() == [0, 2] and states.tolist() == [1, 1]
    candidates, states = pick_excitations(energies, None, (3.0, 6.0), 4, streams(3))
    assert list(zip(candidates, states)) == [(0, 1), (0, 2), (2, 1), (2, 2)]


def test_what_cannot_be_picked_is_said():
    energies = np.array([[0.0, 4.0], [0.0, 4.5]])
    with pytest.raises(ValueError, match="they lie from 4.00 to 4.50 eV"):
        pick_excitations(energies, None, (7.0, 8.0), 1, streams(2))
    with pytest.raises(ValueError, match="oscillator strengths are all zero"):
        pick_excitations(energies, np.zeros((2, 2)), (3.0, 8.0), 1, streams(2))
    with pytest.raises(ValueError, match="2 excitations of 2 geometries .* fewer than the 3 trajectories"):
        pick_excitations(energies, None, (3.0, 8.0), 3, streams(2))
    with pytest.raises(ValueError, match="the lower one first"):
        pick_excitations(energies, None, (8.0, 3.0), 3, streams(2))
