"""A two-level system on a chain of anharmonic oscillators, whose equilibrium is known: for detailed balance."""

from __future__ import annotations

import numpy as np

from ....units import KJ_PER_MOL
from ..surfaces import Surfaces


class TwoLevelChain:
    """The model of Parandekar and Tully (J. Chem. Phys. 122, 094102, 2005; surface hopping: Schmidt et al., 129, 044104, 2008).

    N atoms on the x axis, neighbours (and the first and a wall) bound by ``V0 (a^2 r^2 - a^3 r^3 + 0.58 a^4 r^4)`` of the
    stretch r. Two states, a constant gap apart, are coupled by a constant vector on the first atom. Forces are the same in
    both states, so that the populations at temperature T are those of Boltzmann for the gap. A thermostat is the caller's.

    Args:
        num_atoms: N.
        gap: eV.
        coupling: <0|d/dx|1> on the first atom, 1/angstrom.
    """

    def __init__(self, num_atoms: int = 20, gap: float = 8 * KJ_PER_MOL, coupling: float = -6.0) -> None:
        if num_atoms < 1:
            raise ValueError(f"`num_atoms` is {num_atoms}; a chain has at least one atom")
        self.num_states, self.multiplicities = 2, (1, 1)
        self.masses, self.atomic_numbers = np.full(num_atoms, 12.0), np.full(num_atoms, 6)
        self.gap, self.coupling = float(gap), float(coupling)
        self._depth, self._inverse_length = 175 * KJ_PER_MOL, 4.0

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """See ``MultiStatePotential.surfaces``; positions are displacements from the minimum."""
        x = positions[:, :, 0]
        scaled = self._inverse_length * np.diff(x, axis=1, prepend=0.0)
        ground = self._depth * (scaled**2 - scaled**3 + 0.58 * scaled**4).sum(axis=1)
        slope = self._depth * self._inverse_length * (2 * scaled - 3 * scaled**2 + 2.32 * scaled**3)
        forces = np.zeros(positions.shape)
        forces[:, :, 0] = -slope
        forces[:, :-1, 0] += slope[:, 1:]
        nac = None
        if couplings:
            nac = np.zeros((len(x), x.shape[1], 1, 3))
            nac[:, 0, 0, 0] = self.coupling
        return Surfaces(ground[:, None] + np.array([0.0, self.gap]), forces, nac=nac, continuous_phases=True)
