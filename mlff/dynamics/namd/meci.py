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
from numpy.typing import NDArray

from mlff.units import HARTREE

if TYPE_CHECKING:
    from .surfaces import MultiStatePotential

Floats = NDArray[np.float64]
Algorithm = Literal["penalty", "projection"]

SMOOTHING = 0.02 * HARTREE
"""eV: alpha of the penalty, within which it is quadratic in the gap (Levine, Coe and Martinez 2008)."""
FIRST_PENALTY, LAST_PENALTY = 3.5, 3.5e6
"""sigma of the penalty, which grows tenfold while the gap stays too large."""
LONGEST_STEP = 0.1
"""angstrom, of an atom in one step."""


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
    lower, upper = _checked(potential, states, algorithm, fmax, gap, steps)
    surface = _PseudoSurface(potential, (lower, upper), algorithm)
    atoms = Atoms(numbers=np.asarray(potential.atomic_numbers), positions=positions)
    atoms.calc = surface
    done = 0

    def meets() -> bool:
        return surface.gap <= gap and surface.seam_force <= fmax

    num_sigmas = 1 + round(math.log10(LAST_PENALTY / FIRST_PENALTY)) if algorithm == "penalty" else 1
    for k in range(num_sigmas):
        surface.sigma = FIRST_PENALTY * 10**k
        surface.reset()
        optimizer = BFGS(atoms, logfile=None, maxstep=LONGEST_STEP)
        for _ in optimizer.irun(fmax=1e-3 * fmax, steps=steps - done):
            if callback is not None:
                callback(done + optimizer.nsteps, surface.mean, surface.gap, surface.seam_force)
            # At the minimum of the penalty, and the states still apart: a larger sigma brings them nearer.
            if meets() or (algorithm == "penalty" and surface.gap > gap and surface.largest_force <= fmax):
                break
        done += optimizer.nsteps
        if meets() or done >= steps:
            break
    return Crossing(
        atoms.positions.copy(), surface.energies, (lower, upper), meets(), surface.gap, surface.seam_force, done, algorithm
    )


class _PseudoSurface(Calculator):
    """The function whose forces lead to the crossing, as a calculator of ASE."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, potential: MultiStatePotential, states: tuple[int, int], algorithm: Algorithm) -> None:
        super().__init__()
        self.potential, self.states, self.algorithm = potential, states, algorithm
        self.sigma = FIRST_PENALTY
        self.gap = self.mean = self.seam_force = self.largest_force = math.inf
        self.energies: Floats = np.zeros(potential.num_states)

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        both = np.repeat(self.atoms.positions[None], 2, axis=0)
        projecting = self.algorithm == "projection"
        found = self.potential.surfaces(both, np.array(self.states), couplings=projecting)
        if not (np.isfinite(found.energies).all() and np.isfinite(found.forces).all()):
            raise ValueError("the energies or forces of the two states are not finite where the search has led; start it from "
                             "another structure")
        self.energies = np.array(found.energies[0])
        lower, upper = self.energies[list(self.states)]
        lower_force, upper_force = np.asarray(found.forces, dtype=np.float64)
        apart = lower_force - upper_force  # gradient of the gap
        sign = 1.0 if upper >= lower else -1.0
        self.gap, self.mean = float(abs(upper - lower)), float(0.5 * (upper + lower))
        mean_force = 0.5 * (lower_force + upper_force)
        coupling = self._coupling(found.nac) if projecting else None
        seam = _outside(mean_force, apart, coupling)
        self.seam_force = _largest(seam)
        if projecting:
            length = float(np.linalg.norm(apart))
            force = seam - (2 * (upper - lower) / length * apart if length > 0 else 0.0)
            energy = self.mean
        else:
            energy = self.mean + self.sigma * self.gap**2 / (self.gap + SMOOTHING)
            slope = (self.gap**2 + 2 * SMOOTHING * self.gap) / (self.gap + SMOOTHING) ** 2
            force = mean_force - self.sigma * slope * sign * apart
        self.largest_force = _largest(force)
        self.results = {"energy": float(energy), "forces": force}

    def _coupling(self, nac: np.ndarray | None) -> Floats | None:
        """Direction of the coupling of the two states, ``[N, 3]``; None between multiplicities."""
        lower, upper = self.states
        if self.potential.multiplicities[lower] != self.potential.multiplicities[upper]:
            return None
        if nac is None:
            raise ValueError("the potential has no couplings, which the algorithm 'projection' needs; use 'penalty'")
        first, second = np.triu_indices(self.potential.num_states, 1)
        pair = int(np.flatnonzero((first == lower) & (second == upper))[0])
        vector = np.asarray(nac[0, :, pair], dtype=np.float64)
        largest = float(np.abs(vector).max())
        return vector / largest if math.isfinite(largest) and largest > 0 else None


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
