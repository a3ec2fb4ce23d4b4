"""Streaming: the batches of an epoch for a training loop of one's own, divided among ranks and worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from mlff.train.loaders import epoch_batches

Loaded = TypeVar("Loaded")


class EpochStream(IterableDataset[Loaded]):
    """The batches of an epoch, in the order of `mlff train`, for a ``torch.utils.data.DataLoader``::

        stream = EpochStream(frames.split("time")["train"], batch_size=32, load=frames.batch)
        loader = DataLoader(stream, batch_size=None, num_workers=4)
        for epoch in range(100):
            stream.set_epoch(epoch)
            for batch in loader:
                ...

    Seed and epoch alone decide which frames make up each global batch and in which order the batches come. Of each global
    batch rank r of R computes the frames ``[r::R]``, and its workers take turns, a batch each, so that every frame of the
    epoch is read once, by one process, and what a rank gets does not depend on the number of its workers. Workers may be
    forked or spawned: the paths of the data travel, and each process opens the files itself.
    """

    def __init__(
        self,
        indices: np.ndarray | Sequence[int],
        batch_size: int,
        load: Callable[[np.ndarray], Loaded],
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        """`rank` and `world_size` are those of ``torch.distributed`` where it is initialised, else 0 and 1.

        Args:
            indices: the frames of an epoch, as `load` knows them.
            batch_size: frames of a global batch, over all ranks together.
            load: reads frames: ``dataset.batch`` gives numpy arrays, ``BatchLoader(dataset, cutoff).load`` a graph with its
                targets (each worker keeps neighbour lists of its own).
            seed: fixes the order of the frames.
            rank: which process this is, from 0 on.
            world_size: number of processes.
            drop_last: leave out a last batch that is not full. Otherwise ranks for which such a batch has no frame get one
                without frames, so that all take as many steps.

        Raises:
            ValueError: a batch that has no frame for some rank, or a rank outside the world.
        """
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = rank if rank is not None else torch.distributed.get_rank() if distributed else 0
        self.world_size = world_size if world_size is not None else torch.distributed.get_world_size() if distributed else 1
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"`rank` is {self.rank}, but there are {self.world_size} process(es), counted from 0")
        if batch_size < self.world_size:
            raise ValueError(f"`batch_size` is {batch_size} for {self.world_size} process(es); it counts the frames of all "
                             f"processes together, so that one frame a process, {self.world_size}, is the least")
        self.indices = np.asarray(indices, dtype=np.int64)
        self.batch_size = batch_size
        self.load = load
        self.seed = seed
        self.drop_last = drop_last
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers that live on see it change

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is; before it begins, in every rank."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        full, rest = divmod(len(self.indices), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Loaded]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        batches = epoch_batches(self.indices, self.batch_size, self.seed, int(self._epoch))[: len(self)]
        return (self.load(batch[self.rank :: self.world_size]) for batch in batches[first::step])
