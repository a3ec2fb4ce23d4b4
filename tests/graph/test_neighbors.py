"""Every backend finds the same pairs, and they are the right ones."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlff.graph.neighbors import BACKENDS, half_list
from mlff.graph.neighbors.torch_cluster import INSTALL

try:
    import torch_cluster  # noqa: F401

    HAS_TORCH_CLUSTER = True
except ImportError:
    HAS_TORCH_CLUSTER = False
needs_torch_cluster = pytest.mark.skipif(not HAS_TORCH_CLUSTER, reason=INSTALL)

ALL_PBC = list(itertools.product([False, True], repeat=3))
MOLECULAR = ["vesin", pytest.param("torch_cluster", marks=needs_torch_cluster)]
SKEWED = np.array([[4.0, 0.0, 0.0], [3.5, 4.5, 0.0], [-3.0, 2.0, 5.0]])


def random_positions(num_atoms, size, seed=0):
    return np.random.default_rng(seed).uniform(0, size, (num_atoms, 3))


def edges_by_definition(positions, cell, pbc, cutoff, reach):
    """All (i, j, S) with |S| up to ``reach``, in a triple loop that shares nothing with the package."""
    edges = set()
    ranges = [range(-reach, reach + 1) if periodic else range(1) for periodic in pbc]
    for shift in itertools.product(*ranges):
        for i, j in itertools.product(range(len(positions)), repeat=2):
            if shift == (0, 0, 0) and i == j:
                continue
            if np.linalg.norm(positions[j] + np.array(shift) @ cell - positions[i]) < cutoff:
                edges.add((i, j, *shift))
    return edges


@pytest.mark.parametrize("backend", ["brute", "vesin"])
@pytest.mark.parametrize("pbc", ALL_PBC)
def test_edges_are_those_of_the_definition(backend, pbc, edge_set):
    positions = random_positions(4, 9) - 2
    found = half_list(positions, SKEWED, pbc, 3.7, backend=backend)
    assert edge_set(*found) == edges_by_definition(positions, SKEWED, pbc, 3.7, reach=6)


coordinate = st.floats(-15, 15, allow_nan=False, width=32)
vectors = st.tuples(coordinate, coordinate, coordinate)


@settings(max_examples=150, deadline=None)
@given(
    positions=st.lists(vectors, min_size=0, max_size=12),
    cell=st.lists(vectors, min_size=3, max_size=3),
    pbc=st.sampled_from(ALL_PBC),
    cutoff=st.floats(0.5, 6),
)
def test_vesin_and_brute_force_agree_on_anything(positions, cell, pbc, cutoff, assert_same_edges):
    positions, cell = np.array(positions).reshape(-1, 3), np.array(cell) / 2
    rows = cell[np.array(pbc)]
    heights = np.linalg.svd(rows)[1].min() if len(rows) else np.inf
    assume(heights > 0.5)  # not a million images
    expected = half_list(positions, cell, pbc, cutoff, backend="brute")
    found = half_list(positions, cell, pbc, cutoff, backend="vesin")
    assert_same_edges(found, expected, positions, cell, cutoff)


@needs_torch_cluster
@settings(max_examples=100, deadline=None)
@given(positions=st.lists(vectors, min_size=0, max_size=40), cutoff=st.floats(0.5, 20))
def test_torch_cluster_and_brute_force_agree_on_any_molecule(positions, cutoff, assert_same_edges):
    positions = np.array(positions).reshape(-1, 3)
    expected = half_list(positions, None, None, cutoff, backend="brute")
    found = half_list(positions, None, None, cutoff, backend="torch_cluster")
    assert_same_edges(found, expected, positions, None, cutoff)


SYSTEMS = {
    "box smaller than the cutoff": (random_positions(3, 2), np.eye(3) * 2.0, 6.0),
    "tiny box": (np.zeros((1, 3)), np.eye(3) * 0.7, 3.0),
    "skewed": (random_positions(20, 10), SKEWED, 5.0),
    "very skewed": (random_positions(6, 3), np.array([[3.0, 0, 0], [9.0, 3.0, 0], [-8.0, 11.0, 3.0]]), 4.0),
    "left-handed": (random_positions(10, 8), -SKEWED, 4.0),
    "flat": (random_positions(10, 8), np.diag([20.0, 20.0, 1.1]), 4.0),
    "needle": (random_positions(10, 8), np.diag([1.3, 1.3, 30.0]), 4.0),
    "far from the origin": (random_positions(20, 8) + 1e5, np.eye(3) * 8.0, 4.0),
    "outside the box": (random_positions(20, 200) - 100, SKEWED * 2, 5.0),
    "atoms wrapped apart": (np.array([[0.1, 0.1, 0.1], [79.9, -40.1, 0.2]]), np.eye(3) * 8.0, 3.0),
    "coincident with an image": (np.array([[0.0, 0, 0], [8.0, 0, 0], [-16.0, 8.0, 0]]), np.eye(3) * 8.0, 9.0),
    "two far atoms": (np.array([[0.0, 0, 0], [1e6, 1e6, 1e6]]), np.eye(3) * 8.0, 3.0),
    "two far atoms on an axis": (np.array([[0.0, 0, 0], [0, 0, 1e6]]), np.eye(3) * 8.0, 3.0),
    "droplets far apart": (np.vstack([random_positions(20, 6), random_positions(20, 6) + [1e7, 0, 0]]), SKEWED, 3.0),
    "in a plane": (random_positions(20, 9) * [1, 1, 0], np.eye(3) * 9.0, 4.0),
    "one atom": (np.ones((1, 3)), np.eye(3) * 8.0, 9.0),
    "no atoms": (np.zeros((0, 3)), np.eye(3) * 8.0, 9.0),
}


@pytest.mark.parametrize("pbc", ALL_PBC)
@pytest.mark.parametrize("name", SYSTEMS)
def test_vesin_and_brute_force_agree_on_awkward_systems(name, pbc, assert_same_edges):
    positions, cell, cutoff = SYSTEMS[name]
    expected = half_list(positions, cell, pbc, cutoff, backend="brute")
    assert_same_edges(half_list(positions, cell, pbc, cutoff), expected, positions, cell, cutoff)


@needs_torch_cluster
@pytest.mark.parametrize("name", SYSTEMS)
def test_torch_cluster_and_brute_force_agree_on_awkward_molecules(name, assert_same_edges):
    positions, cell, cutoff = SYSTEMS[name]
    expected = half_list(positions, None, None, cutoff, backend="brute")
    found = half_list(positions, cell, False, cutoff, backend="torch_cluster")
    assert_same_edges(found, expected, positions, None, cutoff)


@pytest.mark.parametrize("backend", MOLECULAR)
def test_more_neighbours_than_any_default_maximum_are_all_found(backend, edge_set):
    positions = random_positions(300, 1.0)
    pairs, shifts = half_list(positions, None, None, 5.0, backend=backend)
    assert len(edge_set(pairs, shifts)) == 300 * 299


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
def test_a_molecule_far_from_the_origin_keeps_its_edges(backend, edge_set):
    positions = random_positions(40, 8)
    near = half_list(positions, None, None, 3.0, backend=backend)
    far = half_list(positions + [1e5, -1e5, 3e5], None, None, 3.0, backend=backend)
    assert edge_set(*near) == edge_set(*far)


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
def test_a_cell_without_a_periodic_axis_is_ignored(backend, edge_set):
    positions = random_positions(20, 8)
    expected = half_list(positions, None, None, 3.0, backend="brute")
    for cell in (np.eye(3) * 8, np.zeros((3, 3)), np.full((3, 3), np.nan)):
        for pbc in (None, False, [False, False, False]):
            assert edge_set(*half_list(positions, cell, pbc, 3.0, backend=backend)) == edge_set(*expected)


@pytest.mark.parametrize("backend", ["brute", "vesin"])
@pytest.mark.parametrize("pbc", [pbc for pbc in ALL_PBC if any(pbc) and not all(pbc)])
def test_rows_of_the_cell_that_are_not_periodic_are_not_read(backend, pbc, edge_set):
    positions = random_positions(10, 20)
    zero, parallel = SKEWED.copy(), SKEWED.copy()
    zero[~np.array(pbc)] = 0
    parallel[~np.array(pbc)] = SKEWED[list(pbc).index(True)]
    expected = edge_set(*half_list(positions, SKEWED, pbc, 4.0, backend=backend))
    for cell in (zero, parallel):
        assert edge_set(*half_list(positions, cell, pbc, 4.0, backend=backend)) == expected


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
def test_a_pair_at_the_cutoff_is_out_and_one_just_below_is_in(backend):
    for distance, count in ((3.0, 0), (3.0 - 1e-9, 1), (3.0 + 1e-9, 0)):
        pairs, _ = half_list([[0, 0, 0], [0, distance, 0]], None, None, 3.0, backend=backend)
        assert len(pairs) == count


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
@pytest.mark.parametrize("num_atoms", [0, 1])
def test_no_atom_and_one_atom_have_empty_lists(backend, num_atoms):
    pairs, shifts = half_list(np.zeros((num_atoms, 3)), None, None, 3.0, backend=backend)
    assert pairs.shape == (0, 2) and shifts.shape == (0, 3)
    assert pairs.dtype == shifts.dtype == np.int64


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
def test_atoms_on_top_of_each_other_are_a_pair(backend):
    pairs, _ = half_list(np.ones((2, 3)), None, None, 3.0, backend=backend)
    assert pairs.tolist() == [[0, 1]]


def test_an_extended_sheet_of_atoms_does_not_stop_vesin(edge_set):
    """vesin 0.6 alone divides by zero here: its 760 x 760 x 1 cells are too many, and it keeps none along z."""
    line = np.arange(400) * 1.9
    positions = np.zeros((800, 3))
    positions[:400, 0], positions[400:, 1] = line, line + 1.9
    pairs, shifts = half_list(positions, None, None, 2.0)
    assert edge_set(pairs, shifts) == edge_set(*half_list(positions, None, None, 2.0, backend="brute"))
    periodic = half_list(positions, np.diag([0, 0, 1.5]), [False, False, True], 2.0)
    expected = half_list(positions, np.diag([0, 0, 1.5]), [False, False, True], 2.0, backend="brute")
    assert edge_set(*periodic) == edge_set(*expected)


@pytest.mark.parametrize("backend", ["brute", "vesin"])
def test_the_caller_s_arrays_are_left_alone(backend):
    positions, cell, pbc = random_positions(10, 50), SKEWED.copy(), np.array([True, False, True])
    copies = positions.copy(), cell.copy(), pbc.copy()
    for array in (positions, cell, pbc):
        array.setflags(write=False)
    half_list(positions, cell, pbc, 4.0, backend=backend)
    for array, copy in zip((positions, cell, pbc), copies):
        np.testing.assert_array_equal(array, copy)


def test_the_order_of_the_pairs_does_not_depend_on_the_number_of_threads(monkeypatch):
    positions = random_positions(300, 15)
    lists = []
    for threads in ("1", "4"):
        monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", threads)
        lists.append(half_list(positions, np.eye(3) * 15, True, 5.0))
    np.testing.assert_array_equal(lists[0][0], lists[1][0])
    np.testing.assert_array_equal(lists[0][1], lists[1][1])


def test_lists_may_be_made_in_several_threads_at_once(edge_set):
    systems = [random_positions(50, 8, seed) for seed in range(16)]
    expected = [edge_set(*half_list(positions, SKEWED, True, 4.0)) for positions in systems]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda positions: half_list(positions, SKEWED, True, 4.0), systems))
    assert [edge_set(*each) for each in found] == expected


@pytest.mark.parametrize("backend", ["brute", *MOLECULAR])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_refused(backend, bad):
    positions = random_positions(4, 5)
    positions[2, 1] = bad
    with pytest.raises(ValueError, match="1 of 4 atoms are not finite .*atom 2"):
        half_list(positions, None, None, 3.0, backend=backend)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positions": np.zeros((3, 4))}, r"`positions` has the shape \(3, 4\)"),
        ({"positions": [[0, 0, 0], [0, 0, 1e12]]}, r"atom 1 .*beyond 1e\+08 Å"),
        ({"cutoff": 0.0}, "`cutoff` is 0.0 Å"),
        ({"cutoff": np.nan}, "`cutoff` is nan Å"),
        ({"pbc": [True, False]}, r"`pbc` has the shape \(2,\)"),
        ({"cell": None}, "there is no `cell`"),
        ({"cell": np.zeros((2, 3))}, r"`cell` has the shape \(2, 3\)"),
        ({"cell": np.diag([5.0, 0.0, 5.0])}, r"axis 1 is periodic but its lattice vector is zero"),
        ({"cell": np.diag([5.0, np.nan, 5.0])}, "not finite"),
        ({"cell": [[5, 0, 0], [0, 5, 0], [5, 5, 0]]}, "not independent"),
        ({"backend": "kdtree"}, "no neighbour-list backend 'kdtree'; choose one of vesin, torch_cluster, brute"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    arguments = {"positions": np.zeros((2, 3)), "cell": np.eye(3) * 5, "pbc": True, "cutoff": 3.0} | change
    with pytest.raises(ValueError, match=words):
        half_list(**arguments)


def test_torch_cluster_refuses_periodic_structures():
    with pytest.raises(ValueError, match='not periodic.*False, True, False.*backend="vesin"'):
        half_list(np.zeros((2, 3)), np.eye(3) * 5, [False, True, False], 3.0, backend="torch_cluster")


def test_a_missing_torch_cluster_is_an_error_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_cluster", None)
    with pytest.raises(ImportError, match=r'pip install "mlff\[cluster\]".*--no-build-isolation torch-cluster'):
        half_list(np.zeros((2, 3)), None, None, 3.0, backend="torch_cluster")


def test_backends_are_the_documented_ones():
    assert list(BACKENDS) == ["vesin", "torch_cluster", "brute"]
