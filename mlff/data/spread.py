"""Spread: range, mean and deviation of numbers that come piece by piece, so that a file need not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mlff.data.system import System

_BLOCK_BYTES = 1 << 25


def blocks(system: System, name: str) -> Iterator[np.ndarray]:
    """The values of a quantity in the order of the frames, some 30 MB at a time."""
    row_bytes = max(1, system.read(name, slice(0, 1)).nbytes)
    size = max(1, _BLOCK_BYTES // row_bytes)
    for first in range(0, system.num_frames, size):
        yield system.read(name, slice(first, first + size))


class Spread:
    """What was seen of the finite among the added numbers; complex ones count by their absolute value."""

    def __init__(self) -> None:
        self.count = 0
        self.lowest, self.highest = np.inf, -np.inf
        self._origin = 0.0  # sums are of distances from it: energies of -9000 eV differ in the seventh digit
        self._sum = self._squares = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in any array of numbers."""
        values = np.abs(values) if values.dtype.kind == "c" else values
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return
        if not self.count:
            self._origin = float(finite[0])
        self.count += finite.size
        self.lowest, self.highest = min(self.lowest, float(finite.min())), max(self.highest, float(finite.max()))
        finite -= self._origin
        self._sum += float(finite.sum())
        self._squares += float(np.vdot(finite, finite))

    @property
    def mean(self) -> float:
        """Mean of the numbers."""
        return self._origin + self._sum / self.count

    @property
    def standard_deviation(self) -> float:
        """Root of the mean squared distance from the mean."""
        shift = self._sum / self.count
        variance = self._squares / self.count - shift * shift  # inf - inf where numbers of a damaged file are as large
        return math.inf if math.isnan(variance) else math.sqrt(max(0.0, variance))

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return float(np.hypot(self.mean, self.standard_deviation))
