"""Selections of the pairs within a cutoff: nearest neighbours and bonds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlff.graph import GraphConfig, build_graph, collate, connect
from mlff.graph.topology import covalent_bonds, nearest_neighbors

SKEWED = np.array([[4.0, 0.0, 0.0], [3.5, 4.5, 0.0], [-3.0, 2.0, 5.0]])
BONDS = [GraphConfig(kind="bonds"), GraphConfig(kind="bonds", tolerance=1.8)]
KINDS = [GraphConfig(), GraphConfig(kind="knn", neighbors=3), *BONDS]
coordinate = st.floats(0, 8, allow_nan=False, width=32)
structures = st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=8).map(np.array)


def crystal(positions, cutoff=5.0, numbers=None, pbc=True):
    numbers = np.resize([6, 1, 8, 26], len(positions)) if numbers is None else numbers
    return build_graph(positions, numbers, cutoff, cell=SKEWED, pbc=pbc)


def shifts_of(graph):
    return np.zeros((graph.num_pairs, 3), np.int64) if graph.pair_shifts is None else graph.pair_shifts.long().numpy()


def test_radius_is_the_graph_itself():
    graph = crystal(np.random.default_rng(0).random((4, 3)) * 5)
    assert connect(graph, GraphConfig()) is graph


@settings(max_examples=60, deadline=None)
@given(positions=structures, neighbors=st.integers(1, 8), periodic=st.booleans())
def test_neighbors_are_the_union_of_what_atoms_choose_by_brute_force(positions, neighbors, periodic, edge_set):
    """Every atom's k nearest, of an independent search, and no pair that neither atom chose."""
    assume(periodic or len(positions) > neighbors)
    pbc = [periodic] * 3
    edges, shifts = nearest_neighbors(positions, neighbors, SKEWED, pbc)
    vectors = positions[edges[:, 1]] + shifts @ SKEWED - positions[edges[:, 0]]
    reach = np.linalg.norm(vectors, axis=1).reshape(len(positions), neighbors).max(axis=1)  # of each atom
    whole = crystal(positions, cutoff=float(reach.max()) + 0.1, pbc=pbc)
    graph = connect(whole, GraphConfig(kind="knn", neighbors=neighbors))
    found, everything = (edge_set(each.pairs.T.contiguous().numpy(), shifts_of(each)) for each in (graph, whole))
    assert found <= everything
    for i, j, *shift in everything:
        distance = np.linalg.norm(positions[j] + np.array(shift) @ SKEWED - positions[i])
        excess = distance - max(reach[i], reach[j])
        if abs(excess) > 1e-4:  # equally far to rounding: either is right
            assert ((i, j, *shift) in found) == (excess < 0)


@settings(max_examples=40, deadline=None)
@given(positions=structures, tolerance=st.floats(0.8, 2.5))
def test_bonds_are_the_pairs_nearer_than_the_radii_allow(positions, tolerance, edge_set):
    graph = crystal(positions, cutoff=8.0)
    bonds = connect(graph, GraphConfig(kind="bonds", tolerance=tolerance))
    numbers = graph.atomic_numbers.numpy()
    expected = covalent_bonds(numbers, positions, SKEWED, True, tolerance)
    assert edge_set(bonds.pairs.T.contiguous().numpy(), shifts_of(bonds)) == edge_set(*expected)


@pytest.mark.parametrize("config", KINDS, ids=str)
def test_a_batch_is_connected_as_its_structures_are(config):
    rng = np.random.default_rng(1)
    graphs = [crystal(rng.random((n, 3)) * 5) for n in (1, 5, 8)]
    graphs += [build_graph(rng.random((n, 3)) * 5, np.resize([6, 1, 8], n), 5.0) for n in (1, 2, 6)]
    graphs.append(build_graph(np.zeros((0, 3)), [], 5.0))
    together = connect(collate(graphs), config)
    alone = collate([connect(graph, config) for graph in graphs])
    assert torch.equal(together.pairs, alone.pairs) and torch.equal(together.pair_shifts, alone.pair_shifts)
    assert together.num_graphs == len(graphs) and together.cutoff == 5.0


@pytest.mark.parametrize("config", KINDS, ids=str)
def test_connecting_twice_changes_nothing(config):
    once = connect(crystal(np.random.default_rng(2).random((8, 3)) * 6), config)
    assert torch.equal(connect(once, config).pairs, once.pairs)


@pytest.mark.parametrize("config", KINDS[1:], ids=str)
def test_pairs_beyond_the_cutoff_are_not_connected(config, edge_set):
    """A list may hold more than its cutoff says, such as that of a Verlet skin."""
    positions = np.random.default_rng(3).random((8, 3)) * 6
    wide, narrow = (crystal(positions, cutoff=cutoff, numbers=[55] * 8) for cutoff in (7.0, 1.6))  # caesium: 2.44 Å
    connected = [connect(graph, config) for graph in (replace(wide, cutoff=1.6), narrow)]
    found, expected = (edge_set(graph.pairs.T.contiguous().numpy(), shifts_of(graph)) for graph in connected)
    assert found == expected and 0 < connected[0].num_pairs < connect(wide, config).num_pairs


@pytest.mark.parametrize(("crystal", "neighbors"), [(bulk("C"), 4), (bulk("Cu"), 12), (bulk("Fe"), 8)])
def test_shells_of_a_crystal_are_taken_whole(crystal, neighbors):
    """Equivalent neighbours differ by rounding, which must not choose among them: the fourth of twelve brings all twelve."""
    for asked in range(1, neighbors + 1):
        graph = build_graph(crystal.positions + 0.1234, crystal.numbers, 4.0, cell=crystal.cell.array, pbc=True)
        connected = connect(graph, GraphConfig(kind="knn", neighbors=asked))
        assert (connected.pairs.flatten().bincount() == neighbors).all()


@pytest.mark.parametrize("config", KINDS[1:3], ids=str)
def test_turning_a_symmetric_molecule_leaves_its_connections(config):
    atoms = molecule("C60")
    before = connect(build_graph(atoms.positions, atoms.numbers, 6.0), config)
    atoms.rotate(37.0, (1, 2, 3))
    after = connect(build_graph(atoms.positions, atoms.numbers, 6.0), config)
    assert before.num_pairs == 90  # 60 atoms of 3 bonds; for knn the two longer bonds of the pentagon tie
    assert {tuple(pair) for pair in before.pairs.T.tolist()} == {tuple(pair) for pair in after.pairs.T.tolist()}


def test_an_atom_with_few_neighbors_keeps_all_of_them():
    graph = build_graph([[0, 0, 0], [1, 0, 0], [0, 1.1, 0], [50, 0, 0]], [6] * 4, 5.0)
    assert connect(graph, GraphConfig(kind="knn", neighbors=12)).num_pairs == 3


def test_vectors_of_selected_pairs_are_differentiable():
    graph = crystal(np.random.default_rng(4).random((5, 3)) * 5)
    graph.positions.requires_grad_(True)
    for config in KINDS[1:]:
        connected = connect(graph, config)
        (gradient,) = torch.autograd.grad(connected.pair_vectors().square().sum(), graph.positions)
        assert gradient.isfinite().all() and gradient.any()
    graph.positions.requires_grad_(False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(kind="nearest"), "'radius', 'knn' or 'bonds'"),
        (dict(kind="knn", neighbors=0), "greater than or equal to 1"),
        (dict(kind="bonds", tolerance=-1.0), "greater than 0"),
        (dict(neighbors=8), "only `kind: knn` counts neighbours, and `kind` is radius"),
        (dict(kind="knn", tolerance=1.2), "only `kind: bonds` knows bonds, and `kind` is knn"),
        (dict(kind="knn", k=3), "Extra inputs"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        GraphConfig(**settings)


def test_only_a_radius_graph_is_said_to_be_continuous():
    assert [config.discontinuity() is None for config in KINDS] == [True, False, False, False]
    assert "where its 3 nearest neighbours change" in str(KINDS[1].discontinuity())
