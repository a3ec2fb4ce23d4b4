"""An ethanol molecule and a small untrained potential with a float64 calculator."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mlff.calculators import MLFFCalculator
from mlff.models import model_config
from mlff.potential.potential import Potential


@pytest.fixture(scope="session")
def potential() -> Potential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = model_config("painn", num_features=8, num_layers=1, cutoff=4.0)
        return Potential.build(model, species=(1, 6, 8), scale=0.3)


@pytest.fixture
def ethanol(potential) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.calc = MLFFCalculator(potential, dtype="float64")
    return atoms
