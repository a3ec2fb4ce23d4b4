"""Counted arithmetic is the arithmetic on paper."""

import pytest

from mlff.benchmarks.candidates import build_potential
from mlff.benchmarks.limits import limit_of
from mlff.benchmarks.operations import count_operations
from mlff.benchmarks.systems import benchmark_system
from mlff.graph import build_graph

MODELS = ("egnn", "painn", "tensornet")


@pytest.fixture(scope="module")
def graph():
    atoms = benchmark_system("azobenzene")
    return build_graph(atoms.positions, atoms.numbers, 5.0)


def test_painn_multiplies_what_its_equations_say(graph):
    """Linear layers of F features, forward and the gradient with respect to the input, 2 operations an element."""
    features, layers, atoms, radial = 128, 3, graph.num_atoms, 20
    context = features * features + features * 3 * features
    mixing = 3 * features * 2 * features + 2 * features * features + features * 3 * features
    head = features * (features // 2) + features // 2
    forward = 2 * atoms * (layers * (context + mixing) + head)
    count = count_operations(build_potential("painn"), graph)
    # No gradient flows into the embedding, which is the input of the first context.
    assert count.product_flop["atoms"] == 2 * forward - 2 * atoms * context
    assert count.product_flop["pairs"] == 2 * 2 * graph.num_pairs * radial * layers * 3 * features
    assert count.product_flop["edges"] == 0


def test_shapes_of_products_account_for_every_operation(graph):
    for model in MODELS:
        count = count_operations(build_potential(model), graph)
        for part, products in count.products.items():
            flop = sum(2 * batch * rows * inner * columns * times for (batch, rows, inner, columns), times in products.items())
            assert flop == count.product_flop[part]


def test_counting_leaves_the_potential_as_it_was(graph):
    potential = build_potential("painn").train()
    next(potential.parameters()).requires_grad_(False)
    before = [parameter.requires_grad for parameter in potential.parameters()]
    count_operations(potential, graph)
    assert potential.training and [parameter.requires_grad for parameter in potential.parameters()] == before


def test_a_limit_leaves_out_what_a_table_replaces():
    limit = limit_of(build_potential("painn"), "azobenzene", copied=1e10).document()
    assert 0 < limit["arithmetic_milliseconds"] < limit["untabulated_arithmetic_milliseconds"]
    assert limit["milliseconds"] == max(limit["arithmetic_milliseconds"], limit["bytes_milliseconds"])


def test_radial_functions_of_self_loops_are_the_pairs_and_shared_weights_make_one_product(graph):
    """TensorNet multiplies 9 components of every atom by one matrix, and distances of edges and loops by another."""
    count = count_operations(build_potential("tensornet"), graph)
    loops = 2 * graph.num_pairs + graph.num_atoms
    assert count.products["pairs"][1, loops, 32, 384] == 1 and count.product_flop["edges"] == 0
    assert count.products["atoms"][1, 5 * graph.num_atoms, 128, 128] > 0
    assert not [shape for shape in count.products["atoms"] if shape[0] > 1 and shape[2] == 128]
