"""Untrained potentials of four states, S0 S1 S2 T1 with S1 of odd parity, over every registered model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mlff.models import MODELS, model_config
from mlff.potential.potential import Potential

CUTOFF = 4.0
STATES: dict[str, Any] = {
    "num_states": 4, "multiplicities": (1, 1, 1, 3), "parities": (1, -1, 1, 1), "total_charge": 1.0,
    "dipole_pairs": ((0, 0), (0, 1), (0, 2), (1, 1)), "soc_pairs": ((0, 3), (1, 3)),
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "interstate": {"couplings": "interstate"}, "direct": {"couplings": "direct"}, "diabatic": {"surfaces": "diabatic"},
}  # fmt: skip


def electronic_potential(model: str = "painn", dtype: torch.dtype = torch.float64, **options: Any) -> Potential:
    """In evaluation mode, with weights that are large enough for every term to count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        potential = Potential.build(
            model_config(model, num_features=16, cutoff=CUTOFF), species=(1, 6, 7, 8), **(STATES | options)
        )
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return potential.to(dtype).eval()


@pytest.fixture(scope="session")
def make_potential() -> Callable[..., Potential]:
    return electronic_potential


SYMMETRIC = [name for name in MODELS if name != "gnn"]
"""Models whose features turn with the structure, so that what heads make of them does."""
CASES = ["painn-direct", *(f"{model}-{kind}" for model in SYMMETRIC for kind in ("interstate", "diabatic"))]


@pytest.fixture(scope="module", params=CASES)
def potential(request: pytest.FixtureRequest) -> Potential:
    """Every registered model with couplings of its own and with a diabatic matrix."""
    model, _, kind = request.param.rpartition("-")
    return electronic_potential(model, **KINDS[kind])
