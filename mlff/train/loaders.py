"""Frames in, graphs and targets out: the order of an epoch, and the batches that a process computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlff.data import Batch, HDF5Dataset, HDF5View
from mlff.graph import Graph, batch_graph
from mlff.graph.build import HalfList
from mlff.graph.neighbors import half_list
from mlff.train.loss import Targets
from mlff.train.pair_targets import PairTargets

CACHE_BYTES = 512 * 2**20
"""Neighbour lists of frames are kept in memory up to this size, as positions on disk never change."""


def epoch_batches(indices: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The global batches of an epoch: all frames once, in an order that (seed, epoch) alone determines."""
    order = np.random.default_rng([seed, epoch]).permutation(np.asarray(indices))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


class BatchLoader:
    """Reads frames of a dataset through its memory map and makes their graphs on the fly."""

    def __init__(
        self,
        dataset: HDF5Dataset | HDF5View,
        cutoff: float,
        *,
        states: Sequence[int] | None = None,
        pairs: PairTargets | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        backend: str = "vesin",
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`states`: columns of the dataset to take as targets, all by default; `pairs`: what of pairs of states to take, too;
        `dtype`: of everything but energies."""
        self.dataset = dataset
        self.cutoff = cutoff
        self.states = None if states is None else list(states)
        self.pairs = pairs or PairTargets()
        self.device = torch.device(device)
        self.dtype = dtype
        self.backend = backend
        self._cache: dict[int, HalfList] = {}
        self._room = cache_bytes

    def load(self, indices: np.ndarray, epoch: int | None = None) -> tuple[Graph, Targets]:
        """The graph and the reference values of these frames.

        `epoch` is that of training, None for measuring: loaders whose frames change from epoch to epoch look at it.
        """
        batch = self.dataset.batch(np.asarray(indices), self.pairs.quantities)
        graph = batch_graph(batch, self.cutoff, neighbors=self._neighbors(indices, batch), device=self.device)
        return with_volume(graph), targets_of(batch, self.states, self.device, self.dtype, self.pairs)

    def _neighbors(self, indices: np.ndarray, batch: Batch) -> list[HalfList]:
        lists = []
        ends = np.cumsum(batch.num_atoms)
        for position, index in enumerate(np.asarray(indices).tolist()):
            pairs = self._cache.get(index)
            if pairs is None:
                atoms = slice(ends[position] - batch.num_atoms[position], ends[position])
                periodic = batch.cell is not None and bool(batch.pbc[position].any())
                pairs = half_list(
                    batch.positions[atoms],
                    batch.cell[position] if periodic and batch.cell is not None else None,
                    batch.pbc[position] if periodic else None,
                    self.cutoff,
                    backend=self.backend,
                )
                size = sum(array.nbytes for array in pairs)
                if size <= self._room:
                    self._cache[index] = pairs
                    self._room -= size
            lists.append(pairs)
        return lists


def with_volume(graph: Graph) -> Graph:
    """The graph with a unit cell for each molecule among crystals, so that its stress, which nothing reads, is a number."""
    if graph.cell is None:
        return graph
    flat = torch.linalg.det(graph.cell) == 0
    unit = torch.eye(3, dtype=graph.cell.dtype, device=graph.cell.device)
    return replace(graph, cell=torch.where(flat[:, None, None], unit, graph.cell))


def targets_of(
    batch: Batch,
    states: Sequence[int] | None,
    device: torch.device | str,
    dtype: torch.dtype,
    pairs: PairTargets | None = None,
) -> Targets:
    """The reference values of a batch as tensors, with a mask of each value's own shape."""
    columns: slice | list[int] = slice(None) if states is None else list(states)
    values: dict[str, Tensor] = {}
    valid: dict[str, Tensor] = {}

    def add(name: str, array: np.ndarray, mask: np.ndarray, kind: torch.dtype) -> None:
        mask = np.broadcast_to(mask, array.shape) & np.isfinite(array)
        values[name] = torch.as_tensor(np.where(mask, array, 0.0), dtype=kind).to(device, non_blocking=True)
        valid[name] = torch.as_tensor(mask).to(device, non_blocking=True)

    if batch.energy is not None:
        add("energy", batch.energy[:, columns], batch.energy_valid[:, columns], torch.float64)
    if batch.forces is not None:
        add("forces", batch.forces[:, columns], batch.forces_valid[batch.batch][:, columns, None], dtype)
    if batch.stress is not None:
        add("stress", batch.stress[:, columns], (batch.stress_valid & batch.pbc.any(1))[:, None, None], dtype)
    num_atoms = torch.as_tensor(batch.num_atoms, dtype=torch.float64).to(device)
    if pairs is None:
        return Targets(values, valid, num_atoms)
    for name, (array, mask, _) in pairs.read(batch, states).items():
        add(name, array, mask, dtype)
    return Targets(
        values, valid, num_atoms, torch.as_tensor(batch.batch).to(device), nac_pairs=pairs.nac_pairs,
        dipole_pairs=pairs.dipole_pairs, alike=pairs.alike, shared_phases=pairs.shared_phases,
    )  # fmt: skip
