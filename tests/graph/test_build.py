"""Graphs: edges in pairs, vectors that are right, batches that are their structures side by side."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mlff.graph import batch_graph, build_graph, collate, half_list

CELL = np.array([[5.0, 0.0, 0.0], [2.0, 6.0, 0.0], [-1.0, 1.0, 4.0]])
CUTOFF = 4.0


def structure(num_atoms, seed, cell=None, pbc=None):
    random = np.random.default_rng(seed)
    return {
        "positions": random.uniform(-3, 6, (num_atoms, 3)),
        "atomic_numbers": random.integers(1, 10, num_atoms),
        "cell": cell,
        "pbc": pbc,
    }


def graph_of(structure, **options):
    return build_graph(**structure, cutoff=CUTOFF, **options)


STRUCTURES = {
    "molecule": structure(12, 0),
    "crystal": structure(8, 1, CELL, True),
    "slab": structure(8, 2, CELL, [True, True, False]),
    "slab without a third vector": structure(8, 2, np.vstack([CELL[:2], np.zeros(3)]), [True, True, False]),
    "one atom": structure(1, 3),
    "one atom and its images": structure(1, 3, CELL, True),
    "two far atoms": structure(2, 4) | {"positions": np.array([[0.0, 0, 0], [50.0, 0, 0]])},
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_edge_and_the_one_half_the_list_later_are_reverses(name):
    graph = graph_of(STRUCTURES[name])
    half = graph.num_pairs
    forward, backward = graph.edge_index[:, :half], graph.edge_index[:, half:]
    assert graph.edge_index.shape == (2, 2 * half)
    assert torch.equal(forward, backward.flip(0))
    vectors = graph.edge_vectors()
    assert torch.equal(vectors[:half], -vectors[half:])


@pytest.mark.parametrize("name", STRUCTURES)
def test_edge_vectors_are_from_the_centre_to_the_neighbour_s_image(name):
    graph = graph_of(STRUCTURES[name])
    positions, cell = STRUCTURES[name]["positions"], STRUCTURES[name]["cell"]
    pairs, shifts = half_list(positions, cell, STRUCTURES[name]["pbc"], CUTOFF)
    expected = [
        sign * (positions[j] + (0 if cell is None else shift @ cell) - positions[i])
        for sign in (1, -1)
        for (i, j), shift in zip(pairs, shifts)
    ]
    np.testing.assert_allclose(graph.edge_vectors(), np.reshape(expected, (-1, 3)), atol=1e-12)
    assert (graph.edge_vectors().norm(dim=1) < CUTOFF).all()


def test_a_dimer_s_edge_vector_has_the_documented_sign():
    graph = build_graph([[0, 0, 0], [1, 2, 3]], [1, 1], 5.0)
    centre, neighbour = graph.edge_index[:, 0].tolist()
    vector = graph.edge_vectors()[0]
    assert torch.equal(vector, graph.positions[neighbour] - graph.positions[centre])


@pytest.mark.parametrize("names", [["molecule", "one atom"], ["crystal", "slab"], list(STRUCTURES)])
def test_a_batch_is_its_structures_side_by_side(names):
    graphs = [graph_of(STRUCTURES[name]) for name in names]
    batch = collate(graphs)
    assert batch.num_graphs == len(graphs)
    vectors = batch.pair_vectors()
    atoms = pairs = 0
    for index, graph in enumerate(graphs):
        own_atoms, own_pairs = slice(atoms, atoms + graph.num_atoms), slice(pairs, pairs + graph.num_pairs)
        assert torch.equal(batch.positions[own_atoms], graph.positions)
        assert torch.equal(batch.atomic_numbers[own_atoms], graph.atomic_numbers)
        assert (batch.batch[own_atoms] == index).all()
        assert torch.equal(batch.pairs[:, own_pairs] - atoms, graph.pairs)
        torch.testing.assert_close(vectors[own_pairs], graph.pair_vectors(), atol=1e-12, rtol=0)
        atoms, pairs = own_atoms.stop, own_pairs.stop
    assert (batch.num_atoms, batch.num_pairs) == (atoms, pairs)
    half = batch.num_pairs
    assert torch.equal(batch.edge_index[:, :half], batch.edge_index[:, half:].flip(0))


def test_batches_of_batches_are_batches():
    graphs = [graph_of(STRUCTURES[name]) for name in ("crystal", "molecule", "slab")]
    nested, flat = collate([collate(graphs[:2]), graphs[2]]), collate(graphs)
    for name in ("positions", "atomic_numbers", "batch", "pairs", "pair_shifts", "cell", "pbc"):
        assert torch.equal(getattr(nested, name), getattr(flat, name)), name
    assert nested.num_graphs == 3


@pytest.mark.parametrize("names", [["molecule", "one atom"], ["crystal", "slab", "one atom and its images"]])
def test_batch_graph_is_collate_of_build_graph(names):
    structures = [STRUCTURES[name] for name in names]
    periodic = structures[0]["cell"] is not None
    arrays = SimpleNamespace(
        atomic_numbers=np.concatenate([each["atomic_numbers"] for each in structures]),
        positions=np.concatenate([each["positions"] for each in structures]),
        num_atoms=np.array([len(each["positions"]) for each in structures]),
        cell=np.stack([each["cell"] for each in structures]) if periodic else None,
        pbc=np.stack([np.broadcast_to(each["pbc"], 3) for each in structures]) if periodic else None,
    )
    expected = collate([graph_of(each) for each in structures])
    lists = [half_list(each["positions"], each["cell"], each["pbc"], CUTOFF) for each in structures]
    for neighbors in (None, lists):
        found = batch_graph(arrays, CUTOFF, neighbors=neighbors)
        assert torch.equal(found.edge_index, expected.edge_index)
        assert torch.equal(found.edge_vectors(), expected.edge_vectors())
        assert torch.equal(found.batch, expected.batch)


def test_graphs_of_different_cutoffs_are_no_batch():
    graphs = [build_graph(np.zeros((1, 3)), [1], cutoff) for cutoff in (3.0, 4.0)]
    with pytest.raises(ValueError, match=r"cutoffs \[3.0, 4.0\] Å"):
        collate(graphs)


def test_a_cell_without_periodic_axes_is_a_molecule():
    molecule = STRUCTURES["molecule"]
    boxed = graph_of(molecule | {"cell": CELL, "pbc": [False, False, False]})
    assert boxed.cell is None and boxed.pbc is None and boxed.pair_shifts is None
    assert torch.equal(boxed.pairs, graph_of(molecule).pairs)


def test_a_graph_does_not_share_memory_with_the_caller():
    molecule = STRUCTURES["molecule"]
    positions = molecule["positions"].copy()
    graph = graph_of(molecule | {"positions": positions})
    before = graph.positions.clone()
    positions += 1
    assert torch.equal(graph.positions, before)


def test_edge_vectors_of_a_molecule_far_from_the_origin_are_exact_in_single_precision():
    molecule = STRUCTURES["molecule"]
    moved = molecule | {"positions": molecule["positions"] + 1e5}
    near, far = graph_of(molecule), graph_of(moved)
    torch.testing.assert_close(far.edge_vectors(torch.float32), near.edge_vectors(torch.float32), atol=2e-6, rtol=0)


def test_no_atoms_make_an_empty_graph():
    graph = build_graph(np.zeros((0, 3)), [], CUTOFF)
    assert graph.edge_index.shape == (2, 0) and graph.edge_vectors().shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"atomic_numbers": [1, 1]}, "2 atomic numbers were given for 1 positions"),
        ({"positions": np.zeros((3, 4))}, r"`positions` has the shape \(3, 4\)"),
        ({"positions": [[np.nan, 0, 0]]}, "not finite"),
        ({"pbc": True}, "there is no `cell`"),
        ({"pbc": [True, False], "cell": CELL}, r"`pbc` has the shape \(2,\)"),
        ({"pbc": True, "cell": np.zeros((3, 3))}, "axis 0 is periodic but its lattice vector is zero"),
        ({"backend": "kdtree"}, "no neighbour-list backend"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        build_graph(**({"positions": np.zeros((1, 3)), "atomic_numbers": [1], "cutoff": CUTOFF} | change))
