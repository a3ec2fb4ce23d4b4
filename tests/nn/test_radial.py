import math

import numpy as np
import pytest
import torch

from mlff.nn import build_radial, scatter_sum

CUTOFF, NUM = 5.0, 8


@pytest.mark.parametrize("name", ["bessel", "gaussian", "expnorm"])
def test_a_basis_and_its_two_derivatives_are_finite_down_to_distance_zero(name):
    r = torch.tensor([0.0, 1e-9, 0.7, 4.999, 5.0], dtype=torch.float64, requires_grad=True)
    basis = build_radial(name, NUM, CUTOFF).double()(r)
    assert basis.shape == (5, NUM)
    (slope,) = torch.autograd.grad(basis.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    assert torch.isfinite(basis).all() and torch.isfinite(slope).all() and torch.isfinite(curvature).all()


def test_bessel_functions_are_orthonormal_in_the_sphere():
    r = torch.linspace(0, CUTOFF, 20001, dtype=torch.float64)
    basis = build_radial("bessel", NUM, CUTOFF).double()(r)
    overlap = torch.trapezoid(basis.unsqueeze(1) * basis.unsqueeze(2) * (r**2)[:, None, None], r, dim=0)
    torch.testing.assert_close(overlap, torch.eye(NUM, dtype=torch.float64), atol=1e-6, rtol=0)


def test_gaussians_peak_at_their_centres_and_are_as_wide_as_their_spacing():
    centres = torch.linspace(0, CUTOFF, NUM, dtype=torch.float64)
    basis = build_radial("gaussian", NUM, CUTOFF).double()(centres)
    np.testing.assert_allclose(basis.diagonal(), 1.0, atol=1e-12)
    np.testing.assert_allclose(basis.diagonal(1), math.exp(-0.5), atol=1e-6)


def test_expnorm_is_the_formula_of_physnet():
    r = 1.3
    basis = build_radial("expnorm", NUM, CUTOFF).double()(torch.tensor([r], dtype=torch.float64))
    start = math.exp(-CUTOFF)
    for k, value in enumerate(basis[0]):
        mu = start + (1 - start) * k / (NUM - 1)
        beta = (2 / NUM * (1 - start)) ** -2
        expected = 0.5 * (math.cos(math.pi * r / CUTOFF) + 1) * math.exp(-beta * (math.exp(-5 / CUTOFF * r) - mu) ** 2)
        assert float(value) == pytest.approx(expected, abs=1e-6)


def test_scatter_sum_adds_rows_and_leaves_unnamed_rows_zero():
    out = scatter_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([2, 0, 2]), 4)
    assert out.flatten().tolist() == [2, 0, 5, 0]
