"""Which models owe what to the contract, and when two results of one are the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mlff.graph import Graph
from mlff.potential.potential import Potential

from .variants import TOPOLOGICAL_VARIANTS, VARIANTS, WITHOUT_SYMMETRY

WITHOUT = [variant for variant, (name, _) in VARIANTS.items() if name in WITHOUT_SYMMETRY]
EVERY = [*VARIANTS, *TOPOLOGICAL_VARIANTS]
every = pytest.mark.parametrize("variant", EVERY)
"""For what models owe that have no forces, too."""
symmetric = pytest.mark.parametrize("variant", [variant for variant in EVERY if variant not in WITHOUT])
"""For what models owe that declare a symmetry."""
without_symmetry = pytest.mark.parametrize("variant", WITHOUT)


def close(actual: Tensor, expected: Tensor, atol: float = 1e-9) -> None:
    """Equal in float64, but for round-off; energies here are some -1e4 eV, of which reference energies are most."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def network_energies(potential: Potential, graph: Graph) -> Tensor:
    """Energies of the atoms less their reference energies, eV ``[N, S]``.

    Differences of totals near -1e4 eV would lose half of the digits.
    """
    return potential.config.scale * potential.head(potential.model(graph)).double()
