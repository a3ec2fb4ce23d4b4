"""Bonds and nearest neighbours: those of chemistry, of ASE and of the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.neighborlist import natural_cutoffs, neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from mlff.graph.topology import covalent_bonds, degree, nearest_neighbors

SKEWED = np.array([[4.0, 0.0, 0.0], [3.5, 4.5, 0.0], [-3.0, 2.0, 5.0]])
ALL_PBC = list(itertools.product([False, True], repeat=3))


# Bonds


def bonds_of(atoms, tolerance=1.3):
    return covalent_bonds(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, tolerance)


@pytest.mark.parametrize(("name", "bonds"), [("C6H6", 12), ("CH3CH2OH", 8), ("CO2", 2), ("H2O", 2), ("O2", 1), ("Na", 0)])
def test_molecules_have_the_bonds_that_chemistry_gives_them(name, bonds):
    pairs, shifts = bonds_of(molecule(name))
    assert len(pairs) == bonds and not shifts.any()


@pytest.mark.parametrize(("crystal", "neighbors"), [(bulk("C", cubic=True), 4), (bulk("C"), 4), (bulk("Cu", cubic=True), 12)])
def test_crystals_have_the_coordination_numbers_of_their_structure(crystal, neighbors):
    pairs, _ = bonds_of(crystal, 1.2)
    assert (degree(pairs, len(crystal)) == neighbors).all()


@pytest.mark.parametrize("tolerance", [1.0, 1.2, 1.3])
def test_bonds_are_those_of_ase(tolerance, edge_set):
    for atoms in (molecule("C60"), molecule("Si2H6"), bulk("NaCl", "rocksalt", a=5.64), bulk("C") * (2, 1, 1)):
        atoms.rattle(0.05, seed=1)
        i, j, shift = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=tolerance))
        expected = {(int(a), int(b), *map(int, s)) for a, b, s in zip(i, j, shift)}
        assert edge_set(*bonds_of(atoms, tolerance)) == expected


def test_elements_without_a_radius_are_named():
    with pytest.raises(ValueError, match="known for the elements 1 to 96, not for 112"):
        covalent_bonds([112, 1], [[0, 0, 0], [1, 0, 0]])


def test_nothing_has_no_bonds():
    pairs, shifts = covalent_bonds([], np.zeros((0, 3)))
    assert pairs.shape == (0, 2) and shifts.shape == (0, 3)


# Nearest neighbours


def distances_by_definition(positions, cell, pbc, reach):
    """Distances from every atom to all images of all others (and of itself) with |S| up to ``reach``, ascending."""
    ranges = [range(-reach, reach + 1) if periodic else range(1) for periodic in pbc]
    images = np.array(list(itertools.product(*ranges))) @ cell
    vectors = positions[None, :, None] + images - positions[:, None, None]
    distances = np.linalg.norm(vectors, axis=3)
    distances[np.arange(len(positions)), np.arange(len(positions)), len(images) // 2] = np.inf  # itself
    return np.sort(distances.reshape(len(positions), -1), axis=1)


coordinate = st.floats(0, 8, allow_nan=False, width=32)


@settings(max_examples=60, deadline=None)
@given(
    positions=st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=8),
    pbc=st.sampled_from(ALL_PBC),
    neighbors=st.integers(1, 9),
)
def test_nearest_neighbors_are_as_near_as_those_of_brute_force(positions, pbc, neighbors):
    positions = np.array(positions)
    assume(any(pbc) or len(positions) > neighbors)
    edges, shifts = nearest_neighbors(positions, neighbors, SKEWED, pbc)
    assert edges.shape == (len(positions) * neighbors, 2) and shifts.shape == (len(edges), 3)
    assert (edges[:, 0] == np.repeat(np.arange(len(positions)), neighbors)).all()
    assert not shifts[:, ~np.array(pbc)].any()
    assert len({(*edge, *shift) for edge, shift in zip(edges.tolist(), shifts.tolist())}) == len(edges)
    found = np.linalg.norm(positions[edges[:, 1]] + shifts @ SKEWED - positions[edges[:, 0]], axis=1)
    assert not ((edges[:, 0] == edges[:, 1]) & ~shifts.any(axis=1)).any()
    expected = distances_by_definition(positions, SKEWED, pbc, 7)[:, :neighbors]
    assert_allclose(found.reshape(len(positions), neighbors), expected, atol=1e-6)


def test_every_atom_of_diamond_has_its_four_neighbors_and_they_are_mutual():
    atoms = bulk("C")
    edges, shifts = nearest_neighbors(atoms.positions, 4, atoms.cell.array, True)
    directed = {(*edge, *shift) for edge, shift in zip(edges.tolist(), shifts.tolist())}
    assert {(j, i, -a, -b, -c) for i, j, a, b, c in directed} == directed


def test_an_atom_at_the_end_of_a_chain_chooses_one_that_does_not_choose_it():
    edges, _ = nearest_neighbors([[0, 0, 0], [1, 0, 0], [3, 0, 0]], 1)
    assert edges.tolist() == [[0, 1], [1, 0], [2, 1]]


def test_atoms_in_one_place_are_neighbors_and_none_is_its_own():
    edges, _ = nearest_neighbors(np.zeros((5, 3)), 3)
    assert edges.shape == (15, 2) and (edges[:, 0] != edges[:, 1]).all()


def test_a_molecule_too_small_for_its_neighbors_is_refused():
    with pytest.raises(ValueError, match="each of 3 atoms has 2 others, fewer than `neighbors`, 3"):
        nearest_neighbors(np.eye(3), 3)
    with pytest.raises(ValueError, match="`neighbors` is 0"):
        nearest_neighbors(np.eye(3), 0)
