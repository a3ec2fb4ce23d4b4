"""A kept list gives the pairs of a new one, and is kept as long as that is safe and no longer."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from mlff.graph import VerletList, build_graph, half_list

CUTOFF, SKIN = 4.0, 1.0
CELL = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 2.0, 10.0]])


def random_positions(num_atoms=30, size=9.0, seed=0):
    return np.random.default_rng(seed).uniform(0, size, (num_atoms, 3))


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
def test_a_random_walk_has_the_edges_of_new_lists(pbc, assert_same_edges):
    random = np.random.default_rng(1)
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    for _ in range(60):
        positions += random.normal(0, 0.03, positions.shape)
        expected = half_list(positions, CELL, pbc, CUTOFF)
        assert_same_edges(verlet.pairs(positions, None, CELL, pbc), expected, positions, CELL, CUTOFF)
    assert 1 < verlet.num_builds < 20


def test_a_list_is_built_once_for_atoms_that_move_less_than_half_the_skin():
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    verlet.pairs(positions)
    for direction in np.eye(3):
        verlet.pairs(positions + 0.499 * SKIN * direction)
    assert verlet.num_builds == 1
    verlet.pairs(positions + [0, 0, 0.501 * SKIN])
    assert verlet.num_builds == 2


def test_displacements_add_up_from_the_build_and_not_from_the_last_call():
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    for step in range(11):
        verlet.pairs(positions + [0.1 * SKIN * step, 0, 0])
    assert verlet.num_builds == 3  # at steps 0, 5 and 10


def test_two_atoms_that_approach_each_other_need_the_factor_of_one_half():
    """Just outside cutoff + skin, each moves by a little more than skin / 2: a pair, in no kept list."""
    apart = CUTOFF + SKIN + 1e-6
    step = SKIN / 2 + 1e-6
    start, end = np.array([[0.0, 0, 0], [apart, 0, 0]]), np.array([[step, 0, 0], [apart - step, 0, 0]])
    assert step < SKIN  # a criterion without the factor would keep the list
    verlet = VerletList(CUTOFF, SKIN)
    assert len(verlet.pairs(start)[0]) == 0
    assert len(verlet.pairs(end)[0]) == 1
    assert verlet.num_builds == 2

    # The bound is tight: a little less than skin / 2 each, and the kept list, without the pair, is right.
    step = SKIN / 2 - 1e-6
    end = np.array([[step, 0, 0], [apart - step, 0, 0]])
    verlet = VerletList(CUTOFF, SKIN)
    verlet.pairs(start)
    assert len(verlet.pairs(end)[0]) == len(half_list(end, None, None, CUTOFF)[0]) == 0
    assert verlet.num_builds == 1


def test_the_kept_list_reaches_as_far_as_two_atoms_can_come_without_a_build():
    apart, step = CUTOFF + SKIN - 3e-6, SKIN / 2 - 1e-6
    verlet = VerletList(CUTOFF, SKIN)
    verlet.pairs([[0, 0, 0], [apart, 0, 0]])
    assert verlet.pairs([[step, 0, 0], [apart - step, 0, 0]])[0].tolist() == [[0, 1]]
    assert verlet.num_builds == 1


def test_a_pair_that_enters_the_cutoff_from_the_skin_is_found_without_a_build():
    verlet = VerletList(CUTOFF, SKIN)
    assert len(verlet.pairs([[0, 0, 0], [CUTOFF + 0.1, 0, 0]])[0]) == 0
    assert verlet.pairs([[0, 0, 0], [CUTOFF - 0.1, 0, 0]])[0].tolist() == [[0, 1]]
    assert verlet.num_builds == 1


def test_an_atom_wrapped_across_the_box_has_its_right_shift(assert_same_edges):
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    verlet.pairs(positions, None, CELL, True)
    wrapped = positions.copy()
    wrapped[3] += CELL[0] - 2 * CELL[2]
    found = verlet.pairs(wrapped, None, CELL, True)
    assert_same_edges(found, half_list(wrapped, CELL, True, CUTOFF), wrapped, CELL, CUTOFF)


BASE = {"positions": random_positions(), "atomic_numbers": np.full(30, 6), "cell": CELL, "pbc": True}
CHANGES = {
    "number of atoms": {"positions": random_positions(31), "atomic_numbers": np.full(31, 6)},
    "elements": {"atomic_numbers": np.array([7] + [6] * 29)},
    "elements not given": {"atomic_numbers": None},
    "cell": {"cell": CELL * 1.001},
    "cell by a little": {"cell": CELL + 1e-12},
    "periodicity": {"pbc": [True, True, False]},
    "no periodicity": {"pbc": False},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_new_list_is_built_when_something_else_changes(name, assert_same_edges):
    changed = BASE | CHANGES[name]
    verlet = VerletList(CUTOFF, SKIN)
    verlet.pairs(**BASE)
    found = verlet.pairs(**changed)
    assert verlet.num_builds == 2
    expected = half_list(changed["positions"], changed["cell"], changed["pbc"], CUTOFF)
    assert_same_edges(found, expected, changed["positions"], changed["cell"], CUTOFF)
    verlet.pairs(**changed)
    assert verlet.num_builds == 2


def test_a_molecule_s_cell_may_change_without_a_build():
    verlet = VerletList(CUTOFF, SKIN)
    verlet.pairs(random_positions(), None, CELL, False)
    verlet.pairs(random_positions(), None, None, None)
    assert verlet.num_builds == 1


def test_moving_the_atoms_in_place_is_noticed():
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    verlet.pairs(positions)
    positions[0] += 3.0
    verlet.pairs(positions)
    assert verlet.num_builds == 2


def test_a_cell_changed_in_place_is_noticed():
    cell, verlet = CELL.copy(), VerletList(CUTOFF, SKIN)
    verlet.pairs(random_positions(), None, cell, True)
    cell *= 1.01
    verlet.pairs(random_positions(), None, cell, True)
    assert verlet.num_builds == 2


def test_without_a_skin_every_call_builds_a_list(assert_same_edges):
    positions, verlet = random_positions(), VerletList(CUTOFF, 0.0)
    for _ in range(3):
        found = verlet.pairs(positions, None, CELL, True)
    assert verlet.num_builds == 3
    assert_same_edges(found, half_list(positions, CELL, True, CUTOFF), positions, CELL, CUTOFF)


@pytest.mark.parametrize("num_atoms", [0, 1])
@pytest.mark.parametrize("pbc", [False, [True, False, False]])
def test_no_atom_and_one_atom_have_empty_lists(num_atoms, pbc):
    verlet = VerletList(CUTOFF, SKIN)
    for _ in range(2):
        pairs, shifts = verlet.pairs(np.zeros((num_atoms, 3)), None, CELL * 2, pbc)
        assert pairs.shape == (0, 2) and shifts.shape == (0, 3)
    assert verlet.num_builds == 1
    assert verlet.pairs([])[0].shape == (0, 2)


def test_positions_that_are_not_finite_are_refused_also_while_a_list_is_kept():
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    verlet.pairs(positions)
    broken = positions.copy()
    broken[5, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        verlet.pairs(broken)
    verlet.pairs(positions)
    assert verlet.num_builds == 1


def test_a_copy_and_a_pickle_go_on_where_the_list_was(edge_set):
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    expected = edge_set(*verlet.pairs(positions))
    for other in (copy.deepcopy(verlet), pickle.loads(pickle.dumps(verlet))):
        assert edge_set(*other.pairs(positions)) == expected
        assert other.num_builds == 1


def test_a_graph_takes_the_kept_pairs():
    positions, verlet = random_positions(), VerletList(CUTOFF, SKIN)
    verlet.pairs(positions, None, CELL, True)
    positions = positions + 0.1
    graph = build_graph(
        positions, np.full(30, 6), CUTOFF, cell=CELL, pbc=True, neighbors=verlet.pairs(positions, None, CELL, True)
    )
    lengths = graph.edge_vectors().norm(dim=1).sort().values
    fresh = build_graph(positions, np.full(30, 6), CUTOFF, cell=CELL, pbc=True).edge_vectors().norm(dim=1).sort().values
    np.testing.assert_allclose(lengths, fresh, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 1.0), "`cutoff` is 0.0 Å"),
        ((4.0, -0.1), "`skin` is -0.1 Å"),
        ((4.0, np.nan), "`skin` is nan Å"),
        ((4.0, 1.0, "kdtree"), "no neighbour-list backend 'kdtree'"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        VerletList(*arguments)


@pytest.mark.parametrize("skin", [0.0, SKIN])
@pytest.mark.parametrize("pbc", [(False,) * 3, (True, False, True)])
def test_structures_side_by_side_have_the_pairs_of_each(pbc, skin, assert_same_edges):
    random = np.random.default_rng(2)
    positions, verlet = random_positions(36), VerletList(CUTOFF, skin, num_structures=3)
    for _ in range(20):
        positions += random.normal(0, 0.05, positions.shape)
        found = verlet.pairs(positions, None, CELL, pbc)
        expected = [half_list(positions[start : start + 12], CELL, pbc, CUTOFF) for start in (0, 12, 24)]
        pairs = np.concatenate([pairs + 12 * k for k, (pairs, _) in enumerate(expected)])
        shifts = np.concatenate([shifts for _, shifts in expected])
        assert_same_edges(found, (pairs, shifts), positions, CELL, CUTOFF)
    with pytest.raises(ValueError, match="35 atoms are not 3 structures of the same size"):
        verlet.pairs(positions[:35])
