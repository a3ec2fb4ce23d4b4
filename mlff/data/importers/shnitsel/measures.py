"""What a trajectory itself says about the sign of its forces and about its velocities, whatever its file says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FEWEST = 3  # pairs of frames below which nothing is concluded


@dataclass(frozen=True)
class Agreement:
    """Sums over pairs of numbers that should be equal; sums of several trajectories add up."""

    count: int = 0
    product: float = 0.0
    found: float = 0.0  # sum of squares
    expected: float = 0.0  # sum of squares

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.count + other.count,
            self.product + other.product,
            self.found + other.found,
            self.expected + other.expected,
        )

    @property
    def known(self) -> bool:
        """Whether there is enough to conclude from."""
        return self.count >= _FEWEST and self.found > 0 and self.expected > 0 and np.isfinite(self.product)

    @property
    def slope(self) -> float:
        """The numbers found are this times the expected ones."""
        return self.product / self.expected if self.known else float("nan")

    @property
    def correlation(self) -> float:
        """Correlation of the two (about zero)."""
        return self.product / float(np.sqrt(self.found * self.expected)) if self.known else float("nan")

    @property
    def sign(self) -> int:
        """1 equal, -1 opposite, 0 neither of them clearly."""
        clear = self.known and abs(self.correlation) > 0.9 and 0.7 < abs(self.slope) < 1.4
        return int(np.sign(self.slope)) if clear else 0


def energy_against_forces(positions: np.ndarray, energy: np.ndarray, forces: np.ndarray) -> Agreement:
    """dE of each state between neighbouring frames against -F.dx, ``[F,N,3]``, ``[F,S]``, ``[F,N,S,3]``.

    Pairs of frames where a state has no forces (NaN) are left out.
    """
    moved = np.diff(positions, axis=0)
    expected = -np.einsum("fasx,fax->fs", (forces[1:] + forces[:-1]) / 2, moved)
    return _agreement(np.diff(energy, axis=0), expected)


def velocities_against_positions(positions: np.ndarray, velocities: np.ndarray, time: np.ndarray) -> Agreement:
    """Velocities against central differences of the positions, ``[F,N,3]``; ``time`` in fs."""
    if len(time) < 3 or not (np.diff(time) > 0).all():
        return Agreement()
    differences = (positions[2:] - positions[:-2]) / (time[2:] - time[:-2])[:, None, None]
    return _agreement(velocities[1:-1], differences)


def _agreement(found: np.ndarray, expected: np.ndarray) -> Agreement:
    use = np.isfinite(found) & np.isfinite(expected)
    a, b = found[use], expected[use]
    with np.errstate(over="ignore"):  # damaged numbers
        return Agreement(int(use.sum()), float((a * b).sum()), float((a * a).sum()), float((b * b).sum()))
