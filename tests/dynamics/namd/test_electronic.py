"""The electronic propagator, decoherence, and time-derivative couplings, against what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mlff.dynamics.namd.couplings import curvature_couplings, vector_couplings
from mlff.dynamics.namd.decoherence import decohere
from mlff.dynamics.namd.electronic import HBAR, hamiltonian, propagate
from mlff.dynamics.namd.landau_zener import landau_zener_probabilities
from mlff.dynamics.namd.random_numbers import HopNumbers

ACTIVE = np.zeros(1, dtype=int)


def two_states(gap, coupling, spin_orbit=0.0):
    spin = np.array([[[0, spin_orbit], [spin_orbit, 0]]])
    return hamiltonian(np.array([[0.0, gap]]), np.array([[[0, coupling], [-coupling, 0]]]), spin)


@pytest.mark.parametrize(("coupling", "spin_orbit"), [(0.3, 0.0), (0.0, 0.2)])
def test_two_constant_states_oscillate_as_rabi_says(coupling, spin_orbit):
    gap, time = 0.5, 1.7
    constant = two_states(gap, coupling, spin_orbit)
    found = propagate(np.array([[1, 0]], dtype=complex), ACTIVE, constant, constant, time, 7)
    strength = np.hypot(HBAR * coupling, spin_orbit)
    rabi = np.hypot(gap / 2, strength)
    assert_allclose(np.abs(found.coefficients[0, 1]) ** 2, (strength / rabi * np.sin(rabi * time / HBAR)) ** 2, atol=1e-13)


@given(st.integers(2, 6), st.integers(1, 30), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_norm_stays(num_states, substeps, seed):
    rng = np.random.default_rng(seed)
    couplings = rng.normal(size=(2, 4, num_states, num_states))
    start, end = (hamiltonian(3 * rng.normal(size=(4, num_states)), each - each.swapaxes(1, 2), None) for each in couplings)
    coefficients = rng.normal(size=(4, num_states)) + 1j * rng.normal(size=(4, num_states))
    coefficients /= np.linalg.norm(coefficients, axis=1, keepdims=True)
    found = propagate(coefficients, np.zeros(4, dtype=int), start, end, 0.5, substeps)
    assert np.abs(np.linalg.norm(found.coefficients, axis=1) - 1).max() < 1e-13
    assert (found.hop_probabilities >= 0).all() and (found.hop_probabilities.sum(axis=1) <= 1 + 1e-12).all()
    assert (found.hop_probabilities[:, 0] == 0).all()


def test_hops_are_as_many_as_the_population_needs():
    """Fewest switches: where population only leaves the active state, the part that stays is the part that did not hop."""
    for coupling in (0.1, 1.0, np.pi):  # up to a full transfer in one step
        constant = two_states(0.0, coupling)
        found = propagate(np.array([[1, 0]], dtype=complex), ACTIVE, constant, constant, 0.5, 50)
        assert_allclose(1 - found.hop_probabilities[0, 1], np.cos(0.5 * coupling) ** 2, atol=2e-3)
    back = propagate(np.array([[1j, 1]]) / np.sqrt(2), ACTIVE, *2 * [two_states(0.0, -0.1, 0.0)], 0.5, 20)
    assert back.hop_probabilities.max() < 0.11  # the other sign brings population in


def test_the_propagator_passes_a_crossing_as_landau_and_zener_say():
    """Two diabatic states cross linearly, coupled by a spin-orbit magnitude; P = exp(-2 pi V^2 / (hbar alpha))."""
    coupling, alpha, step = 0.05, 0.05, 0.2  # eV, eV/fs
    coefficients = np.array([[1, 0]], dtype=complex)
    for time in np.arange(-100, 100, step):
        ends = [hamiltonian(np.array([[0.0, alpha * t]]), np.zeros((1, 2, 2)), np.array([[[0, coupling], [coupling, 0]]]))
                for t in (time, time + step)]  # fmt: skip
        coefficients = propagate(coefficients, ACTIVE, *ends, step, 4).coefficients
    expected = np.exp(-2 * np.pi * coupling**2 / (HBAR * alpha))
    assert_allclose(np.abs(coefficients[0, 0]) ** 2, expected, atol=0.02)  # it oscillates still


def test_decoherence_decays_with_its_time_and_keeps_the_norm():
    coefficients = np.array([[0.6, 0.8j], [1.0, 0.0], [0.0, 1.0]])
    energies, kinetic, timestep, energy = np.array([[0.0, 1.0]] * 3), np.array([2.0, 2.0, 2.0]), 0.5, 2.7
    found = decohere(coefficients, np.zeros(3, dtype=int), energies, kinetic, timestep, energy)
    time = HBAR / 1.0 * (1 + energy / 2.0)
    assert_allclose(np.abs(found[0, 1]) ** 2, 0.64 * np.exp(-2 * timestep / time))
    assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-15)
    assert_allclose(found[1:], coefficients[1:])
    still = decohere(coefficients, np.zeros(3, dtype=int), energies, np.zeros(3), timestep, energy)
    assert_allclose(still, coefficients)


def avoided_crossing(times, coupling, alpha):
    """Energies of two states whose diabatic gap is alpha t."""
    gap = np.sqrt((alpha * times) ** 2 + 4 * coupling**2)
    return np.stack((-gap / 2, gap / 2), axis=-1)


def test_curvature_gives_the_exact_coupling_of_an_avoided_crossing():
    coupling, alpha, step = 0.05, 0.1, 0.05
    for time in (-1.0, 0.0, 0.7):
        history = avoided_crossing(time - step * np.arange(4), coupling, alpha)[None]
        exact = coupling * alpha / ((alpha * time) ** 2 + 4 * coupling**2)
        found = curvature_couplings(history, step, (1, 1))[0]
        assert_allclose(found[0, 1], exact, rtol=5e-3)
        assert found[1, 0] == -found[0, 1]
        assert not curvature_couplings(history, step, (1, 3)).any()
    unknown = np.full((1, 4, 2), np.nan)
    unknown[:, :2] = [0, 1]
    assert not curvature_couplings(unknown, step, (1, 1)).any()


def test_landau_zener_finds_the_minimum_of_the_gap_and_its_probability():
    coupling, alpha, step = 0.03, 0.1, 0.25
    exact = np.exp(-2 * np.pi * coupling**2 / (HBAR * alpha))
    for offset in (0.0, 0.1, -0.12):
        found = []
        for last in np.arange(-3, 4):
            times = offset + step * (last - np.arange(3))
            found.append(landau_zener_probabilities(avoided_crossing(times, coupling, alpha)[None], ACTIVE, step, (1, 1))[0, 1])
        assert np.count_nonzero(found) == 1
        assert_allclose(max(found), exact, rtol=0.05)
    history = avoided_crossing(step * (1 - np.arange(3)), coupling, alpha)[None]
    assert not landau_zener_probabilities(history, ACTIVE, step, (1, 3)).any()


def test_couplings_of_vectors_are_their_product_with_the_velocities():
    rng = np.random.default_rng(0)
    nac, velocities = rng.normal(size=(2, 4, 3, 3)), rng.normal(size=(2, 4, 3))
    found = vector_couplings(nac, velocities, 3)
    assert_allclose(found[1, 0, 2], (nac[1, :, 1] * velocities[1]).sum())
    assert_allclose(found, -found.swapaxes(1, 2))


def test_random_numbers_belong_to_seed_trajectory_and_step():
    numbers, again = HopNumbers(3), HopNumbers(3)
    steps = [0, 255, 256, 1000, 2]
    one = np.array([numbers(np.array([5, 9]), step) for step in steps])
    other = np.array([again(np.array([9]), step) for step in reversed(steps)])[::-1]
    assert (one[:, 1] == other[:, 0]).all()
    assert not np.isin(one, [HopNumbers(4)(np.array([5, 9]), step) for step in steps]).any()
    many = np.array([numbers(np.arange(50), step) for step in range(400)])
    assert len(np.unique(many)) == many.size
    assert_allclose([many.mean(), many.var()], [1 / 2, 1 / 12], atol=5e-3)
