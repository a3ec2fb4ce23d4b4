"""Signs, order and overlaps of states from step to step."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from mlff.dynamics.namd import Surfaces
from mlff.dynamics.namd.tracking import crossings, follow, overlap_couplings


def surfaces(eigenvectors=None, nac=None, count=1, num_states=2):
    return Surfaces(np.zeros((count, num_states)), np.zeros((count, 1, 3)), nac=nac, eigenvectors=eigenvectors)


@pytest.mark.parametrize("num_states", [2, 3, 5])
def test_couplings_of_overlaps_turn_the_states_of_the_start_into_those_of_the_end(num_states):
    rng = np.random.default_rng(num_states)
    generators = rng.normal(size=(20, num_states, num_states))
    generators = 0.3 * (generators - generators.swapaxes(1, 2))
    rotations = np.array([scipy.linalg.expm(each) for each in generators])
    assert_allclose(overlap_couplings(rotations, 1.0), generators, atol=1e-12)
    noisy = rotations + 1e-4 * rng.normal(size=rotations.shape)
    assert_allclose(overlap_couplings(noisy, 0.5), generators / 0.5, atol=2e-3)
    assert_allclose(overlap_couplings(np.eye(num_states)[None], 0.5), 0)


def test_states_that_swap_turn_by_a_right_angle():
    found, _ = follow(surfaces(np.eye(2)[None]), surfaces(np.array([[[0.0, 1.0], [1.0, 0.0]]])), cross=False)
    assert_allclose(np.abs(overlap_couplings(found.eigenvectors, 1.0)[0, 0, 1]), np.pi / 2)


def test_a_state_that_became_another_is_found_and_an_avoided_crossing_is_not_one():
    swap = np.eye(4)[:, [0, 2, 1, 3]]
    cycle = np.eye(4)[:, [1, 2, 0, 3]]
    half = scipy.linalg.block_diag(np.array([[0.6, 0.8], [-0.8, 0.6]]), np.eye(2))
    places = crossings(np.array([swap, -cycle, half, np.eye(4)]))
    assert_array_equal(places, [[0, 2, 1, 3], [2, 0, 1, 3], [0, 1, 2, 3], [0, 1, 2, 3]])


def test_signs_follow_the_coupling_vectors_where_there_is_nothing_else():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(30, 4, 6, 3))  # four states
    signs = rng.choice([-1.0, 1.0], size=(30, 4))
    first, second = np.triu_indices(4, 1)
    turned = before * (signs[:, first] * signs[:, second])[:, None, :, None]
    found, _ = follow(surfaces(nac=before, count=30, num_states=4), surfaces(nac=turned, count=30, num_states=4), cross=True)
    assert_allclose(found.nac, before)


def test_signs_that_a_potential_keeps_are_left_alone():
    nac = np.ones((1, 1, 1, 3))
    before, after = surfaces(nac=nac), Surfaces(np.zeros((1, 2)), np.zeros((1, 1, 3)), nac=-nac, continuous_phases=True)
    assert_array_equal(follow(before, after, cross=True)[0].nac, -nac)
