"""What theorems say of the Laplacians of a graph, and the encodings that follow from them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csgraph

from mlff.graph.topology import (
    adjacency,
    covalent_bonds,
    degree,
    laplacian,
    laplacian_encoding,
    normalized_laplacian,
    num_components,
    with_virtual_node,
)

ZERO = 1e-9


def ring(size: int) -> list[tuple[int, int]]:
    return [(k, (k + 1) % size) for k in range(size)]


def path(size: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(size - 1)]


def star(size: int) -> list[tuple[int, int]]:
    return [(0, k) for k in range(1, size)]


@st.composite
def graphs(draw, loops: bool = True):
    """Pairs of up to twelve nodes; some nodes have none, some pairs are there several times, some are loops."""
    num_atoms = draw(st.integers(1, 12))
    node = st.integers(0, num_atoms - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=20))
    return [pair for pair in pairs if loops or pair[0] != pair[1]], num_atoms


# Laplacians


@settings(deadline=None)
@given(graphs())
def test_the_laplacian_is_what_the_theorems_say(graph):
    pairs, num_atoms = graph
    matrix = laplacian(pairs, num_atoms)
    assert_allclose(matrix, matrix.T)
    assert_allclose(matrix.sum(axis=1), 0, atol=ZERO)
    values = np.linalg.eigvalsh(matrix)
    assert values.min() > -ZERO
    components, _ = csgraph.connected_components(adjacency(pairs, num_atoms), directed=False)
    assert (np.abs(values) < ZERO).sum() == components == num_components(pairs, num_atoms)
    x = np.random.default_rng(0).normal(size=num_atoms)
    assert_allclose(x @ matrix @ x, sum((x[i] - x[j]) ** 2 for i, j in pairs), atol=1e-9)


@settings(deadline=None)
@given(graphs())
def test_eigenvalues_of_the_normalized_laplacian_are_between_0_and_2(graph):
    pairs, num_atoms = graph
    matrix = normalized_laplacian(pairs, num_atoms)
    assert_allclose(matrix, matrix.T)
    values = np.linalg.eigvalsh(matrix)
    assert -ZERO < values.min() and values.max() < 2 + ZERO
    assert (np.abs(values) < ZERO).sum() == num_components(pairs, num_atoms)


@settings(deadline=None)
@given(graphs(loops=False))
def test_both_laplacians_are_those_of_scipy(graph):
    pairs, num_atoms = graph
    matrix = adjacency(pairs, num_atoms)
    assert_allclose(laplacian(pairs, num_atoms), csgraph.laplacian(matrix), atol=ZERO)
    assert_allclose(normalized_laplacian(pairs, num_atoms), csgraph.laplacian(matrix, normed=True), atol=ZERO)


@pytest.mark.parametrize("size", [3, 4, 5, 6, 9])
def test_eigenvalues_of_rings_paths_and_stars_are_the_known_ones(size):
    """D. Spielman, Spectral and Algebraic Graph Theory, chapter 6."""
    k = np.arange(size)
    assert_allclose(np.linalg.eigvalsh(laplacian(ring(size), size)), np.sort(2 - 2 * np.cos(2 * np.pi * k / size)), atol=ZERO)
    assert_allclose(np.linalg.eigvalsh(laplacian(path(size), size)), 2 - 2 * np.cos(np.pi * k / size), atol=ZERO)
    assert_allclose(np.linalg.eigvalsh(laplacian(star(size), size)), [0, *[1] * (size - 2), size], atol=ZERO)


@pytest.mark.parametrize(("pairs", "bipartite"), [(ring(6), True), (path(5), True), (star(5), True), (ring(5), False)])
def test_the_largest_normalized_eigenvalue_is_2_for_bipartite_graphs_alone(pairs, bipartite):
    largest = np.linalg.eigvalsh(normalized_laplacian(pairs, max(max(pair) for pair in pairs) + 1))[-1]
    assert (abs(largest - 2) < ZERO) == bipartite


def test_identity_minus_adjacency_is_no_laplacian():
    """What lecture notes write for short: indefinite for a ring, and zero rows are no longer zero."""
    wrong = np.eye(6) - adjacency(ring(6), 6)
    assert np.linalg.eigvalsh(wrong)[0] == pytest.approx(-1)
    assert (wrong.sum(axis=1) == -1).all()


def test_one_positive_exponent_normalizes_nothing():
    pairs, num_atoms = [*star(5), (1, 2)], 5
    matrix, degrees = adjacency(pairs, num_atoms), degree(pairs, num_atoms)
    wrong = np.eye(num_atoms) - np.diag(degrees**0.5) @ matrix @ np.diag(degrees**-0.5)
    assert not np.allclose(wrong, wrong.T)
    values = np.sort(np.linalg.eigvals(wrong).real)
    assert_allclose(values, np.linalg.eigvalsh(np.eye(num_atoms) - matrix), atol=ZERO)
    assert values[0] < -1


def test_a_crystal_of_one_atom_is_a_node_with_loops():
    atoms = bulk("Cu")
    pairs, shifts = covalent_bonds(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, 1.2)
    assert len(pairs) == 6 and shifts.any(axis=1).all()  # 12 neighbours, each pair of images once
    assert adjacency(pairs, 1) == degree(pairs, 1) == 12
    assert laplacian(pairs, 1) == 0 and abs(normalized_laplacian(pairs, 1)) < ZERO


def test_pairs_of_atoms_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="`pairs` name atoms from 0 to 3, but there are only 0 to 2"):
        adjacency([(0, 3)], 3)


# The virtual node


@settings(deadline=None)
@given(graphs())
def test_a_virtual_node_puts_all_atoms_two_steps_apart_at_most(graph):
    pairs, num_atoms = graph
    extended = with_virtual_node(pairs, num_atoms)
    steps = csgraph.shortest_path(adjacency(extended, num_atoms + 1) > 0, unweighted=True)
    assert steps.max() <= 2 and num_components(extended, num_atoms + 1) == 1
    assert degree(extended, num_atoms + 1)[-1] == num_atoms
    assert_allclose(adjacency(extended, num_atoms + 1)[:-1, :-1], adjacency(pairs, num_atoms))


# Encodings


@settings(deadline=None)
@given(graphs(), st.integers(0, 15), st.sampled_from(["canonical", "random", "invariant"]), st.booleans())
def test_encodings_are_of_unit_length_and_padded_with_zeros(graph, num_vectors, basis, normalized):
    pairs, num_atoms = graph
    rng = np.random.default_rng(0) if basis == "random" else None
    encoding = laplacian_encoding(pairs, num_atoms, num_vectors, basis=basis, normalized=normalized, rng=rng)
    assert encoding.shape == (num_atoms, num_vectors)
    held = min(num_vectors, num_atoms - num_components(pairs, num_atoms))
    assert_allclose(np.linalg.norm(encoding, axis=0), [1] * held + [0] * (num_vectors - held), atol=1e-9)


@settings(deadline=None)
@given(graphs(), st.sampled_from(["canonical", "random"]))
def test_encodings_are_eigenvectors_in_ascending_order(graph, basis):
    pairs, num_atoms = graph
    encoding = laplacian_encoding(
        pairs, num_atoms, num_atoms, basis=basis, rng=np.random.default_rng(1) if basis == "random" else None
    )
    matrix, zeros = normalized_laplacian(pairs, num_atoms), num_components(pairs, num_atoms)
    values = np.linalg.eigvalsh(matrix)[zeros:]
    vectors = encoding[:, : len(values)]
    assert_allclose(matrix @ vectors, vectors * values, atol=1e-7)
    assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-7)


def caffeine() -> tuple[np.ndarray, int]:
    """Bonds of caffeine's heavy atoms, of which no symmetry exchanges any: N1 C2 N3 C4 C5 C6 N7 C8 N9 O O and methyls."""
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (4, 6), (6, 7), (7, 8), (8, 3), (1, 9), (5, 10), (0, 11), (2, 12),
             (6, 13)]  # fmt: skip
    return np.array(pairs), 14


def reordered(pairs, order) -> np.ndarray:
    """The pairs when atom ``order[k]`` has become atom k."""
    return np.argsort(order)[np.asarray(pairs)]


@pytest.mark.parametrize("basis", ["canonical", "invariant"])
def test_without_symmetry_an_encoding_follows_the_atoms_into_another_order(basis):
    pairs, num_atoms = caffeine()
    order = np.random.default_rng(2).permutation(num_atoms)
    before = laplacian_encoding(pairs, num_atoms, 6, basis=basis)
    after = laplacian_encoding(reordered(pairs, order), num_atoms, 6, basis=basis)
    assert_allclose(after, before[order], atol=1e-9)


@pytest.mark.parametrize(("pairs", "num_atoms"), [(ring(6), 6), (star(6), 6), ([*ring(3), (3, 4), (4, 5), (5, 3)], 6)])
def test_invariant_encodings_follow_the_atoms_of_symmetric_graphs_too(pairs, num_atoms):
    order = np.random.default_rng(3).permutation(num_atoms)
    before = laplacian_encoding(pairs, num_atoms, num_atoms, basis="invariant")
    after = laplacian_encoding(reordered(pairs, order), num_atoms, num_atoms, basis="invariant")
    assert_allclose(after, before[order], atol=1e-9)


def test_atoms_that_a_symmetry_exchanges_have_the_same_invariant_encoding():
    assert_allclose(laplacian_encoding(ring(6), 6, 5, basis="invariant"), 6**-0.5)


def test_canonical_encodings_do_not_depend_on_what_the_solver_returns(monkeypatch):
    """Eigenvectors turned within their eigenspaces give the same encoding."""
    expected = laplacian_encoding(ring(6), 6, 5)
    exact = np.linalg.eigh

    def turned(matrix):
        values, vectors = exact(matrix)
        rng = np.random.default_rng(4)
        for columns in ([0], [1, 2], [3, 4], [5]):
            vectors[:, columns] = vectors[:, columns] @ np.linalg.qr(rng.normal(size=(len(columns),) * 2))[0]
        return values, vectors

    monkeypatch.setattr(np.linalg, "eigh", turned)
    assert_allclose(laplacian_encoding(ring(6), 6, 5), expected, atol=1e-9)


def test_a_canonical_vector_is_positive_where_it_is_largest():
    pairs, num_atoms = caffeine()
    encoding = laplacian_encoding(pairs, num_atoms, 8)
    assert (encoding[np.abs(encoding).argmax(axis=0), np.arange(8)] > 0).all()


def test_random_encodings_turn_within_eigenspaces_and_nowhere_else():
    rng = np.random.default_rng(5)
    first, second = (laplacian_encoding(ring(6), 6, 5, basis="random", rng=rng) for _ in range(2))
    overlap = first.T @ second
    spaces = [[0, 1], [2, 3], [4]]
    assert_allclose(overlap @ overlap.T, np.eye(5), atol=1e-9)
    for a, b in itertools.permutations(spaces, 2):
        assert_allclose(overlap[np.ix_(a, b)], 0, atol=1e-9)
    assert np.abs(overlap[0]).max() < 0.999  # it did turn
    signs = {float(np.sign(laplacian_encoding(path(3), 3, 1, basis="random", rng=rng)[0, 0])) for _ in range(20)}
    assert signs == {-1.0, 1.0}


def test_random_encodings_need_a_generator_and_others_take_none():
    with pytest.raises(ValueError, match="give `rng`"):
        laplacian_encoding(ring(6), 6, 2, basis="random")
    with pytest.raises(ValueError, match="give `rng`"):
        laplacian_encoding(ring(6), 6, 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="`num_vectors` is -1"):
        laplacian_encoding(ring(6), 6, -1)
