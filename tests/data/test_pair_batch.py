"""Batches with quantities of pairs of states: each system's pairs at their place, the others missing."""

from __future__ import annotations

import numpy as np
import pytest

from mlff.data import HDF5Dataset, HDF5Writer


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> HDF5Dataset:
    """Systems with three states and pairs in an order of their own, with two states, and with one."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.h5"
    rng = np.random.default_rng(0)
    with HDF5Writer(path) as writer:
        writer.add_system(
            "H3", [1, 1, 1], num_states=3, nac_pairs=[(1, 2), (0, 1)], dipole_pairs=[(0, 1), (0, 0)], soc_pairs=[(0, 2)]
        )
        writer.add_system("HF", [1, 9], num_states=2, nac_pairs=[(0, 1)])
        writer.add_system("He", [2])
        writer.add_trajectory("H3", {
            "positions": rng.normal(size=(4, 3, 3)), "energy": rng.normal(size=(4, 3)),
            "nac": rng.normal(size=(4, 3, 2, 3)), "nac_valid": np.array([[1, 1], [1, 0], [0, 1], [1, 1]], bool),
            "dipole": rng.normal(size=(4, 2, 3)), "soc_magnitude": np.array([[0.1], [np.nan], [0.3], [0.4]]),
        })  # fmt: skip
        writer.add_trajectory("HF", {"positions": rng.normal(size=(3, 2, 3)), "energy": rng.normal(size=(3, 2)),
                                     "nac": rng.normal(size=(3, 2, 1, 3))})  # fmt: skip
        writer.add_trajectory("He", {"positions": rng.normal(size=(1, 1, 3)), "energy": rng.normal(size=(1, 1))})
    return HDF5Dataset(path)


ALL = ("nac", "interstate_coupling", "dipole", "soc_magnitude")


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [6, 0, 7, 4, 2, 1], [7]])
def test_values_are_the_frames_at_the_place_of_their_pair(dataset, order):
    batch = dataset.batch(order, ALL)
    assert set(batch.of_pairs) == {"nac", "dipole", "soc_magnitude"}  # no system has interstate couplings
    assert batch.of_pairs["nac"].pairs == ((0, 1), (1, 2)) and batch.of_pairs["dipole"].pairs == ((0, 0), (0, 1))
    starts = np.cumsum(batch.num_atoms) - batch.num_atoms
    for place, index in enumerate(order):
        owner, row = (int(each[0]) for each in dataset.locate([index]))
        system = dataset.systems[owner]
        atoms = slice(starts[place], starts[place] + batch.num_atoms[place])
        for name, own, where in (
            ("nac", system.nac_pairs, atoms), ("dipole", system.dipole_pairs, place), ("soc_magnitude", system.soc_pairs, place)
        ):  # fmt: skip
            held = batch.of_pairs[name]
            for column, pair in enumerate(held.pairs):
                if pair not in own:
                    assert np.isnan(held.values[where, column]).all() and not held.valid[place, column]
                    continue
                expected = system.read(name, np.array([row]))[0]
                expected = expected[:, own.index(pair)] if name == "nac" else expected[own.index(pair)]
                np.testing.assert_array_equal(held.values[where, column], expected)
                assert held.valid[place, column] == bool(np.isfinite(expected).all())


def test_nothing_is_read_that_is_not_asked_for(dataset):
    assert dict(dataset.batch([0, 5]).of_pairs) == {}
    assert set(dataset[1:3].batch([0], ("dipole",)).of_pairs) == {"dipole"}
    assert dataset.pairs_of("soc_magnitude") == dataset[:2].pairs_of("soc_magnitude") == ((0, 2),)
    with pytest.raises(ValueError, match="'forces' is no quantity of pairs of states; those are nac, interstate_coupling"):
        dataset.batch([0], ("forces",))
