"""The order of frames and what becomes of them."""

from __future__ import annotations

import numpy as np
import torch
from torch.testing import assert_close

from mlff.data import HDF5Dataset
from mlff.graph import batch_graph
from mlff.train.loaders import BatchLoader, epoch_batches


def test_an_epoch_holds_every_frame_once_in_an_order_of_its_own():
    indices = np.arange(100, 123)
    batches = epoch_batches(indices, 5, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(batches)) == list(indices)
    again, other, seed = (np.concatenate(epoch_batches(indices, 5, *key)) for key in ((1, 0), (1, 1), (2, 0)))
    assert (again == np.concatenate(batches)).all()
    assert (other != again).any() and (seed != again).any()


def test_kept_neighbour_lists_give_the_same_graph(azobenzene):
    loader = BatchLoader(azobenzene, 4.0)
    chosen = np.array([7, 3, 400])
    first, second = loader.load(chosen)[0], loader.load(chosen)[0]
    direct = batch_graph(azobenzene.batch(chosen), 4.0)
    for graph in (first, second):
        assert_close(graph.pairs, direct.pairs)
        assert_close(graph.positions, direct.positions, rtol=0, atol=0)


def test_the_kept_neighbour_lists_have_a_bound(azobenzene):
    loader = BatchLoader(azobenzene, 4.0, cache_bytes=20_000)
    loader.load(np.arange(20))
    assert 0 < len(loader._cache) < 5


def test_targets_are_the_files_values_with_gaps_masked(two_states):
    dataset = HDF5Dataset(two_states)
    graph, targets = BatchLoader(dataset, 4.0).load(np.array([0, 1, 30]))  # CH2O without S1, CH2O, H2O
    assert graph.num_atoms == 11
    assert targets.valid["energy"].tolist() == [[True, False], [True, True], [True, False]]
    assert targets.values["energy"].dtype == torch.float64
    assert targets.values["energy"][1, 1].item() == dataset[1].energy[1]
    assert not targets.values["forces"].isnan().any()
    assert targets.valid["forces"].all(2)[:, 1].tolist() == [False] * 4 + [True] * 4 + [False] * 3


def test_states_can_be_chosen(two_states):
    _, targets = BatchLoader(HDF5Dataset(two_states), 4.0, states=[1]).load(np.array([1]))
    assert targets.values["energy"].shape == (1, 1) and targets.values["energy"].item() > -97
    assert targets.values["forces"].shape == (4, 1, 3)
