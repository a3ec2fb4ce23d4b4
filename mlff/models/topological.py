"""What the topological models share: they know which atoms are connected, and nothing of where the atoms are.

Energies of theirs are the same for all conformers of a molecule, so that no forces follow from them; what such a model can
learn are quantities of molecules. Their layers are those of torch_geometric, imported when a model is built.
"""

from __future__ import annotations

from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor

from ..graph import Graph, GraphConfig
from .adapter import required
from .model import ModelConfig


class TopologicalConfig(ModelConfig):
    """Atoms are connected by bonds where ``graph`` says nothing else."""

    topological: ClassVar[bool] = True
    default_graph: ClassVar[GraphConfig] = GraphConfig(kind="bonds")


def layers_for(model: str) -> ModuleType:
    """``torch_geometric.nn``, or an ImportError that says how to install it for this model."""
    return required("torch_geometric.nn", model=model, extra="topology")


@torch.no_grad()
def connections(graph: Graph, cutoff: float) -> Tensor:
    """Atoms i and j of every directed edge nearer than the cutoff, int64 ``[2, E]``: each pair twice, once from either side.

    Periodic images of a pair are edges of their own.
    """
    near = graph.pair_vectors(torch.float64).square().sum(dim=1) < cutoff**2
    pairs = graph.pairs[:, near]
    return torch.cat((pairs, pairs.flip(0)), dim=1)
