"""EGNN's edge network as a kernel is the network written out, and so is its gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import silu

from mlff.fast.build import kernel_library
from mlff.fast.ops import EdgeNetwork, Edges, edge_centres, edge_network, load
from mlff.fast.tables import DEGREE, block_table

CELLS = 7


@pytest.fixture(autouse=True)
def kernels(kept_code):
    load(kernel_library(compile=True))


def arguments(num_atoms, num_edges, width, dtype, *, gate=True, shift=True, scale=1.0, seed=0):
    """Random atoms, edges sorted by centre with weights of splines, and a network; the spline's coefficients ``[C, F]``."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)

    centres = torch.randint(num_atoms, (num_edges,), generator=random).sort().values
    neighbors = torch.randint(num_atoms, (num_edges,), generator=random)
    offsets = torch.searchsorted(centres, torch.arange(num_atoms + 1)).int()
    basis = normal(num_edges, 16)
    basis[:, 0] = torch.randint(CELLS, (num_edges,), generator=random)
    edges = Edges(normal(num_edges, 3), basis, offsets, neighbors.int())
    coefficients = normal(CELLS + DEGREE, width) * scale
    message, last = normal(width, width) * scale / width**0.5, normal(width, width) / width**0.5
    network = EdgeNetwork(
        block_table(coefficients[:, None].numpy(), dtype), normal(width), torch.stack((message.T, message)), normal(width)
    )
    if gate:
        network = replace(network, gate=normal(width), gate_bias=normal(1))
    if shift:
        network = replace(
            network, shift_weights=torch.stack((last.T, last)), shift_bias=normal(width), shift_last=normal(width)
        )
    inputs = [normal(num_atoms, width), normal(num_atoms, width), normal(num_edges), normal(num_edges)]
    return [each.requires_grad_(True) for each in inputs], edges, centres, network, coefficients


def written_out(inputs, along, edges, centres, network, coefficients):
    """Sums and coefficients by torch; `along`, ``[E]`` and zero, is added to the distances, whose splines have slopes."""
    of_centre, of_neighbor, squared, envelope = inputs
    first = edges.basis[:, 0].long()[:, None] + torch.arange(DEGREE + 1)
    weights = edges.basis[:, 1:7] + along[:, None] * edges.basis[:, 7:13]
    x = of_centre[centres] + of_neighbor[edges.neighbors.long()] + squared[:, None] * network.squared_weights
    x = x + (weights[:, :, None] * coefficients[first]).sum(1)
    message = silu(silu(x) @ network.message_weights[0] + network.message_bias)
    if network.gate is not None:
        message = message * torch.sigmoid(message @ network.gate + network.gate_bias)[:, None]
    gathered = torch.zeros_like(of_centre).index_add(0, centres, message * envelope[:, None])
    if network.shift_weights is None:
        return gathered, envelope.new_zeros(0)
    return gathered, silu(message @ network.shift_weights[0] + network.shift_bias) @ network.shift_last


def compared(case, tolerance):
    inputs, edges, centres, network, coefficients = case
    vectors = edges.vectors.clone().requires_grad_(True)
    along = torch.zeros(len(centres), dtype=vectors.dtype, requires_grad=True)
    expected = written_out(inputs, along, edges, centres, network, coefficients)
    found = edge_network(*inputs, centres, replace(edges, vectors=vectors), network)
    random = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(each.shape, generator=random, dtype=torch.float64).to(each.dtype) for each in expected]
    gradients, ours = (
        torch.autograd.grad(sum((each * cotangent).sum() for each, cotangent in zip(results, cotangents)), wanted)
        for results, wanted in ((expected, [*inputs, along]), (found, [*inputs, vectors]))
    )
    expected_gradients = [*gradients[:4], gradients[4][:, None] * edges.basis[:, 13:16]]
    for one, other in zip((*found, *ours), (*expected, *expected_gradients), strict=True):
        largest = float(other.detach().abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * max(1.0, largest))


@given(
    num_atoms=st.integers(1, 9), num_edges=st.integers(0, 150), width=st.integers(1, 40), gate=st.booleans(),
    shift=st.booleans(), seed=st.integers(0, 10),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_sums_coefficients_and_gradients_are_those_written_out(num_atoms, num_edges, width, gate, shift, seed):
    compared(arguments(num_atoms, num_edges, width, torch.float64, gate=gate, shift=shift, seed=seed), 1e-12)


@pytest.mark.parametrize("num_edges", [47, 48, 49, 300])
def test_single_precision_differs_by_rounding(num_edges):
    compared(arguments(6, num_edges, 37, torch.float32), 1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_saturated_functions_neither_overflow_nor_lose_their_slopes(dtype, tolerance):
    compared(arguments(4, 60, 20, dtype, scale=300.0), tolerance)


def test_threads_change_nothing_but_rounding():
    case = arguments(30, 900, 20, torch.float64)
    before = torch.get_num_threads()
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            compared(case, 1e-12)
    finally:
        torch.set_num_threads(before)


def test_what_is_kept_for_the_gradient_is_not_given_to_another_call():
    case, other = (arguments(5, 100, 16, torch.float64, seed=seed) for seed in (0, 1))
    first = edge_network(*case[0], *case[2:3], case[1], case[3])
    for _ in range(3):
        edge_network(*other[0], *other[2:3], other[1], other[3])
    again = edge_network(*case[0], *case[2:3], case[1], case[3])
    gradients = [torch.autograd.grad(result[0].sum() + result[1].sum(), case[0]) for result in (first, again)]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_centres_are_the_atoms_that_edges_are_sorted_by():
    _, edges, centres, *_ = arguments(7, 20, 4, torch.float64)
    assert torch.equal(edge_centres(edges), centres)


def test_tensors_that_do_not_fit_are_refused():
    inputs, edges, centres, network, _ = arguments(5, 20, 16, torch.float64)
    with pytest.raises(RuntimeError, match="do not fit 20 edges and 16 features"):
        edge_network(*inputs[:2], inputs[2][:-1], inputs[3], centres, edges, network)
