"""Structures that both sides are asked about, and what it means that the answers are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from mlff.graph import Graph, build_graph, collate

CUTOFF = 5.0
SPECIES = (1, 6, 7, 8)


@dataclass(frozen=True)
class Structure:
    """Positions and cell in Å; the cell is that of three periodic axes, or None."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64] | None = None

    def graph(self, cutoff: float = CUTOFF) -> Graph:
        pbc = None if self.cell is None else [True] * 3
        return build_graph(self.positions, self.numbers, cutoff, cell=self.cell, pbc=pbc)


def batch(structures: list[Structure], cutoff: float = CUTOFF) -> Graph:
    return collate([structure.graph(cutoff) for structure in structures])


class Edges:
    """Atoms of several structures and their directed edges, found by ASE, for peers that are given their neighbours."""

    def __init__(self, structures: list[Structure], cutoff: float = CUTOFF) -> None:
        centre, neighbor, offsets, first = [], [], [], 0
        for structure in structures:
            atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.cell is not None)
            i, j, shift = neighbor_list("ijS", atoms, cutoff)
            centre.append(torch.from_numpy(i) + first)
            neighbor.append(torch.from_numpy(j) + first)
            offsets.append(torch.from_numpy(shift @ atoms.cell.array))
            first += len(atoms)
        self.numbers = torch.cat([torch.from_numpy(structure.numbers) for structure in structures])
        self.positions = torch.cat([torch.from_numpy(structure.positions) for structure in structures])
        self.counts = torch.tensor([len(structure.numbers) for structure in structures])
        self.batch = torch.repeat_interleave(torch.arange(len(structures)), self.counts)
        self.index = torch.stack((torch.cat(neighbor), torch.cat(centre)))
        """Neighbour (row 0) and centre (row 1), torch_geometric's order: ``[2, E]``."""
        self.offsets = torch.cat(offsets)
        """Å, ``[E, 3]``."""

    def vectors(self, positions: torch.Tensor) -> torch.Tensor:
        """From each edge's centre to its neighbour, Å: ``[E, 3]``."""
        return positions[self.index[0]] - positions[self.index[1]] + self.offsets.to(positions)


def assert_same(ours: dict[str, torch.Tensor], energy: torch.Tensor, forces: torch.Tensor, dtype: torch.dtype) -> None:
    """Energies (``[B]``) and forces (``[N, 3]``) equal ours to round-off, relative to the largest of each."""
    bound = 2e-5 if dtype == torch.float32 else 1e-10
    for name, value, expected in (
        ("energy", ours["energy"][:, 0], energy.detach().double()),
        ("forces", ours["forces"][:, 0].double(), forces.detach().double()),
    ):
        assert value.shape == expected.shape
        scale = expected.abs().max()
        assert scale > 1e-3, f"the {name} of the peer is nearly zero: nothing is compared"
        deviation = ((value - expected).abs().max() / scale).item()
        print(f"{name}: largest {scale:.3g}, largest relative deviation {deviation:.2e}")
        assert deviation < bound, f"{name} deviates by {deviation:.1e} of its largest value"
