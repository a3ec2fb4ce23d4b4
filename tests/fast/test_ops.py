"""The kernels against sums over neighbours written out in torch."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from mlff.fast import ops
from mlff.fast.build import kernel_library
from mlff.fast.edges import EdgeList
from mlff.fast.ops import Rule, neighbor_sum
from mlff.fast.tables import DEGREE, SHORTEST_DISTANCE, block_table
from mlff.graph import VerletList
from mlff.models.tensornet import _dyads

CUTOFF, CELLS = 3.0, 24
SOURCES = {Rule.VECTOR_MESSAGE_FIRST: 2, Rule.VECTOR_MESSAGE: 5, Rule.TENSOR_MESSAGE: 9, Rule.TENSOR_EMBEDDING: 2}


@pytest.fixture(autouse=True)
def kernels():
    ops.load(kernel_library(compile=True))


def structure():
    rng = np.random.default_rng(5)
    positions = rng.uniform(0, 4.0, (9, 3))
    cell = np.array([[4.4, 0.2, 0.0], [0.3, 4.6, 0.1], [0.0, -0.4, 4.2]])  # smaller than twice the cutoff
    return positions, np.full(9, 6), cell, np.array([True, True, False])


def edges_of(dtype, positions=None):
    given, numbers, cell, pbc = structure()
    edge_list = EdgeList(VerletList(CUTOFF, 0.5), dtype, CELLS + DEGREE)
    return edge_list.near(given if positions is None else positions, numbers, cell, pbc)


def messages(rule, filters, unit, source):
    """What each edge carries, ``[E, A, F]``: filters ``[E, 3, F]``, directions ``[E, 3]``, source rows of the neighbours."""
    first, second, third = filters.unbind(1)
    if rule in (Rule.VECTOR_MESSAGE_FIRST, Rule.VECTOR_MESSAGE):
        vectors = (second * source[:, 1]).unsqueeze(1) * unit.unsqueeze(2)
        if rule == Rule.VECTOR_MESSAGE:
            vectors = vectors + third.unsqueeze(1) * source[:, 2:]
        return torch.cat(((first * source[:, 0]).unsqueeze(1), vectors), dim=1)
    spread = filters[:, [0, 1, 1, 1, 2, 2, 2, 2, 2]]
    if rule == Rule.TENSOR_MESSAGE:
        return spread * source
    norms = torch.tensor([3.0] + 8 * [2.0], dtype=unit.dtype).sqrt()
    dyads = spread * (_dyads(unit) / norms).unsqueeze(2)
    return torch.cat((dyads * source[:, :1], dyads * source[:, 1:]), dim=1)


def written_out(rule, coefficients, edges, source):
    """The sums, differentiable in the source and the vectors."""
    step = (CUTOFF - SHORTEST_DISTANCE) / CELLS
    distances = edges.vectors.norm(dim=1)
    spline = BSpline(np.arange(-DEGREE, CELLS + DEGREE + 1.0), coefficients, DEGREE)
    places = (distances.detach().numpy() - SHORTEST_DISTANCE) / step
    value, slope = (torch.from_numpy(spline(places, nu=nu)).to(source) for nu in (0, 1))
    filters = value + slope * ((distances - distances.detach()) / step)[:, None, None]
    counts = edges.offsets.diff().long()
    centre = torch.repeat_interleave(torch.arange(len(counts)), counts)
    carried = messages(rule, filters, edges.vectors / distances.unsqueeze(1), source[edges.neighbors.long()])
    return source.new_zeros(len(counts), *carried.shape[1:]).index_add(0, centre, carried)


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("num_features", [1, 16, 37])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
def test_sums_and_gradients_are_those_written_out(rule, num_features, dtype, tolerance):
    generator = torch.Generator().manual_seed(int(rule))
    coefficients = torch.randn(CELLS + DEGREE, 3, num_features, generator=generator, dtype=torch.float64).numpy()
    table = block_table(coefficients, dtype)
    edges, shortest = edges_of(dtype)
    assert shortest == pytest.approx(float(edges.vectors.norm(dim=1).min()), rel=1e-6)
    source = torch.randn(9, SOURCES[rule], num_features, generator=generator, dtype=dtype)
    weights = torch.randn(9, ops.NUM_OUT[rule], num_features, generator=generator, dtype=dtype)
    results = []
    for function in (
        lambda s, e: neighbor_sum(s, e, table, rule),
        lambda s, e: written_out(rule, coefficients, e, s),
    ):
        s = source.clone().requires_grad_(True)
        v = edges.vectors.clone().requires_grad_(True)
        sums = function(s, ops.Edges(v, edges.basis, edges.offsets, edges.neighbors))
        grad_source, grad_vectors = torch.autograd.grad((sums * weights).sum(), (s, v))
        forces, virial = torch.ops.mlff.edge_forces(grad_vectors, edges.vectors, edges.offsets, edges.neighbors)
        results.append((sums.detach(), grad_source, forces, virial))
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())))


def test_edges_are_those_within_the_cutoff_and_come_in_both_directions():
    positions, numbers, cell, pbc = structure()
    edges, _ = edges_of(torch.float64)
    pairs, shifts = VerletList(CUTOFF, 0).pairs(positions, numbers, cell, pbc)
    vectors = positions[pairs[:, 1]] + shifts @ cell - positions[pairs[:, 0]]
    centre = np.repeat(np.arange(9), edges.offsets.diff().numpy())
    found = {(i, j, *np.round(v, 8) + 0.0) for i, j, v in zip(centre, edges.neighbors.numpy(), edges.vectors.numpy())}
    forward = {(i, j, *np.round(v, 8) + 0.0) for (i, j), v in zip(pairs, vectors)}
    backward = {(j, i, *np.round(-v, 8) + 0.0) for (i, j), v in zip(pairs, vectors)}
    assert found == forward | backward and len(edges.neighbors) == 2 * len(pairs)


def test_a_kept_list_gives_the_edges_of_a_new_one():
    positions, numbers, cell, pbc = structure()
    edge_list = EdgeList(VerletList(CUTOFF, 0.5), torch.float64, CELLS + DEGREE)
    edge_list.near(positions, numbers, cell, pbc)
    moved = positions + np.random.default_rng(1).uniform(-0.1, 0.1, positions.shape)
    kept, _ = edge_list.near(moved, numbers, cell, pbc)
    new, _ = edges_of(torch.float64, moved)
    assert kept.neighbors.shape == new.neighbors.shape
    for ours, expected in ((kept.offsets, new.offsets), (kept.vectors.sum(0), new.vectors.sum(0))):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(kept.vectors.norm(dim=1).sum(), new.vectors.norm(dim=1).sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (3,), (130,), (9, 5)])
def test_rows_are_added_where_the_index_says(dtype, shape):
    generator = torch.Generator().manual_seed(0)
    start, values = (torch.randn(n, *shape, generator=generator, dtype=torch.float64).to(dtype) for n in (7, 20))
    index = torch.randint(0, 7, (20,), generator=generator)
    kept = start.clone()
    expected = start.double().index_add(0, index, values.double()).to(dtype)
    torch.testing.assert_close(torch.ops.mlff.add_rows(start, index, values), expected)
    assert torch.equal(start, kept)
    none = torch.ops.mlff.add_rows(start, index[:0], values[:0])
    assert torch.equal(none, start)


@pytest.mark.parametrize("rule", list(Rule))
def test_several_threads_give_what_one_gives(rule):
    """Threads share the atoms; every sum is made by one of them, so even the last bit is the same."""
    rng = np.random.default_rng(2)
    positions, numbers = rng.uniform(0, 14.0, (300, 3)), np.full(300, 6)
    edges, _ = EdgeList(VerletList(CUTOFF, 0.5), torch.float64, CELLS + DEGREE).near(positions, numbers, None, None)
    table = block_table(rng.normal(size=(CELLS + DEGREE, 3, 24)), torch.float64)
    source, gradient = (torch.from_numpy(rng.normal(size=(300, n, 24))) for n in (SOURCES[rule], ops.NUM_OUT[rule]))
    rest = (source, edges.vectors, edges.basis, edges.offsets, edges.neighbors, table, int(rule))
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append((torch.ops.mlff.neighbor_sum(*rest), *torch.ops.mlff.neighbor_sum_backward(gradient, *rest)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, several) for one, several in zip(*results))
