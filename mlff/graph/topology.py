"""Structures as topological graphs: bonds, nearest neighbours, the matrices of a graph, and what its Laplacian says of nodes.

A graph has N nodes and P undirected pairs of them, each given once. Matrices are those of a multigraph, so that periodic
structures fit: ``A_ij`` counts the pairs between i and j, and a pair of an atom with its own image counts twice in ``A_ii``
(it leaves the atom and arrives there). With the degrees ``D_ii = sum over j of A_ij``

    L = D - A                              the (combinatorial) Laplacian,
    L_sym = I - D^(-1/2) A D^(-1/2)        the symmetric normalised Laplacian

(F. R. K. Chung, Spectral Graph Theory, 1997, chapter 1). Both are positive semidefinite, ``x^T L x = sum over pairs of
(x_i - x_j)^2``, with as many zero eigenvalues as the graph has connected components.

Two formulas that are met in their place are neither. ``I - A`` is L_sym only where A stands for the normalised adjacency
``D^(-1/2) A D^(-1/2)`` already. Of a plain adjacency matrix its rows do not sum to zero, and it is indefinite: of a ring of six
atoms the lowest eigenvalue is 1 - 2 = -1. ``I - D^(1/2) A D^(-1/2)``, with one exponent positive, is not symmetric and
normalises nothing: ``D^(1/2) A D^(-1/2)`` is similar to A, so its eigenvalues are those of ``I - A``.

Matrices are dense: of some thousand nodes they take seconds and some hundred megabytes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .build import build_graph
from .connect import TOLERANCE, GraphConfig, connect
from .covalent_radii import COVALENT_RADII
from .neighbors import half_list
from .neighbors.structure import check_structure

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEGENERATE = 1e-8
"""Eigenvalues nearer to each other than this are one."""


def covalent_bonds(
    atomic_numbers: ArrayLike,
    positions: ArrayLike,
    cell: ArrayLike | None = None,
    pbc: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[Integers, Integers]:
    """Atoms nearer than `tolerance` times the sum of their covalent radii (Cordero et al. 2008; ASE has the same values).

    Args:
        atomic_numbers: ``[N]``.
        positions: Å, ``[N, 3]``.
        cell: lattice vectors as rows, Å.
        pbc: which of the axes are periodic; none by default.
        tolerance: 1.2 to 1.3 is usual: the larger lets hot bonds swing without breaking.

    Returns:
        Pairs ``[P, 2]``, each once, and the integer cell shift of the second atom, ``[P, 3]``.

    Raises:
        ValueError: elements without a radius, or a structure that no neighbour list can be made of.
    """
    config = GraphConfig(kind="bonds", tolerance=tolerance)
    numbers = np.asarray(atomic_numbers, dtype=np.int64).reshape(-1)
    config.check_elements(sorted(set(numbers.tolist())))
    reach = 2 * tolerance * max((COVALENT_RADII[z] for z in numbers), default=1.0)
    graph = connect(build_graph(positions, numbers, reach, cell=cell, pbc=pbc), config)
    pairs = graph.pairs.T.contiguous().numpy()
    shifts = np.zeros((len(pairs), 3)) if graph.pair_shifts is None else graph.pair_shifts.numpy()
    return pairs, np.rint(shifts).astype(np.int64)


def nearest_neighbors(
    positions: ArrayLike, neighbors: int, cell: ArrayLike | None = None, pbc: ArrayLike | None = None
) -> tuple[Integers, Integers]:
    """The nearest neighbours of every atom, as directed edges: that j is near to i does not make i near to j.

    Images of an atom are neighbours of their own, an atom's own images, too. Of several that are equally far, which are taken
    is not defined.

    Args:
        positions: Å, ``[N, 3]``.
        neighbors: k, how many neighbours each atom has.
        cell: lattice vectors as rows, Å.
        pbc: which of the axes are periodic; none by default.

    Returns:
        Edges ``[N k, 2]``, atom and neighbour, k of every atom in turn, the nearest first, and the integer cell shifts of the
        neighbours, ``[N k, 3]``.

    Raises:
        ValueError: fewer than k other atoms in a molecule, or a structure that no neighbour list can be made of.
    """
    points, lattice, periodic, _ = check_structure(positions, cell, pbc, 1.0)
    count = len(points)
    if neighbors < 1:
        raise ValueError(f"`neighbors` is {neighbors}; give 1 or more")
    if lattice is None and 0 < count <= neighbors:
        raise ValueError(f"each of {count} atoms has {count - 1} others, fewer than `neighbors`, {neighbors}")
    if lattice is None or count == 0:
        return _nearest_in_molecule(points, neighbors)
    radius = 3.0
    while True:
        pairs, shifts = half_list(points, cell, periodic, radius)
        edges, shifts = np.concatenate((pairs, pairs[:, ::-1])), np.concatenate((shifts, -shifts))
        if np.bincount(edges[:, 0], minlength=count).min() >= neighbors:
            break
        radius *= 1.5
    vectors = points[edges[:, 1]] + shifts @ lattice - points[edges[:, 0]]
    order = np.lexsort((np.einsum("ij,ij->i", vectors, vectors), edges[:, 0]))
    first = np.searchsorted(edges[order, 0], np.arange(count))
    chosen = order[(first[:, None] + np.arange(neighbors)).reshape(-1)]
    return edges[chosen], shifts[chosen]


def _nearest_in_molecule(points: Floats, neighbors: int) -> tuple[Integers, Integers]:
    from scipy.spatial import KDTree

    count = len(points)
    if count == 0:
        return np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64)
    _, found = KDTree(points).query(points, k=neighbors + 1)
    others = found != np.arange(count)[:, None]
    others[others.all(axis=1), -1] = False  # atoms in one place: itself is not among those found
    edges = np.stack((np.repeat(np.arange(count), neighbors), found[others]), axis=1)
    return edges.astype(np.int64), np.zeros((len(edges), 3), np.int64)


def adjacency(pairs: ArrayLike, num_atoms: int) -> Floats:
    """A, symmetric ``[N, N]``: how many of the pairs ``[P, 2]`` connect two atoms.

    Raises:
        ValueError: pairs of atoms that are not there.
    """
    index = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if index.size and not (0 <= index.min() and index.max() < num_atoms):
        raise ValueError(f"`pairs` name atoms from {index.min()} to {index.max()}, but there are only 0 to {num_atoms - 1}")
    matrix = np.zeros((num_atoms, num_atoms))
    np.add.at(matrix, (index[:, 0], index[:, 1]), 1.0)
    return matrix + matrix.T


def degree(pairs: ArrayLike, num_atoms: int) -> Floats:
    """How many pairs ``[P, 2]`` end at each atom, ``[N]``: the row sums of ``adjacency``."""
    return adjacency(pairs, num_atoms).sum(axis=1)


def laplacian(pairs: ArrayLike, num_atoms: int) -> Floats:
    """L = D - A of the pairs ``[P, 2]``: symmetric, positive semidefinite ``[N, N]``; its rows sum to zero.

    This is the standard one; ``I - A``, with a plain adjacency matrix, is not (see the top of this file).
    """
    matrix = adjacency(pairs, num_atoms)
    return np.diag(matrix.sum(axis=1)) - matrix


def normalized_laplacian(pairs: ArrayLike, num_atoms: int) -> Floats:
    """L_sym = I - D^(-1/2) A D^(-1/2) of the pairs ``[P, 2]``: symmetric ``[N, N]``, with eigenvalues from 0 to 2.

    Both exponents are -1/2 (see the top of this file). Rows of atoms without neighbours are zero, so that each of them is a
    component with an eigenvalue of zero like any other. The largest eigenvalue is 2 where a component is bipartite, as chains
    and rings of even size are, and less elsewhere.
    """
    matrix = adjacency(pairs, num_atoms)
    degrees = matrix.sum(axis=1)
    connected = degrees > 0
    root = np.where(connected, degrees, 1.0) ** -0.5
    return np.diag(connected.astype(np.float64)) - root[:, None] * matrix * root


def num_components(pairs: ArrayLike, num_atoms: int) -> int:
    """Into how many connected components the pairs ``[P, 2]`` divide the atoms."""
    from scipy.sparse.csgraph import connected_components

    return int(connected_components(adjacency(pairs, num_atoms), directed=False, return_labels=False))


def with_virtual_node(pairs: ArrayLike, num_atoms: int) -> Integers:
    """The pairs ``[P + N, 2]`` of a graph with one node more, number N, which is connected to every atom.

    All atoms are then two steps from each other (Gilmer et al., ICML 2017, section 5.2). It is a node of the topological graph
    alone: it has no position, so no distance, and no place in a potential that is to be a local function of geometry.
    """
    index = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    spokes = np.stack((np.arange(num_atoms), np.full(num_atoms, num_atoms)), axis=1)
    return np.concatenate((index, spokes))


def laplacian_encoding(
    pairs: ArrayLike,
    num_atoms: int,
    num_vectors: int,
    *,
    normalized: bool = True,
    basis: Literal["canonical", "random", "invariant"] = "canonical",
    rng: np.random.Generator | None = None,
) -> Floats:
    """Where each node is in the graph: the eigenvectors of the Laplacian with the lowest eigenvalues above zero, ``[N, K]``.

    (Dwivedi and Bresson, arXiv:2012.09699.) Left out are the zero eigenvalues, one a component: their eigenvectors say only
    which atoms hang together. A graph with fewer eigenvectors than were asked for is padded with columns of zeros.

    The eigenvectors of an eigenvalue of multiplicity m are defined up to an orthogonal matrix of m rows: for m = 1 up to the
    sign, for more up to a rotation, too. What a solver returns is an accident of its arithmetic and of the atoms' order.
    `basis` says what is done about it:

    - ``canonical``: the basis that Gram and Schmidt make of the columns of the projector ``V V^T`` on the eigenspace, the
      column with the largest remainder first, and of equal ones that of the first atom. A single vector is positive where it is
      largest. No solver's accidents are left, and the order of the atoms matters only where components are equally large:
      where a symmetry of the graph turns a vector into its negative, no choice can be free of it.
    - ``random``: an orthogonal matrix drawn with `rng` for each eigenspace (random signs for m = 1), anew in every call:
      for training, so that a model learns not to look at what means nothing.
    - ``invariant``: ``sqrt((V V^T)_aa / m)`` for node a, in each of the m columns: the same for every basis, and carried along
      when atoms are put into another order. For m = 1 these are absolute values. They tell less: nodes that a symmetry of the
      graph exchanges have the same row.

    Args:
        pairs: ``[P, 2]``.
        num_atoms: N.
        num_vectors: K.
        normalized: whether of L_sym or of L.
        basis: see above. Where the last column belongs to an eigenspace that does not fit, the first of its columns are taken.
        rng: for ``random``, and only there.

    Returns:
        Columns of length 1 (or 0), ``[N, K]``.

    Raises:
        ValueError: a negative number of vectors, or ``random`` without `rng`.
    """
    if num_vectors < 0:
        raise ValueError(f"`num_vectors` is {num_vectors}; give 0 or more")
    if (basis == "random") != (rng is not None):
        raise ValueError("give `rng`, a generator of random numbers, with basis='random' and nowhere else")
    matrix = (normalized_laplacian if normalized else laplacian)(pairs, num_atoms)
    values, vectors = np.linalg.eigh(matrix)
    zeros = num_components(pairs, num_atoms)
    encoding = np.zeros((num_atoms, num_vectors))
    # Spaces are told apart among all eigenvalues, so that one that does not fit is not taken for a smaller one.
    starts = [k for k in range(zeros, num_atoms) if k == zeros or values[k] - values[k - 1] > DEGENERATE]
    for start, end in zip(starts, [*starts[1:], num_atoms]):
        column = start - zeros
        if column >= num_vectors:
            break
        space = vectors[:, start:end]
        if basis == "canonical":
            space = _canonical(space)
        elif rng is not None:
            space = space @ _orthogonal(space.shape[1], rng)
        else:
            space = np.repeat(np.linalg.norm(space, axis=1, keepdims=True) / np.sqrt(end - start), end - start, axis=1)
        width = min(end - start, num_vectors - column)
        encoding[:, column : column + width] = space[:, :width]
    return encoding


def _canonical(space: Floats) -> Floats:
    """An orthonormal basis of the columns' span ``[N, m]`` that depends on the span alone: pivoted Gram-Schmidt."""
    projector = space @ space.T
    chosen = np.zeros_like(space)
    for k in range(space.shape[1]):
        sizes = projector.diagonal()  # squared lengths of what is left of each column
        pivot = int(np.argmax(sizes > sizes.max() - DEGENERATE))
        chosen[:, k] = projector[:, pivot] / np.sqrt(sizes[pivot])
        projector = projector - np.outer(chosen[:, k], chosen[:, k])
    return chosen


def _orthogonal(size: int, rng: np.random.Generator) -> Floats:
    """An orthogonal matrix, uniformly distributed; a sign for size 1."""
    from scipy.stats import ortho_group

    return ortho_group.rvs(size, random_state=rng) if size > 1 else np.array([[rng.choice((-1.0, 1.0))]])
