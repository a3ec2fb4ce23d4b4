"""Positions and velocities drawn from the Wigner, or the classical, distribution of a molecule's harmonic vibrations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlff.dynamics.velocities import LINEAR
from mlff.dynamics.vibrations import HBAR, NormalModes
from mlff.units import BOLTZMANN, INVERSE_CM, KINETIC

Floats = NDArray[np.float64]

SOFTEST = 10.0
"""1/cm. The harmonic width of a softer vibration is many angstroms, so it stays where it is."""


def mode_widths(frequencies: Floats, temperature: float, *, classical: bool = False) -> tuple[Floats, Floats]:
    """Standard deviations of the normal coordinates and of their velocities, each ``[M]``.

    The Wigner function of a harmonic oscillator at temperature T is a Gaussian in both, with
    sigma_Q^2 = hbar / (2 omega) coth(hbar omega / 2kT) and sigma_P = omega sigma_Q (Hillery et al., Phys. Rep. 106, 121,
    1984, section 4); the classical distribution has sigma_Q^2 = kT / omega^2.

    Args:
        frequencies: 1/cm, positive.
        temperature: K; 0 is the vibrational ground state.
        classical: Boltzmann's distribution instead of Wigner's.

    Returns:
        sigma_Q in angstrom sqrt(amu) and sigma_P in angstrom sqrt(amu) / fs.
    """
    quanta = np.asarray(frequencies, dtype=np.float64) * INVERSE_CM  # hbar omega, eV
    if classical:
        mean = np.full_like(quanta, BOLTZMANN * temperature)
    elif temperature > 0:
        mean = 0.5 * quanta / np.tanh(0.5 * quanta / (BOLTZMANN * temperature))
    else:
        mean = 0.5 * quanta
    moving = np.sqrt(mean / KINETIC)  # <P^2> = mean energy of the oscillator: half of it is kinetic
    return moving / (quanta / HBAR), moving


def sample_harmonic(
    modes: NormalModes,
    positions: Floats,
    temperature: float,
    generators: Sequence[np.random.Generator],
    *,
    classical: bool = False,
) -> tuple[Floats, Floats]:
    """Draw T structures and their velocities around a minimum: ``[T, N, 3]`` angstrom and ``[T, N, 3]`` angstrom/fs.

    The centre of mass rests where it is. The angular momentum that the vibrations carry, of second order in the
    displacements, is taken out, so the molecule does not turn; it takes a small part of the kinetic energy with it.
    Vibrations below ``SOFTEST`` stay where they are (``num_soft`` says how many).

    Args:
        modes: of the minimum, from ``mlff.dynamics.vibrations.normal_modes``.
        positions: of the minimum, angstrom ``[N, 3]``.
        temperature: K.
        generators: one for each structure, so that each is the same whatever the others are.
        classical: Boltzmann's distribution of the vibrations instead of Wigner's.

    Raises:
        ValueError: an imaginary frequency, a temperature that is negative (or 0, classically).
    """
    if not (math.isfinite(temperature) and temperature >= 0) or (classical and temperature == 0):
        wanted = "a positive temperature" if classical else "0 K or more"
        raise ValueError(f"the temperature is {temperature} K; give {wanted}")
    if modes.num_imaginary:
        softest = ", ".join(f"{-value:.0f}i" for value in modes.frequencies[: modes.num_imaginary])
        raise ValueError(f"the structure is no minimum: {modes.num_imaginary} of its {len(modes.frequencies)} frequencies are "
                         f"imaginary ({softest} 1/cm); move it along them and relax it again, with a smaller --fmax")
    held = modes.frequencies >= SOFTEST
    coordinate, moving = mode_widths(modes.frequencies[held], temperature, classical=classical)
    drawn = np.stack([each.standard_normal((2, len(coordinate))) for each in generators])
    directions = (modes.modes[held] / np.sqrt(modes.masses)[:, None]).reshape(len(coordinate), -1)
    shape = (len(drawn), *positions.shape)
    displaced = positions + (drawn[:, 0] * coordinate @ directions).reshape(shape)
    velocities = (drawn[:, 1] * moving @ directions).reshape(shape)
    return displaced, without_rotation(displaced, velocities, modes.masses)


def num_soft(modes: NormalModes) -> int:
    """Real vibrations that are too soft to be drawn from."""
    return int(((modes.frequencies >= 0) & (modes.frequencies < SOFTEST)).sum())


def without_rotation(positions: Floats, velocities: Floats, masses: Floats) -> Floats:
    """The velocities ``[T, N, 3]`` of T structures, each without drift and angular momentum of its own."""
    total = masses.sum()
    resting = velocities - np.einsum("n,tnx->tx", masses, velocities)[:, None] / total
    arms = positions - np.einsum("n,tnx->tx", masses, positions)[:, None] / total
    squares = np.einsum("n,tni,tnj->tij", masses, arms, arms)
    inertia = np.trace(squares, axis1=1, axis2=2)[:, None, None] * np.eye(3) - squares
    angular = np.einsum("n,tnx->tx", masses, np.cross(arms, resting))
    # The pseudo-inverse: a linear molecule has no moment, and no angular momentum, about its axis.
    turning = np.einsum("tij,tj->ti", np.linalg.pinv(inertia, rcond=LINEAR, hermitian=True), angular)
    return resting - np.cross(turning[:, None], arms)
