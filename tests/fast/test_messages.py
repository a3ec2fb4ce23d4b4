"""The sums of messages that training differentiates twice, and the potentials that have them."""

import pytest
import torch

from mlff.fast import ops
from mlff.fast.build import kernel_library
from mlff.fast.ops import Rule, messages
from mlff.fast.training import TRAINED, with_kernels
from mlff.graph import build_graph, collate
from mlff.models import model_config
from mlff.potential.potential import Potential
from tests.fast.test_ops import SOURCES, structure
from tests.fast.test_ops import messages as messages_of_edges
from tests.models.variants import ATOMIC_ENERGIES, CUTOFF, NUMBERS, POSITIONS

NUM_ATOMS = 6
PAIRS = torch.tensor([[0, 1, 4, 2, 3, 3, 0], [1, 2, 2, 0, 3, 5, 1]])  # atom 3 with its own image, 0 and 1 twice, none at random


@pytest.fixture(autouse=True)
def kernels():
    ops.load(kernel_library(compile=True))


def arguments(rule, num_features, dtype, num_pairs=PAIRS.shape[1]):
    torch.manual_seed(3)
    source = torch.randn(NUM_ATOMS, SOURCES[rule], num_features, dtype=dtype)
    filters = torch.randn(num_pairs, 3, num_features, dtype=dtype)
    directions = torch.nn.functional.normalize(torch.randn(num_pairs, 3, dtype=dtype), dim=1)
    return [tensor.requires_grad_() for tensor in (source, filters, directions)]


def written_out(source, filters, directions, rule):
    """The sums over both directions of every pair, from what the edges carry."""
    centre, neighbor = torch.cat((PAIRS, PAIRS.flip(0)), dim=1)
    carried = messages_of_edges(rule, torch.cat((filters, filters)), torch.cat((directions, -directions)), source[neighbor])
    return carried.new_zeros(NUM_ATOMS, *carried.shape[1:]).index_add(0, centre, carried)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("num_features", [1, 8, 19])
def test_sum_gradient_and_its_gradient_are_those_of_the_sum_written_out(rule, num_features):
    given = arguments(rule, num_features, torch.float64)
    results = []
    for function in (lambda *a: messages(*a, PAIRS, rule), lambda *a: written_out(*a, rule)):
        out = function(*given)
        gradient = torch.autograd.grad(
            (out * torch.sin(out)).sum(), given, create_graph=True, allow_unused=True, materialize_grads=True
        )
        second = torch.autograd.grad(
            sum((g * torch.cos(3 * g)).sum() for g in gradient), given, allow_unused=True, materialize_grads=True
        )
        results.append([out, *gradient, *second])
    for found, expected in zip(*results):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", Rule)
def test_both_gradients_are_finite_differences(rule):
    given = arguments(rule, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda *a: messages(*a, PAIRS, rule), given)
    assert torch.autograd.gradgradcheck(lambda *a: messages(*a, PAIRS, rule), given)


@pytest.mark.parametrize("rule", Rule)
def test_single_precision_threads_and_slices_of_filters_change_nothing_but_rounding(rule):
    source, filters, directions = (tensor.detach() for tensor in arguments(rule, 50, torch.float32))
    expected = messages(source.double(), filters.double(), directions.double(), PAIRS, rule)
    wide = torch.cat((filters.flatten(1), torch.full((PAIRS.shape[1], 7), torch.nan)), dim=1)
    torch.set_num_threads(2)
    found = messages(source, wide[:, :150].unflatten(1, (3, -1)), directions, PAIRS, rule)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_no_pairs_sum_to_zero():
    source, filters, directions = arguments(Rule.VECTOR_MESSAGE, 4, torch.float64, num_pairs=0)
    out = messages(source, filters, directions, PAIRS[:, :0], Rule.VECTOR_MESSAGE)
    assert not out.any()
    assert [g.shape for g in torch.autograd.grad(out.sum(), (source, filters))] == [source.shape, filters.shape]


def test_tensors_that_do_not_fit_are_refused():
    source, filters, directions = arguments(Rule.VECTOR_MESSAGE, 4, torch.float64)
    with pytest.raises(RuntimeError, match="do not fit the rule"):
        messages(source[:, :2], filters, directions, PAIRS, Rule.VECTOR_MESSAGE)


def batch():
    positions, numbers, cell, pbc = structure()
    graphs = [
        build_graph(POSITIONS, NUMBERS, CUTOFF),
        build_graph(positions, numbers, CUTOFF, cell=cell, pbc=pbc),
    ]
    return collate(graphs)


@pytest.mark.parametrize(
    "name, options",
    [("painn", {}), ("painn", dict(num_layers=1)), ("painn", dict(radial="gaussian", envelope="cosine")), ("tensornet", {}),
     ("tensornet", dict(self_loops=False, group="SO(3)")), ("tensornet", dict(num_layers=0))],
)  # fmt: skip
def test_a_potential_with_kernels_has_the_same_forces_and_gradients(name, options):
    torch.manual_seed(0)
    config = model_config(name, num_features=12, cutoff=CUTOFF, **options)
    potential = Potential.build(config, species=list(ATOMIC_ENERGIES), atomic_energies=ATOMIC_ENERGIES, num_states=2).double()
    fast = with_kernels(potential.train())
    assert type(fast.model) is TRAINED[type(potential.model)]
    assert [id(parameter) for parameter in fast.parameters()] == [id(parameter) for parameter in potential.parameters()]
    results = []
    for each in (potential, fast):
        found = each(batch(), stress=False)
        loss = found["forces"].square().sum() + found["energy"].sum()
        gradients = torch.autograd.grad(loss, list(each.parameters()), allow_unused=True, materialize_grads=True)
        results.append([found["energy"], found["forces"], *gradients])
    assert results[0][1].abs().max() > 1e-3
    for found, expected in zip(*reversed(results)):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_vectors_of_painn_are_there_for_heads():
    torch.manual_seed(0)
    potential = Potential.build(model_config("painn", num_features=8, cutoff=CUTOFF), species=[1, 6, 7, 8]).double()
    expected, found = potential.model(batch()), with_kernels(potential).model(batch())
    torch.testing.assert_close(found.vector, expected.vector, rtol=1e-10, atol=1e-12)


def test_other_models_stay_as_they_are():
    potential = Potential.build(model_config("egnn", num_features=8), species=[1])
    assert with_kernels(potential) is potential
