"""From arrays to a Graph: one structure, or a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .graph import Graph
from .neighbors import half_list
from .neighbors.structure import check_pbc

HalfList = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pairs ``[P, 2]`` and their integer cell shifts ``[P, 3]``, each pair once."""


class Structures(Protocol):
    """The arrays of a batch of structures, atoms concatenated (``mlff.data`` makes them)."""

    @property
    def atomic_numbers(self) -> np.ndarray:
        """``[N]``."""

    @property
    def positions(self) -> np.ndarray:
        """Å, ``[N, 3]``."""

    @property
    def num_atoms(self) -> np.ndarray:
        """``[B]``."""

    @property
    def cell(self) -> np.ndarray | None:
        """Å, ``[B, 3, 3]``; None where no structure has one."""

    @property
    def pbc(self) -> np.ndarray:
        """``[B, 3]``."""


def build_graph(
    positions: ArrayLike,
    atomic_numbers: ArrayLike,
    cutoff: float,
    *,
    cell: ArrayLike | None = None,
    pbc: ArrayLike | None = None,
    backend: str = "vesin",
    neighbors: HalfList | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Graph:
    """The graph of one structure.

    Args:
        positions: Å, ``[N, 3]``.
        atomic_numbers: ``[N]``.
        cutoff: Å.
        cell: lattice vectors as rows, Å; ignored unless an axis is periodic.
        pbc: which of the three axes are periodic; none by default.
        backend: name of a neighbour-list backend.
        neighbors: the half list, where the caller keeps one (a Verlet skin, a cache); made by ``backend`` otherwise.

    Raises:
        ValueError: positions, cell or periodicity that no neighbour list can be made of.
    """
    pairs, shifts = neighbors or half_list(positions, cell, pbc, cutoff, backend=backend)  # checks its arguments
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    numbers = np.asarray(atomic_numbers, dtype=np.int64).reshape(-1)
    if len(numbers) != len(positions):
        raise ValueError(f"{len(numbers)} atomic numbers were given for {len(positions)} positions; give one an atom")
    periodic = check_pbc(pbc) if np.any(pbc) else None  # a cell without a periodic axis is a molecule
    cell_array = None if periodic is None else np.asarray(cell, dtype=np.float64).reshape(3, 3)

    def tensor(array: NDArray, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(array, dtype=dtype, device=device)  # a copy: the caller may move its atoms in place

    return Graph(
        positions=tensor(positions, dtype),
        atomic_numbers=tensor(numbers, torch.int64),
        batch=torch.zeros(len(numbers), dtype=torch.int64, device=device),
        pairs=tensor(pairs.T, torch.int64),
        cutoff=float(cutoff),
        num_graphs=1,
        pair_shifts=None if cell_array is None else tensor(shifts, dtype),
        cell=None if cell_array is None else tensor(cell_array[None], dtype),
        pbc=None if periodic is None else tensor(periodic[None], torch.bool),
    )


def collate(graphs: Sequence[Graph]) -> Graph:
    """One graph of several; all must have the same cutoff. Molecules and crystals may be mixed."""
    cutoffs = {graph.cutoff for graph in graphs}
    if len(cutoffs) != 1:
        raise ValueError(f"graphs with the cutoffs {sorted(cutoffs)} Å cannot be one batch; build them with one cutoff")
    atom_offset = np.cumsum([0] + [graph.num_atoms for graph in graphs])
    graph_offset = np.cumsum([0] + [graph.num_graphs for graph in graphs])
    first = graphs[0]
    periodic = any(graph.cell is not None for graph in graphs)

    def cells(graph: Graph) -> torch.Tensor:
        return graph.positions.new_zeros(graph.num_graphs, 3, 3) if graph.cell is None else graph.cell

    def flags(graph: Graph) -> torch.Tensor:
        return graph.batch.new_zeros(graph.num_graphs, 3, dtype=torch.bool) if graph.pbc is None else graph.pbc

    def shifts(graph: Graph) -> torch.Tensor:
        return graph.positions.new_zeros(graph.num_pairs, 3) if graph.pair_shifts is None else graph.pair_shifts

    return Graph(
        positions=torch.cat([graph.positions for graph in graphs]),
        atomic_numbers=torch.cat([graph.atomic_numbers for graph in graphs]),
        batch=torch.cat([graph.batch + int(offset) for graph, offset in zip(graphs, graph_offset)]),
        pairs=torch.cat([graph.pairs + int(offset) for graph, offset in zip(graphs, atom_offset)], dim=1),
        cutoff=first.cutoff,
        num_graphs=int(graph_offset[-1]),
        pair_shifts=torch.cat([shifts(graph) for graph in graphs]) if periodic else None,
        cell=torch.cat([cells(graph) for graph in graphs]) if periodic else None,
        pbc=torch.cat([flags(graph) for graph in graphs]) if periodic else None,
    )


def split_graph(graph: Graph, num_structures: int) -> Graph:
    """The graph of one structure as that of several of the same number of atoms, in the same cell, one behind the other."""
    if num_structures == 1:
        return graph
    return replace(
        graph,
        batch=torch.arange(graph.num_atoms, device=graph.batch.device) // (graph.num_atoms // num_structures),
        num_graphs=num_structures,
        cell=None if graph.cell is None else graph.cell.expand(num_structures, 3, 3),
        pbc=None if graph.pbc is None else graph.pbc.expand(num_structures, 3),
    )


def batch_graph(
    structures: Structures,
    cutoff: float,
    *,
    backend: str = "vesin",
    neighbors: Sequence[HalfList] | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Graph:
    """The graph of a batch of structures; ``neighbors`` holds a half list for each, where the caller keeps them."""
    ends = np.cumsum(structures.num_atoms)
    graphs = []
    for index, (end, count) in enumerate(zip(ends, structures.num_atoms)):
        atoms = slice(end - count, end)
        graphs.append(
            build_graph(
                structures.positions[atoms],
                structures.atomic_numbers[atoms],
                cutoff,
                cell=None if structures.cell is None else structures.cell[index],
                pbc=None if structures.cell is None else structures.pbc[index],
                backend=backend,
                neighbors=None if neighbors is None else neighbors[index],
                dtype=dtype,
            )
        )
    return collate(graphs).to(device)
