"""Graphs of structures: atoms as nodes, pairs within a cutoff as edges."""

from .build import HalfList, batch_graph, build_graph, collate, split_graph
from .graph import Graph
from .neighbors import half_list
from .verlet import VerletList

__all__ = ["Graph", "HalfList", "VerletList", "batch_graph", "build_graph", "collate", "half_list", "split_graph"]
