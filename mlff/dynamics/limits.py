"""Where simulations end before their time: the bounds on the temperature and on the disagreement of a committee."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray


@dataclass(frozen=True)
class Limits:
    """What molecular dynamics must not pass.

    Raises:
        ValueError: a limit that is none.
    """

    max_temperature: float | None = None
    """K, above which the simulation counts as exploded; None: 20 times the temperature of the start, at least 5000 K."""
    max_disagreement: float | None = None
    """eV/angstrom: a simulation stops where the force that a committee is least sure of deviates by more; None: none does."""

    def __post_init__(self) -> None:
        if self.max_temperature is not None and not self.max_temperature > 0:
            raise ValueError(f"`max_temperature` is {self.max_temperature} K; give a positive temperature or None")
        if self.max_disagreement is not None and not (math.isfinite(self.max_disagreement) and self.max_disagreement > 0):
            raise ValueError(f"`max_disagreement` is {self.max_disagreement!r}; give a positive number in eV/angstrom, or None "
                             f"for no limit")

    def check(self, calculator: Calculator) -> None:
        """Raise ValueError where a calculator does not give what the limits are on."""
        check_disagreement_known(self.max_disagreement, "forces_uncertainty" in calculator.implemented_properties)


def check_disagreement_known(max_disagreement: float | None, known: bool) -> None:
    """Raise ValueError where there is a bound on the disagreement and none that disagree."""
    if max_disagreement is not None and not known:
        raise ValueError("`max_disagreement` is for committees, and one model cannot disagree with itself; give the folder of "
                         "a committee (`mlff train --committee 4`), or leave the bound out")


def largest_deviation(deviations: np.ndarray) -> NDArray[np.float64]:
    """Largest standard deviation of the force vector of an atom, eV/angstrom ``[...]``, of the components' ``[..., N, 3]``."""
    return np.asarray(np.linalg.norm(deviations, axis=-1).max(axis=-1))


def disagreement_sentence(max_disagreement: float) -> str:
    """Why a simulation stopped."""
    return f"the committee's forces deviate by more than {max_disagreement} eV/angstrom"
