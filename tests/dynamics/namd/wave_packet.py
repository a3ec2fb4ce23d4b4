"""Exact scattering of a wave packet on two coupled states in one dimension: a split-operator propagation on a grid."""

from __future__ import annotations

import numpy as np

from mlff.dynamics.namd.analytic import TullyModel
from mlff.units import HARTREE

MASS = 2000.0  # electron masses


def scattered(
    model: TullyModel, momentum: float, *, start: float = -10.0, reach: float = 45.0, points: int = 2048
) -> dict[str, float]:
    """Probabilities of transmission and reflection in each adiabatic state, of a packet of width 20 / k from the left.

    Atomic units; the packet starts in the lower state, and the grid is long enough that nothing returns.
    """
    x, spacing = np.linspace(-reach, reach, points, endpoint=False, retstep=True)
    potential = model.matrix(x[:, None]) / HARTREE
    energies, vectors = np.linalg.eigh(potential)
    vectors *= np.sign(vectors[:, :1])  # one sign along the grid, for the start alone
    width = 20 / momentum
    packet = np.exp(-(((x - start) / width) ** 2) + 1j * momentum * x)
    wave = packet[:, None] * vectors[:, :, 0]
    wave /= np.sqrt((np.abs(wave) ** 2).sum() * spacing)
    timestep = 5.0
    turn = (vectors * np.exp(-0.5j * timestep * energies)[:, None]) @ vectors.swapaxes(1, 2)
    wavenumbers = 2 * np.pi * np.fft.fftfreq(points, spacing)
    drift = np.exp(-0.5j * timestep * wavenumbers**2 / MASS)[:, None]
    for _ in range(int((12 - start) * MASS / momentum / timestep)):
        wave = (turn @ wave[..., None])[..., 0]
        wave = np.fft.ifft(drift * np.fft.fft(wave, axis=0), axis=0)
        wave = (turn @ wave[..., None])[..., 0]
    density = np.abs(np.einsum("xds,xd->xs", vectors, wave)) ** 2 * spacing
    right, left = density[x > 0].sum(axis=0), density[x < 0].sum(axis=0)
    return {"T0": right[0], "T1": right[1], "R0": left[0], "R1": left[1]}
