"""What a model is given in place of a structure: deformed, to be differentiated by strain, or with atoms told apart."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..graph import Graph


def places(graph: Graph, molecule: tuple[int, ...]) -> Tensor:
    """Place, from 1, of every atom in its structure, each of which is this molecule."""
    numbers = graph.atomic_numbers
    if type(numbers) is Tensor:  # not while a compiler traces
        known = numbers.new_tensor(molecule).repeat(graph.num_graphs)
        if not torch.equal(numbers, known):
            raise ValueError(f"this potential tells atoms apart by their place: it knows one molecule, with the atomic numbers "
                             f"{list(molecule)} in this order, and was given others")
    return torch.arange(numbers.shape[0], device=numbers.device) % len(molecule) + 1


def strained(graph: Graph, positions: Tensor, strain: Tensor | None) -> Graph:
    """The graph at these positions, deformed with its cell by ``1 + strain``, ``[B, 3, 3]``, symmetrised."""
    if strain is None:
        return replace(graph, positions=positions)
    assert graph.cell is not None
    deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + 0.5 * (strain + strain.mT)
    moved = (positions.unsqueeze(1) @ deformation.index_select(0, graph.batch)).squeeze(1)
    return replace(graph, positions=moved, cell=graph.cell @ deformation)
