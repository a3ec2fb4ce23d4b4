"""Small untrained potentials: what a calculator promises does not depend on training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mlff.models import model_config
from mlff.potential.potential import Potential

ATOMIC_ENERGIES = {1: -13.6, 6: -1030.0, 7: -1480.0, 8: -2040.0}


def small_potential(model: str = "painn", **options) -> Potential:
    """A potential for H, C, N, O with a few thousand weights."""
    settings = {"num_features": 16, "num_layers": 2, "cutoff": 4.0} | options.pop("model_options", {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Potential.build(
            model_config(model, **settings), species=(1, 6, 7, 8), atomic_energies=ATOMIC_ENERGIES, **options
        )


@pytest.fixture(scope="session")
def make_potential() -> Callable[..., Potential]:
    return small_potential


@pytest.fixture(scope="session")
def potential() -> Potential:
    """PaiNN with two states."""
    return small_potential(num_states=2)
