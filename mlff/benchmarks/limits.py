"""How long the arithmetic of a model takes at least on a machine: the measure of what is still to be won."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from mlff.graph import build_graph
from mlff.potential.potential import Potential

from .machine import copy_rate, product_rate
from .operations import PARTS, Operations, Part, Product, count_operations
from .systems import benchmark_system

NEEDED: tuple[Part, ...] = ("atoms", "edges")
"""What is left when every function of a distance alone is read from a table."""
SMALLEST_INNER = 16
"""Products with a shorter inner dimension, such as 3 x 3 matrices, do not set the rate: no library is needed for them."""


@dataclass(frozen=True)
class Limit:
    """The arithmetic of one energy + force call at the rates of a machine.

    Arithmetic: every operation that ``count_operations`` finds, at the rate of the model's matrix products, measured in their
    shapes.
    Bytes: operands and results of the matrix products, at the rate of copying; everything else could be fused, and
    what caches hold costs less. The limit is the longer of the two.
    """

    operations: Operations
    product_rate: float
    """FLOP/s, of the products over atoms and edges in their own shapes."""
    copy_rate: float
    """Bytes/s, read and written."""

    @property
    def arithmetic_seconds(self) -> float:
        """Of atoms and edges: functions of a distance alone can be tabulated."""
        return self.operations.flop(NEEDED) / self.product_rate

    @property
    def bytes_seconds(self) -> float:
        return self.operations.product_bytes / self.copy_rate

    @property
    def seconds(self) -> float:
        """The limit of one call with tabulated functions of the distance."""
        return max(self.arithmetic_seconds, self.bytes_seconds)

    def document(self) -> dict[str, Any]:
        """The limit as numbers for JSON."""
        operations = self.operations
        return {
            "milliseconds": 1e3 * self.seconds,
            "arithmetic_milliseconds": 1e3 * self.arithmetic_seconds,
            "untabulated_arithmetic_milliseconds": 1e3 * operations.flop() / self.product_rate,
            "bytes_milliseconds": 1e3 * self.bytes_seconds,
            "gigaflop_per_second": self.product_rate / 1e9,
            "gigabytes_per_second": self.copy_rate / 1e9,
            "product_megaflop": {part: operations.product_flop[part] / 1e6 for part in PARTS},
            "other_megaflop": {part: operations.other_flop[part] / 1e6 for part in PARTS},
            "product_megabytes": operations.product_bytes / 1e6,
            "eager_moved_megabytes": operations.moved_bytes / 1e6,
            "eager_allocated_megabytes": operations.allocated_bytes / 1e6,
            "eager_kernels": operations.kernels,
        }


def limit_of(
    potential: Potential, workload: str, *, threads: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32,
    copied: float | None = None,
) -> Limit:  # fmt: skip
    """The limit of a potential on a workload; `copied` is a rate of copying measured before."""
    atoms = benchmark_system(workload)
    cell, pbc = (atoms.cell.array, atoms.pbc) if atoms.pbc.any() else (None, None)
    graph = build_graph(atoms.positions, atoms.numbers, potential.cutoff, cell=cell, pbc=pbc, device=device)
    operations = count_operations(potential.to(device=device, dtype=dtype), graph)
    products: Counter[Product] = sum((operations.products[part] for part in NEEDED), Counter())
    products = Counter({shape: times for shape, times in products.items() if shape[2] >= SMALLEST_INNER})
    rate = product_rate(products, dtype=dtype, threads=threads, device=device)
    return Limit(operations, rate, copied or copy_rate(threads=threads, device=device))
