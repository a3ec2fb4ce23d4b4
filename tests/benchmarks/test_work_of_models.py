"""The models do no more work than they did: counts of operations, which no machine and no other program disturbs.

Where a count grows on purpose, say so in the commit and put the new number here; where it shrinks, put the new number
here too, so that what was won is kept.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from mlff.benchmarks.candidates import build_potential
from mlff.benchmarks.operations import count_operations
from mlff.benchmarks.systems import benchmark_system
from mlff.graph import Graph, build_graph
from mlff.models import MODELS

ALLOWED_GROWTH = 1.05
RECORDED = {  # one energy + force call, 24 atoms, 164 pairs: kernels, nodes of the traced graph, megabytes allocated
    "egnn": (461, 665, 18.2),
    "et": (939, 1558, 79.0),
    "gnn": (222, 312, 10.0),
    "gvp": (1251, 2213, 50.3),
    "painn": (321, 505, 30.6),
    "radial-field": (342, 489, 8.8),
    "schnet": (275, 412, 11.8),
    "tensornet": (796, 1438, 72.8),
    "visnet": (1314, 2167, 122.2),
}
WORDS = (
    "an energy + force call of {model} took {recorded} {what} and takes {found} now; if that is meant, put the new number "
    "into RECORDED in tests/benchmarks/test_work_of_models.py and say why in the commit"
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    atoms = benchmark_system("azobenzene")
    return build_graph(atoms.positions, atoms.numbers, 5.0)


def nodes_of_traced_graph(model: str, graph: Graph) -> int:
    """Operations, views included, of energies and forces traced together."""
    potential = build_potential(model).eval().requires_grad_(False)

    def energy_and_forces(positions: Tensor) -> tuple[Tensor, Tensor]:
        results = potential(replace(graph, positions=positions))
        return results["energy"], results["forces"]

    traced = make_fx(energy_and_forces, _allow_non_fake_inputs=True)(graph.positions)
    return sum(node.op == "call_function" for node in traced.graph.nodes)


@pytest.mark.parametrize("model", RECORDED)
def test_a_model_does_no_more_work_than_was_recorded(model: str, graph: Graph) -> None:
    count = count_operations(build_potential(model), graph)
    found = (count.kernels, nodes_of_traced_graph(model, graph), count.allocated_bytes / 1e6)
    for what, recorded, now in zip(("kernels", "traced operations", "megabytes"), RECORDED[model], found, strict=True):
        assert now <= ALLOWED_GROWTH * recorded, WORDS.format(model=model, recorded=recorded, what=what, found=round(now, 1))


def test_every_architecture_is_on_record() -> None:
    missing = sorted(set(MODELS) - set(RECORDED))
    assert not missing, f"add {', '.join(missing)} to RECORDED: kernels, traced operations and megabytes of a call"


def test_the_count_sees_an_operation_more(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    potential = build_potential("painn")
    before = count_operations(potential, graph)
    head = potential.head.forward
    monkeypatch.setattr(potential.head, "forward", lambda features: head(features) * torch.tensor(1.0))
    after = count_operations(potential, graph)
    assert after.kernels > before.kernels and after.allocated_bytes > before.allocated_bytes
