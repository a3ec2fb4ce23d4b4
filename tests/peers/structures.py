"""Structures that both sides are asked about, and what it means that the answers are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
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


def assert_same(ours: dict[str, torch.Tensor], energy: torch.Tensor, forces: torch.Tensor, dtype: torch.dtype) -> None:
    """Energies (``[B]``) and forces (``[N, 3]``) equal ours to round-off, relative to the largest of each."""
    bound = 1e-5 if dtype == torch.float32 else 1e-10
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
