"""Which atoms of a structure are connected: all pairs within the cutoff, each atom's nearest neighbours, or bonds.

Loaders, calculators and Verlet lists give all pairs within the cutoff; the other two kinds are selections of those, made by
the potential. Only the first is a continuous function of the positions once a smooth envelope ends it: a pair that enters or
leaves the other two does so at a distance where messages do not vanish, and the energy jumps (docs/graphs.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from .covalent_radii import COVALENT_RADII
from .graph import Graph

NUM_NEIGHBORS = 12
TOLERANCE = 1.3
TIE = 1e-6
"""Squared distances that differ by less than this fraction are equal, so that rounding does not choose among the equivalent
neighbours of a symmetric structure."""


class GraphConfig(BaseModel):
    """How atoms are connected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["radius", "knn", "bonds"] = "radius"
    """All pairs within the cutoff; of those the nearest neighbours of each atom; or of those the covalent bonds."""
    neighbors: int = Field(default=NUM_NEIGHBORS, ge=1)
    """knn: how many neighbours an atom chooses. A pair stays where one of the two chose the other."""
    tolerance: float = Field(default=TOLERANCE, gt=0)
    """bonds: atoms are bonded where they are nearer than this times the sum of their covalent radii."""

    @model_validator(mode="after")
    def _nothing_is_overruled(self) -> GraphConfig:
        if self.kind != "knn" and self.neighbors != NUM_NEIGHBORS:
            raise ValueError(f"`neighbors` is {self.neighbors}, but only `kind: knn` counts neighbours, and `kind` is "
                             f"{self.kind}; leave one of them out")
        if self.kind != "bonds" and self.tolerance != TOLERANCE:
            raise ValueError(f"`tolerance` is {self.tolerance:g}, but only `kind: bonds` knows bonds, and `kind` is "
                             f"{self.kind}; leave one of them out")
        return self

    def discontinuity(self) -> str | None:
        """A sentence that says where energies jump; None where they need not."""
        if self.kind == "radius":
            return None
        where = f"its {self.neighbors} nearest neighbours change" if self.kind == "knn" else "a bond forms or breaks"
        return (f"atoms are connected by `graph.kind={self.kind}`: the energy of an atom jumps where {where}, and forces know "
                f"nothing of it (docs/graphs.md)")

    def check_elements(self, species: Sequence[int]) -> None:
        """Raise a ValueError where bonds are asked for between atoms without a covalent radius."""
        unknown = [z for z in species if not 1 <= z < len(COVALENT_RADII)]
        if self.kind == "bonds" and unknown:
            raise ValueError(f"`graph.kind` is bonds, but covalent radii are known for the elements 1 to "
                             f"{len(COVALENT_RADII) - 1}, not for {', '.join(map(str, unknown))}; take radius or knn")


def connect(graph: Graph, config: GraphConfig) -> Graph:
    """The graph with those of its pairs that connect atoms.

    Args:
        graph: with all pairs nearer than its cutoff; molecules, crystals, or both.
        config: what connects atoms. ``radius`` returns the graph as it is. ``knn`` and ``bonds`` keep no pair as far as the
            cutoff. For ``knn`` images of an atom are neighbours of their own, an atom's own images, too; an atom that has
            fewer within the cutoff keeps them all, and one whose next neighbours are as far as the last chosen keeps those
            as well.

    Returns:
        A graph with the same atoms and cutoff. Which pairs were selected is not differentiated; their vectors are.
    """
    if config.kind == "radius":
        return graph
    with torch.no_grad():
        squares = graph.pair_vectors(torch.float64).square().sum(dim=1)
        if config.kind == "knn":
            chosen = _nearest(graph, squares, config.neighbors)
        else:
            chosen = _bonded(graph, squares, config.tolerance)
        chosen &= squares < graph.cutoff**2
    return graph.with_pairs(chosen.nonzero().squeeze(1))


def _nearest(graph: Graph, squares: Tensor, neighbors: int) -> Tensor:
    """Whether one of the two atoms of each pair has the other among its nearest neighbours: bool ``[P]``."""
    centres, squares = graph.pairs.flatten(), squares.repeat(2)  # of all directed edges
    by_length = squares.argsort()
    order = by_length[centres[by_length].argsort(stable=True)]
    count = centres.bincount(minlength=graph.num_atoms)
    first = count.cumsum(0) - count
    has_more = count > neighbors
    reach = squares.new_full((graph.num_atoms,), torch.inf)
    reach[has_more] = squares[order[first[has_more] + neighbors - 1]]
    near = squares <= (1 + TIE) * reach[centres]
    forward, backward = near.view(2, -1)
    return forward | backward


def _bonded(graph: Graph, squares: Tensor, tolerance: float) -> Tensor:
    """Whether the two atoms of each pair are nearer than `tolerance` times the sum of their covalent radii: bool ``[P]``."""
    radii = torch.tensor(COVALENT_RADII, dtype=torch.float64, device=squares.device)[graph.atomic_numbers]
    i, j = graph.pairs
    return squares < (tolerance * (radii[i] + radii[j])).square()
