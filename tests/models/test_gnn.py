"""GNN against its equations in table 1 of arXiv:2102.09844, in numpy, edge by edge, and what coordinates as features cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlff.fast import CompilationError, Program
from mlff.fast.portable import export_potential
from mlff.graph import build_graph
from mlff.models import GNN, GNNConfig

from .numpy_layers import Array, envelope, linear, links_within, silu
from .variants import CUTOFF, NUMBERS, POSITIONS, crystal, make_potential, molecule


def reference(model: GNN, positions: Array, numbers: Array, periodic: bool) -> Array:
    """h of every atom: ``m_ij = phi_e(h_i, h_j)``, their sum, ``h_i + phi_h(h_i, m_i)``."""
    h = model.embedding.weight.detach().numpy()[numbers] + positions @ model.place.weight.detach().numpy().T
    for layer in model.layers:
        gathered = np.zeros_like(h)
        for i, j, r_ij in links_within(CUTOFF, periodic):
            if r := np.linalg.norm(r_ij):
                hidden = silu(linear(layer.centre, h[i]) + linear(layer.neighbor, h[j]))
                message = silu(linear(layer.message[1], hidden))
                gathered[i] += message * envelope(model.config.envelope, r, CUTOFF)
        h = h + linear(layer.node[2], silu(linear(layer.node[0], np.concatenate((h, gathered), axis=1))))
    return h


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("kind", ["polynomial", "cosine"])
def test_network_obeys_the_equations_of_the_paper(kind: str, periodic: bool) -> None:
    torch.manual_seed(2)
    model = GNN(GNNConfig(num_features=6, num_layers=3, cutoff=CUTOFF, envelope=kind)).double()
    found = model((crystal if periodic else molecule)()).scalar.detach().numpy()
    np.testing.assert_allclose(found, reference(model, POSITIONS, NUMBERS, periodic), rtol=1e-10, atol=1e-12)


def test_a_lone_atom_feels_where_it_is() -> None:
    potential = make_potential("gnn")
    here, there = (potential(build_graph([place], [8], CUTOFF)) for place in ([0, 0, 0], [0, 0, 1.0]))
    assert (here["energy"] - there["energy"]).abs().min() > 1e-3 and here["forces"].abs().max() > 1e-3


def test_its_forces_push_and_turn_the_molecule() -> None:
    graph = molecule()
    forces = make_potential("gnn")(graph)["forces"][:, 0]
    assert forces.sum(0).abs().max() > 1e-2
    assert torch.linalg.cross(graph.positions, forces).sum(0).abs().max() > 1e-2


def test_code_that_is_given_vectors_between_atoms_is_not_made_of_it() -> None:
    with pytest.raises(CompilationError, match="energy depends on where the atoms are"):
        Program(make_potential("gnn"), compile=False)
    with pytest.raises(ValueError, match="energy depends on where the atoms are"):
        export_potential(make_potential("gnn"))
