"""The bootstrap's interval covers the mean as often as it says, and is that of whole trajectories."""

import numpy as np

from mlff.data.plots.ensemble import bootstrap, one_hot


def test_the_interval_is_that_of_a_share_of_trajectories():
    active = np.zeros((400, 3), dtype=int)
    active[:100, 1] = 1
    active[:200, 2] = 1
    low, high = bootstrap(one_hot(active, 2))
    np.testing.assert_allclose((low + high)[:, 1] / 2, [0, 0.25, 0.5], atol=0.01)
    np.testing.assert_allclose((high - low)[:, 1] / 2, 1.96 * np.sqrt([0, 0.25 * 0.75 / 400, 0.25 / 400]), rtol=0.1)
    np.testing.assert_allclose(low[:, 0] + high[:, 1], 1, atol=1e-6)


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 500)).astype(np.float32)  # 500 experiments of 60 trajectories, of mean 0
    low, high = bootstrap(values)
    assert abs(((low < 0) & (high > 0)).mean() - 0.95) < 0.03


def test_frames_of_one_trajectory_are_no_more_than_it():
    values = np.repeat(np.random.default_rng(1).normal(size=(50, 1)), 20, axis=1)
    low, high = bootstrap(values)
    assert np.ptp(low) < 1e-6 and np.ptp(high) < 1e-6 < 0.1 < (high - low).min()


def test_what_is_unknown_counts_for_nothing():
    values = np.array([[1.0, np.nan, np.nan], [1.0, 2.0, np.nan], [1.0, 2.0, np.nan]])
    low, high = bootstrap(values)
    np.testing.assert_array_equal(low, [1, 2, np.nan])
    np.testing.assert_array_equal(high, [1, 2, np.nan])
