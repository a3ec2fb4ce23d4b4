"""Graphs of structures: atoms as nodes, pairs within a cutoff as edges."""

from .build import HalfList, batch_graph, build_graph, collate, split_graph
from .connect import GraphConfig, connect
from .graph import Graph
from .neighbors import half_list
from .verlet import VerletList

__all__ = [
    "Graph", "GraphConfig", "HalfList", "VerletList", "batch_graph", "build_graph", "collate", "connect", "half_list",
    "split_graph",
]  # fmt: skip
