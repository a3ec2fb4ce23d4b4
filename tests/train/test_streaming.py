"""Every frame of an epoch is read once, in one order, whatever the number of ranks and workers."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.train.loaders import BatchLoader, epoch_batches
from mlff.train.streaming import EpochStream

FRAMES = np.arange(100, 145)  # 45 frames: batches of 8 and a last one of 5


def process_and_frames(indices):
    return os.getpid(), indices.tolist()


def epoch_of(num_workers, rank=0, world_size=1, epoch=0, **options):
    stream = EpochStream(FRAMES, 8, process_and_frames, seed=3, rank=rank, world_size=world_size, **options)
    stream.set_epoch(epoch)
    context = "fork" if num_workers else None
    return list(DataLoader(stream, batch_size=None, num_workers=num_workers, multiprocessing_context=context))


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_two_ranks_with_any_workers_visit_each_frame_once_in_the_order_of_training(num_workers):
    ranks = [epoch_of(num_workers, rank, 2, epoch=4) for rank in range(2)]
    expected = epoch_batches(FRAMES, 8, 3, 4)
    for rank, batches in enumerate(ranks):
        assert [frames for _, frames in batches] == [batch[rank::2].tolist() for batch in expected]
        assert len({process for process, _ in batches}) == max(1, num_workers)
    assert sorted(frame for batches in ranks for _, frames in batches for frame in frames) == FRAMES.tolist()


def test_epochs_differ_and_workers_that_live_on_see_the_next_one():
    stream = EpochStream(FRAMES, 8, process_and_frames)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context="fork")
    seen = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        seen.append([frames for _, frames in loader])
        assert seen[epoch] == [batch.tolist() for batch in epoch_batches(FRAMES, 8, 0, epoch)]
    assert seen[0] != seen[1]


def test_a_last_batch_is_kept_for_all_ranks_or_left_out():
    frames = np.arange(9)
    kept, dropped = ([list(EpochStream(frames, 4, len, rank=rank, world_size=2, drop_last=drop)) for rank in range(2)]
                     for drop in (False, True))  # fmt: skip
    assert kept == [[2, 2, 1], [2, 2, 0]] and dropped == [[2, 2], [2, 2]]
    assert len(EpochStream(frames, 4, len)) == 3 and len(EpochStream(frames, 4, len, drop_last=True)) == 2


def test_the_rank_is_that_of_torch_distributed(monkeypatch):
    for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 2)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    stream = EpochStream(FRAMES, 8, process_and_frames)
    assert [frames for _, frames in stream] == [batch[1::2].tolist() for batch in epoch_batches(FRAMES, 8, 0, 0)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 2, "world_size": 2}, "`rank` is 2, but there are 2 process"),
        ({"rank": 0, "world_size": 9}, "`batch_size` is 8 for 9 process"),
    ],
)
def test_what_cannot_be_divided_is_told(options, words):
    with pytest.raises(ValueError, match=words):
        EpochStream(FRAMES, 8, len, **options)


def test_graphs_come_from_workers_as_from_here(azobenzene):
    load = BatchLoader(azobenzene, 4.0).load
    here = list(EpochStream(FRAMES, 16, load))
    there = list(DataLoader(EpochStream(FRAMES, 16, load), batch_size=None, num_workers=2, multiprocessing_context="fork"))
    for (graph, targets), (other, others) in zip(here, there, strict=True):
        assert_close(graph.positions, other.positions, rtol=0, atol=0)
        assert torch.equal(graph.pairs, other.pairs)
        assert torch.equal(targets.values["energy"], others.values["energy"])


@pytest.fixture
def growing(tmp_path):
    """A file that is still being written, which is read through h5py."""
    writer = HDF5Writer(tmp_path / "growing.h5")
    writer.add_system("He", [2])
    for k in range(40):
        writer.add_trajectory("He", {"positions": np.full((2, 1, 3), k)}, name=str(k))
    yield tmp_path / "growing.h5"
    writer.close()


def handle_of_child(dataset, mine):
    """In a forked process: whether the file was opened anew, and numbers read through it."""
    dataset.batch([0])
    handle = dataset.systems[0]._file.get()
    return handle is mine, handle.id.valid, bool(mine), dataset.batch([5, 70]).positions.ravel()[[0, 3]].tolist()


def test_an_open_file_does_not_cross_a_fork(growing):
    dataset = HDF5Dataset(growing)
    dataset.batch([3])
    mine = dataset.systems[0]._file.get()
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=lambda: send.send(handle_of_child(dataset, mine)))
    child.start()
    assert receive.poll(30)
    same, valid, inherited_open, numbers = receive.recv()
    child.join()
    assert not same and valid and not inherited_open and numbers == [2.0, 35.0]
    assert mine and dataset.batch([70]).positions[0, 0] == 35


def test_workers_read_a_file_that_the_parent_has_open(growing):
    dataset = HDF5Dataset(growing)
    dataset.batch([0])
    stream = EpochStream(np.arange(80), 10, dataset.batch)
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")
    read = [batch.positions[:, 0].tolist() for batch in loader]
    assert read == [(batch // 2).tolist() for batch in epoch_batches(np.arange(80), 10, 0, 0)]
