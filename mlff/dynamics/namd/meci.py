"""Minimum-energy crossings of two electronic states: conical intersections, or crossings of different multiplicity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from scipy.optimize import minimize

from mlff.units import HARTREE

from .surfaces import state_pairs

if TYPE_CHECKING:
    from .surfaces import MultiStatePotential

Floats = np.ndarray
Algorithm = Literal["penalty", "projection"]

SMOOTHING = 0.02 * HARTREE
"""eV: alpha of the penalty, within which it is quadratic in the gap (Levine, Coe and Martinez 2008)."""
FIRST_PENALTY, LAST_PENALTY = 3.5, 3.5e6
"""sigma of the penalty, which grows tenfold while the gap stays too large."""
STIFFNESS = 70.0
"""eV/angstrom^2, of the Hessian that both searches begin with."""
LONGEST_STEP = 0.1
"""angstrom, of an atom in one step of the projection."""


@dataclass(frozen=True)
class Crossing:
    """What a search for a crossing led to."""

    positions: Floats
    """angstrom ``[N, 3]``"""
    energies: Floats
    """of all states, eV ``[S]``"""
    states: tuple[int, int]
    converged: bool
    """Whether the gap and the force along the seam are both below what was asked for."""
    gap: float
    """eV"""
    seam_force: float
    """eV/angstrom: largest force of the mean energy on an atom, outside of the branching space."""
    num_steps: int
    algorithm: Algorithm


def find_crossing(
    potential: MultiStatePotential,
    positions: Floats,
    states: tuple[int, int] = (0, 1),
    *,
    algorithm: Algorithm = "penalty",
    fmax: float = 0.01,
    gap: float = 0.002,
    steps: int = 500,
    callback: Callable[[int, float, float, float], None] | None = None,
) -> Crossing:
    """The point of least energy where two states meet, found from the given positions.

    ``"penalty"`` minimises (E_i + E_j) / 2 + sigma dE^2 / (dE + alpha) with growing sigma (Levine, Coe and Martinez, J. Phys.
    Chem. B 112, 405, 2008). It needs energies and forces alone. ``"projection"`` follows 2 dE x / |x| + P grad E_j, where x
    is the gradient of the gap dE and P takes out x and the coupling (Bearpark, Robb and Schlegel, Chem. Phys. Lett. 223,
    269, 1994). It needs couplings; states of different multiplicity have none, and P takes out x alone. Steps are those
    of BFGS.

    Args:
        potential: any multi-state potential.
        positions: to start from, angstrom ``[N, 3]``.
        states: the two, counted from 0.
        algorithm: one of the two above.
        fmax: converged when no atom feels a larger force of the mean energy along the seam, eV/angstrom.
        gap: converged when the energies are no further apart than this, eV.
        steps: at most, over all values of sigma.
        callback: called after every step with its number, the mean energy (eV), the gap (eV) and the seam's force.

    Raises:
        ValueError: states that the potential has not, an unknown algorithm, values out of range, missing couplings.
    """
    pair = _checked(potential, states, algorithm, fmax, gap, steps)
    search = _Search(potential, pair, algorithm, fmax, gap, steps, callback)
    start = np.array(positions, dtype=np.float64)
    (search.minimise_penalty if algorithm == "penalty" else search.follow_projection)(start)
    point = search.point
    assert point is not None
    converged = search.meets(point)
    return Crossing(point.positions, point.energies, pair, converged, point.gap, point.seam_force, search.done, algorithm)


@dataclass(frozen=True)
class _Point:
    """Both states at one geometry."""

    positions: Floats
    energies: Floats
    difference: float
    """Energy of the second less that of the first state, eV."""
    apart: Floats
    """Gradient of the difference, eV/angstrom ``[N, 3]``."""
    mean: float
    mean_force: Floats
    seam: Floats
    """The mean force outside of the branching space."""

    @property
    def gap(self) -> float:
        return abs(self.difference)

    @property
    def seam_force(self) -> float:
        return _largest(self.seam)


class _Search:
    """One search: the point that it is at, and how many steps it made."""

    def __init__(
        self, potential: MultiStatePotential, pair: tuple[int, int], algorithm: Algorithm, fmax: float, gap: float,
        steps: int, callback: Callable[[int, float, float, float], None] | None,
    ) -> None:  # fmt: skip
        self.potential, self.pair, self.fmax, self.gap, self.steps, self.callback = potential, pair, fmax, gap, steps, callback
        self.with_couplings = algorithm == "projection"
        self.point: _Point | None = None
        self.done = 0

    def meets(self, point: _Point) -> bool:
        """Whether this is the crossing."""
        return point.gap <= self.gap and point.seam_force <= self.fmax

    def at(self, positions: Floats) -> _Point:
        """Both states there."""
        if self.point is not None and np.array_equal(self.point.positions, positions):
            return self.point
        found = self.potential.surfaces(np.stack([positions, positions]), np.array(self.pair), couplings=self.with_couplings)
        if not (np.isfinite(found.energies).all() and np.isfinite(found.forces).all()):
            raise ValueError("the energies or forces of the two states are not finite where the search has led; start it from "
                             "another structure")
        energies = np.array(found.energies[0])
        first, second = energies[list(self.pair)]
        first_force, second_force = np.asarray(found.forces, dtype=np.float64)
        apart, mean_force = first_force - second_force, 0.5 * (first_force + second_force)
        seam = _outside(mean_force, apart, self._coupling(found.nac) if self.with_couplings else None)
        self.point = _Point(positions.copy(), energies, float(second - first), apart, float(0.5 * (first + second)), mean_force,
                            seam)  # fmt: skip
        return self.point

    def minimise_penalty(self, positions: Floats) -> None:
        """BFGS with a line search for each sigma, from the Hessian of stiff bonds and of the penalty itself."""
        for k in range(1 + round(math.log10(LAST_PENALTY / FIRST_PENALTY))):
            sigma = FIRST_PENALTY * 10**k
            start = self.at(positions)
            stiffness = sigma * 2 * SMOOTHING**2 / (start.gap + SMOOTHING) ** 3
            along = start.apart.reshape(-1, 1)
            root = np.linalg.cholesky(STIFFNESS * np.eye(positions.size) + stiffness * along @ along.T)

            def penalty(
                y: Floats, root: Floats = root, sigma: float = sigma, shape: tuple[int, ...] = positions.shape
            ) -> tuple[float, Floats]:
                value, gradient = _penalty(self.at(np.linalg.solve(root.T, y).reshape(shape)), sigma)
                return value, np.linalg.solve(root, gradient.ravel())

            def after_step(
                y: Floats, root: Floats = root, sigma: float = sigma, shape: tuple[int, ...] = positions.shape
            ) -> None:
                point = self.at(np.linalg.solve(root.T, y).reshape(shape))
                self.done += 1
                self._tell(point)
                # At the minimum of the penalty, and the states still apart: a larger sigma brings them nearer.
                if self.meets(point) or (point.gap > self.gap and _largest(_penalty(point, sigma)[1]) <= self.fmax):
                    raise StopIteration

            minimize(penalty, root.T @ positions.ravel(), jac=True, method="BFGS", callback=after_step,
                     options={"maxiter": self.steps - self.done, "gtol": 0.0})  # fmt: skip
            assert self.point is not None
            positions = self.point.positions
            if self.meets(self.point) or self.done >= self.steps:
                return

    def follow_projection(self, positions: Floats) -> None:
        """ASE's BFGS, which needs forces alone: these are those of no energy."""
        atoms = Atoms(numbers=np.asarray(self.potential.atomic_numbers), positions=positions)
        atoms.calc = _Projected(self)
        optimizer = BFGS(atoms, logfile=None, maxstep=LONGEST_STEP)
        for _ in optimizer.irun(fmax=1e-3 * self.fmax, steps=self.steps):
            self.done = optimizer.nsteps
            point = self.at(atoms.get_positions())
            self._tell(point)
            if self.meets(point):
                return

    def _tell(self, point: _Point) -> None:
        if self.callback is not None:
            self.callback(self.done, point.mean, point.gap, point.seam_force)

    def _coupling(self, nac: np.ndarray | None) -> Floats | None:
        """Direction of the coupling of the two states, ``[N, 3]``; None between multiplicities."""
        lower, upper = self.pair
        if self.potential.multiplicities[lower] != self.potential.multiplicities[upper]:
            return None
        if nac is None:
            raise ValueError("the potential has no couplings, which the algorithm 'projection' needs; use 'penalty'")
        vector = np.asarray(nac[0, :, state_pairs(self.potential.num_states).index(self.pair)], dtype=np.float64)
        largest = float(np.abs(vector).max())
        return vector / largest if math.isfinite(largest) and largest > 0 else None


class _Projected(Calculator):
    """-2 dE x / |x| and the force along the seam, as a calculator of ASE."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, search: _Search) -> None:
        super().__init__()
        self.search = search

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        point = self.search.at(self.atoms.get_positions())
        length = float(np.linalg.norm(point.apart))
        closing = 2 * point.difference / length * point.apart if length > 0 else 0.0
        self.results = {"energy": point.mean, "forces": point.seam - closing}


def _penalty(point: _Point, sigma: float) -> tuple[float, Floats]:
    """The function of the penalty algorithm, eV, and its gradient, eV/angstrom ``[N, 3]``."""
    gap, wide = point.gap, point.gap + SMOOTHING
    slope = math.copysign((gap**2 + 2 * SMOOTHING * gap) / wide**2, point.difference)
    return point.mean + sigma * gap**2 / wide, -point.mean_force + sigma * slope * point.apart


def _outside(force: Floats, *directions: Floats | None) -> Floats:
    """The force without its parts along the directions."""
    basis = [each.ravel() for each in directions if each is not None and np.abs(each).max() > 0]
    if not basis:
        return force
    left, sizes, _ = np.linalg.svd(np.stack([each / np.linalg.norm(each) for each in basis], axis=1), full_matrices=False)
    kept = left[:, sizes > 1e-8]
    return force - (kept @ (kept.T @ force.ravel())).reshape(force.shape)


def _largest(force: Floats) -> float:
    return float(np.linalg.norm(force, axis=1).max(initial=0.0))


def _checked(
    potential: MultiStatePotential, states: tuple[int, int], algorithm: str, fmax: float, gap: float, steps: int
) -> tuple[int, int]:
    if algorithm not in get_args(Algorithm):
        raise ValueError(f"`algorithm` is {algorithm!r}; choose one of {', '.join(get_args(Algorithm))}")
    lower, upper = sorted(states)
    if not 0 <= lower < upper < potential.num_states:
        raise ValueError(f"a crossing needs two different states; got {states[0]} and {states[1]}, and the potential has the "
                         f"states 0 to {potential.num_states - 1}")
    for name, value in (("fmax", fmax), ("gap", gap)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"`{name}` is {value}; give a positive number")
    if isinstance(steps, bool) or steps < 1:
        raise ValueError(f"`steps` is {steps}; give a whole number, 1 or more")
    return lower, upper
