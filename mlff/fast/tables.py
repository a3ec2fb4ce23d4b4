"""Radial filters as tables: at inference a filter is a function of the distance alone, here a quintic B-spline.

The spline interpolates the function at even distances (de Boor, A Practical Guide to Splines, 1978). It is four times
continuously differentiable, and forces are the exact derivative of the energy that it gives, so energy is conserved as with
the function itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from scipy.interpolate import BSpline, make_interp_spline
from torch import Tensor, nn

DEGREE = 5
SHORTEST_DISTANCE = 0.1
"""Å. Tables begin here: nothing nearer is physical, and the calculator refuses it."""
REGISTER_BYTES = 64
"""Features are stored in blocks of this size; the kernels work through one block at a time."""
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}
"""Largest error of a filter, relative to its largest value, that a table may have."""
LARGEST_NUM_CELLS = 8192

RadialFunction = Callable[[Tensor], Tensor]
"""Distances ``[R]`` in Å to filters ``[R, K, F]``, in float64."""


def filter_coefficients(function: RadialFunction, cutoff: float, dtype: torch.dtype) -> np.ndarray:
    """Spline coefficients ``[cells + 5, K, F]`` of filters, on the coarsest grid that meets the tolerance of the dtype.

    The error is measured between the knots; it falls 64 times as the number of cells doubles.
    """
    cells = 64
    while True:
        coefficients = spline_coefficients(function, cutoff, cells)
        if cells >= LARGEST_NUM_CELLS or _relative_error(function, coefficients, cutoff) < TOLERANCES[dtype]:
            return coefficients
        cells *= 2


def spline_coefficients(function: RadialFunction, cutoff: float, cells: int) -> np.ndarray:
    """B-spline coefficients ``[cells + 5, K, F]`` on the even grid of so many cells that ends at the cutoff."""
    step = (cutoff - SHORTEST_DISTANCE) / cells
    # Four more points than knots, near the ends, determine the spline without derivatives of the function.
    places = np.sort(np.concatenate((np.arange(cells + 1), (1 / 3, 2 / 3, cells - 2 / 3, cells - 1 / 3))))
    values = function(torch.from_numpy(np.minimum(SHORTEST_DISTANCE + step * places, cutoff))).numpy()
    knots = np.arange(-DEGREE, cells + DEGREE + 1.0)
    return make_interp_spline(places, values, k=DEGREE, t=knots).c


def block_table(coefficients: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Coefficients ``[C, K, F]`` in the kernels' layout, ``[blocks, C, K, lanes]``.

    The F features are cut into blocks of ``REGISTER_BYTES``, the last filled up with zeros.
    """
    table = torch.from_numpy(coefficients).to(dtype)
    lanes = REGISTER_BYTES // table.element_size()
    blocks = nn.functional.pad(table, (0, -table.shape[2] % lanes)).unflatten(2, (-1, lanes))
    return blocks.permute(2, 0, 1, 3).contiguous()


def in_float64(module: nn.Module) -> nn.Module:
    """A copy of a module in float64 and without gradients, on the CPU."""
    return copy.deepcopy(module).to(device="cpu", dtype=torch.float64).requires_grad_(False)


def _relative_error(function: RadialFunction, coefficients: np.ndarray, cutoff: float) -> float:
    """Largest error of any filter, relative to the largest value of the K x F filters."""
    cells = len(coefficients) - DEGREE
    places = np.linspace(0, cells, 5 * cells + 1)
    distances = SHORTEST_DISTANCE + (cutoff - SHORTEST_DISTANCE) / cells * places
    exact = function(torch.from_numpy(np.minimum(distances, cutoff))).numpy()
    found = BSpline(np.arange(-DEGREE, cells + DEGREE + 1.0), coefficients, DEGREE)(places)
    return float(np.abs(found - exact).max() / max(np.abs(exact).max(), 1e-300))
