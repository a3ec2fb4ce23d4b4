"""Every variant of every model, one after another."""

from __future__ import annotations

import pytest

from mlff.potential.potential import Potential

from .variants import VARIANTS, make_potential


@pytest.fixture(params=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def potential(variant: str) -> Potential:
    """Float64, in evaluation mode."""
    return make_potential(variant)
