"""Tables of radial functions: as near to the function as they say, up to the cutoff."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from mlff.fast.tables import (
    DEGREE,
    LARGEST_NUM_CELLS,
    SHORTEST_DISTANCE,
    TOLERANCES,
    block_table,
    filter_coefficients,
    spline_coefficients,
)

CUTOFF = 5.0


def waves(r: torch.Tensor, frequency: float = 4.0) -> torch.Tensor:
    """Two filters of three features."""
    phases = torch.arange(6, dtype=torch.float64).view(2, 3)
    return torch.sin(frequency * r[:, None, None] + phases)


def value(coefficients: np.ndarray, r: np.ndarray, derivative: int = 0) -> np.ndarray:
    cells = len(coefficients) - DEGREE
    step = (CUTOFF - SHORTEST_DISTANCE) / cells
    spline = BSpline(np.arange(-DEGREE, cells + DEGREE + 1.0), coefficients, DEGREE)
    return spline((r - SHORTEST_DISTANCE) / step, nu=derivative) / step**derivative


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_is_as_exact_as_its_precision_asks(dtype):
    coefficients = filter_coefficients(waves, CUTOFF, dtype)
    r = np.random.default_rng(0).uniform(SHORTEST_DISTANCE, CUTOFF, 500)
    assert abs(value(coefficients, r) - waves(torch.from_numpy(r)).numpy()).max() < TOLERANCES[dtype]


def test_the_error_falls_with_the_sixth_power_of_the_spacing_and_that_of_the_slope_with_the_fifth():
    r = np.linspace(SHORTEST_DISTANCE, CUTOFF, 3001)
    exact = waves(torch.from_numpy(r)).numpy()
    slopes = 4.0 * torch.cos(4.0 * torch.from_numpy(r)[:, None, None] + torch.arange(6.0).view(2, 3)).numpy()
    coarse, fine = (spline_coefficients(waves, CUTOFF, cells) for cells in (64, 128))
    errors, slope_errors = (
        [abs(value(c, r, derivative) - target).max() for c in (coarse, fine)]
        for derivative, target in ((0, exact), (1, slopes))
    )
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.4)
    assert slope_errors[0] / slope_errors[1] == pytest.approx(32, rel=0.4)


def test_a_function_that_no_grid_resolves_ends_at_the_finest():
    coefficients = filter_coefficients(lambda r: torch.sign(r - 2.0)[:, None, None], CUTOFF, torch.float32)
    assert len(coefficients) == LARGEST_NUM_CELLS + DEGREE


@settings(max_examples=20)
@given(num_features=st.integers(1, 40), num_filters=st.integers(1, 4), single=st.booleans())
def test_blocks_hold_every_coefficient_once_and_zeros_behind_the_last(num_features, num_filters, single):
    dtype = torch.float32 if single else torch.float64
    lanes = 16 if single else 8
    coefficients = np.random.default_rng(1).normal(size=(9, num_filters, num_features))
    table = block_table(coefficients, dtype)
    assert table.shape == (math.ceil(num_features / lanes), 9, num_filters, lanes) and table.is_contiguous()
    back = table.permute(1, 2, 0, 3).flatten(2)
    np.testing.assert_array_equal(back[..., :num_features].numpy(), torch.from_numpy(coefficients).to(dtype).numpy())
    assert not back[..., num_features:].any()
