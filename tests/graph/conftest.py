"""Edges as sets, so that lists in any order, and with either of a pair's two directions, can be compared."""

import numpy as np
import pytest


def edges_of(pairs, shifts):
    """Both directions (i, j, S) of every pair; fails where a pair is listed twice or an atom is its own neighbour."""
    assert pairs.dtype == shifts.dtype == np.int64
    assert pairs.shape[1:] == (2,) and shifts.shape == (len(pairs), 3)
    edges = set()
    for (i, j), shift in zip(pairs.tolist(), shifts.tolist()):
        forward, backward = (i, j, *shift), (j, i, *(-s for s in shift))
        assert forward != backward, f"atom {i} is its own neighbour"
        assert forward not in edges and backward not in edges, f"the pair {forward} is listed twice"
        edges |= {forward, backward}
    return edges


@pytest.fixture(scope="session")
def edge_set():
    return edges_of


@pytest.fixture(scope="session")
def assert_same_edges():
    def check(found, expected, positions, cell, cutoff):
        """The same edges, but for those whose length is the cutoff to rounding."""
        for i, j, *shift in edges_of(*found) ^ edges_of(*expected):
            vector = positions[j] - positions[i] + (0 if cell is None else np.array(shift) @ cell)
            assert abs(np.linalg.norm(vector) - cutoff) < 1e-8, (i, j, shift, float(np.linalg.norm(vector)))

    return check
