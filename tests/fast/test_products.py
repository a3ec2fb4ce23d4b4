"""Matrix products of the kernels against torch's, and traced graphs that are handed to the kernels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx

from mlff.fast import ops
from mlff.fast.build import kernel_library
from mlff.fast.substitutes import use_kernels
from mlff.train.optimizer import orthogonalized

SIZES = st.integers(1, 140)


@pytest.fixture(autouse=True)
def kernels(kept_code):
    ops.load(kernel_library(compile=True))


def matrix(rows, columns, dtype, order):
    """Rows by rows, columns by columns, or a slice of something wider."""
    if order == "columns":
        return torch.randn(columns, rows, dtype=dtype).T
    return torch.randn(rows, columns + 3, dtype=dtype)[:, 2:-1] if order == "slice" else torch.randn(rows, columns, dtype=dtype)


ORDERS = st.sampled_from(["rows", "columns", "slice"])


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 600), SIZES, ORDERS, ORDERS, st.sampled_from(["none", "row", "matrix"]), st.booleans())
def test_products_of_any_size_and_order_are_torchs(rows, depth, columns, order_a, order_b, start, double):
    ops.load(kernel_library(compile=True))
    dtype = torch.float64 if double else torch.float32
    a, b = matrix(rows, depth, dtype, order_a), matrix(depth, columns, dtype, order_b)
    shape = {"none": None, "row": (columns,), "matrix": (rows, columns)}[start]
    first = None if shape is None else torch.randn(shape, dtype=dtype)
    exact = a.double() @ b.double() + (0 if first is None else first.double())
    tolerance = (1e-13 if double else 1e-5) * depth
    torch.testing.assert_close(torch.ops.mlff.product(a, b, first).double(), exact, atol=tolerance, rtol=0)


def test_nothing_times_nothing_has_the_right_shape():
    assert torch.ops.mlff.product(torch.ones(0, 4), torch.ones(4, 16), None).shape == (0, 16)
    start = torch.randn(16)
    assert torch.equal(torch.ops.mlff.product(torch.ones(3, 0), torch.ones(0, 16), start), start.expand(3, -1))


def test_threads_share_the_rows():
    a, b = torch.randn(500, 90), torch.randn(90, 77)
    one = torch.ops.mlff.product(a, b, None)
    torch.set_num_threads(3)
    assert torch.equal(torch.ops.mlff.product(a, b, None), one)


def test_a_traced_graph_gives_the_same_through_the_kernels():
    def function(x, weight, bias, index):
        y = torch.nn.functional.linear(x, weight, bias)
        z = torch.zeros(5, 16, dtype=x.dtype).index_add(0, index, y @ y.mT @ y)
        w = y.new_zeros(5, 16).index_put((index,), y, accumulate=True)
        return z, w

    numbers = [torch.randn(*shape, dtype=torch.float64) for shape in ((7, 20), (16, 20), (16,))]
    inputs = *numbers, torch.tensor([0, 1, 1, 4, 2, 0, 0])
    graph = make_fx(function)(*inputs)
    expected = graph(*inputs)
    use_kernels(graph)
    targets = {str(node.target) for node in graph.graph.nodes}
    assert {"mlff.product.default", "mlff.add_rows.default"} <= targets
    assert not targets & {"aten.mm.default", "aten.addmm.default", "aten.index_add.default", "aten.index_put.default"}
    for found, exact in zip(graph(*inputs), expected):
        torch.testing.assert_close(found, exact, atol=1e-9, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 64, 192), (2, 576, 20), (1, 128, 128), (2, 9, 8)])
def test_steps_of_muon_are_the_same_through_the_kernels(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalized(matrices, kernels=True), orthogonalized(matrices), atol=1e-5, rtol=0)
