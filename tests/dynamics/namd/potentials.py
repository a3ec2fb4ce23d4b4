"""Potentials for tests: one that turns signs, one that fails, one of crossing lines, and a molecule's swarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlff.dynamics.namd import Surfaces
from mlff.dynamics.namd.analytic import DiabaticPotential, LinearVibronicCoupling


class TurnedSigns:
    """Another potential whose states have random signs at every call."""

    def __init__(self, potential, seed, *, eigenvectors=True):
        self.potential, self.eigenvectors = potential, eigenvectors
        self.rng = np.random.default_rng(seed)
        for name in ("num_states", "multiplicities", "masses", "atomic_numbers"):
            setattr(self, name, getattr(potential, name))

    def surfaces(self, positions, states, *, couplings):
        found = self.potential.surfaces(positions, states, couplings=couplings)
        signs = self.rng.choice([-1.0, 1.0], size=found.energies.shape)
        first, second = np.triu_indices(self.num_states, 1)
        pairs = signs[:, first] * signs[:, second]
        return replace(
            found,
            nac=None if found.nac is None else found.nac * pairs[:, None, :, None],
            eigenvectors=found.eigenvectors * signs[:, None] if self.eigenvectors else None,
        )


class Failing:
    """Another potential that gives NaN, or an energy too high, where an atom is beyond x."""

    def __init__(self, potential, x, *, extra=np.nan):
        self.potential, self.x, self.extra = potential, x, extra
        for name in ("num_states", "multiplicities", "masses", "atomic_numbers"):
            setattr(self, name, getattr(potential, name))

    def surfaces(self, positions, states, *, couplings):
        found = self.potential.surfaces(positions, states, couplings=couplings)
        beyond = (positions[:, :, 0] > self.x).any(axis=1)
        return replace(found, energies=found.energies + np.where(beyond, self.extra, 0.0)[:, None])


class CrossingLines(DiabaticPotential):
    """Diabatic states of one atom in x: E = slopes x, coupled by constants."""

    def __init__(self, slopes, coupling, mass=10.0):
        self.slopes, self.coupling = np.asarray(slopes, dtype=float), coupling
        super().__init__(np.array([mass]), np.array([6]), np.zeros((1, 3)), np.eye(3)[:1, None], len(slopes))

    def matrix(self, q):
        count = len(self.slopes)
        off = self.coupling * (1 - np.eye(count))
        return q[:, :, None] * np.diag(self.slopes) + off

    def gradient(self, q):
        return np.broadcast_to(np.diag(self.slopes), (len(q), 1, len(self.slopes), len(self.slopes)))


class SpinCrossing:
    """A singlet and a triplet of one atom in x whose energies are +-slope x, with a constant spin-orbit magnitude."""

    num_states, multiplicities = 2, (1, 3)

    def __init__(self, slope, spin_orbit, mass=10.0):
        self.slope, self.spin_orbit = slope, spin_orbit
        self.masses, self.atomic_numbers = np.array([mass]), np.array([6])

    def surfaces(self, positions, states, *, couplings):
        signs = np.array([1.0, -1.0])
        forces = np.zeros(positions.shape)
        forces[:, 0, 0] = -self.slope * signs[states]
        nac = np.zeros((len(positions), 1, 1, 3)) if couplings else None
        soc = np.full((len(positions), 1), self.spin_orbit)
        return Surfaces(self.slope * positions[:, :, 0] * signs, forces, nac=nac, soc_magnitude=soc, continuous_phases=True)


def three_states(seed=4):
    """A linear vibronic coupling model of three states and six modes on three atoms, random but fixed."""
    rng = np.random.default_rng(seed)
    modes = np.linalg.qr(rng.normal(size=(9, 9)))[0][:6].reshape(6, 3, 3)
    linear = 0.15 * rng.normal(size=(6, 3, 3))
    return LinearVibronicCoupling(
        np.array([12.0, 14.0, 1.0]), np.array([6, 7, 1]), rng.normal(size=(3, 3)), modes,
        rng.uniform(0.06, 0.2, size=6), np.array([0.0, 0.4, 0.7]), linear + linear.swapaxes(1, 2),
    )  # fmt: skip


def zero_point(potential, count, seed=0):
    """Positions and velocities of the vibrational ground state of a vibronic coupling model."""
    rng = np.random.default_rng(seed)
    q, p = rng.normal(size=(2, count, len(potential.frequencies))) * np.sqrt(0.5)
    return potential.positions(q), potential.velocities(p)
