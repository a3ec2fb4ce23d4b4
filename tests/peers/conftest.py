"""Structures and dtypes that every comparison runs over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlff.datasets import azobenzene

from .structures import SPECIES, Structure


@pytest.fixture(scope="session")
def frames() -> list[Structure]:
    """Three frames of an azobenzene trajectory, rattled, and a lone atom."""
    data, generator = azobenzene(), np.random.default_rng(0)
    frames = [data[int(i)] for i in np.linspace(0, len(data) - 1, 3)]
    structures = [
        Structure(frame.atomic_numbers.astype(np.int64), frame.positions + generator.normal(size=(24, 3)) * 0.05)
        for frame in frames
    ]
    return [*structures, Structure(np.array([8]), np.array([[1.0, 2.0, 3.0]]))]


@pytest.fixture(scope="session", params=["cubic", "skewed"])
def crystal(request: pytest.FixtureRequest) -> Structure:
    """64 atoms of four elements, displaced from a lattice, in a periodic box more than twice as wide as the cutoff.

    The skewed box is lower triangular and reduced, the only kind that TorchMD-Net takes.
    """
    generator = np.random.default_rng(1)
    cell = np.diag([10.4, 11.2, 12.8])
    if request.param == "skewed":
        cell[1, 0], cell[2, 0], cell[2, 1] = 3.0, -2.5, 4.0
    lattice = np.stack(np.meshgrid(*[np.arange(4) / 4] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = lattice @ cell + generator.normal(size=(64, 3)) * 0.3
    return Structure(generator.choice(SPECIES, 64), positions, cell)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param
