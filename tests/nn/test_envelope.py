import pytest
import torch

from mlff.nn import build_envelope

CUTOFF = 5.0


@pytest.mark.parametrize("name", ["polynomial", "cosine"])
def test_an_envelope_falls_from_one_to_zero_and_stays_there(name):
    envelope = build_envelope(name, CUTOFF)
    r = torch.linspace(0, 2 * CUTOFF, 1001, dtype=torch.float64)
    w = envelope(r)
    assert w[0] == 1
    assert (w[1:] <= w[:-1] + 1e-12).all()
    assert (w[r >= CUTOFF].abs() < 1e-12).all()


def test_the_polynomial_envelope_is_smooth_to_the_second_derivative_at_the_cutoff():
    r = torch.tensor([CUTOFF - 1e-6], dtype=torch.float64, requires_grad=True)
    w = build_envelope("polynomial", CUTOFF)(r)
    (slope,) = torch.autograd.grad(w, r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, r)
    assert abs(w) < 1e-14 and abs(slope) < 1e-10 and abs(curvature) < 1e-4
