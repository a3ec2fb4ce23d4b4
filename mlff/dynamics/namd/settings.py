"""What a surface hopping simulation is set to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...units import HARTREE

Method = Literal["fssh", "lz", "adiabatic"]
Couplings = Literal["model", "overlap", "curvature"]
Rescale = Literal["coupling", "momentum"]
Frustrated = Literal["keep", "reverse", "gradient"]


@dataclass(frozen=True)
class HoppingSettings:
    """Settings of surface hopping; equations and sources are in docs/dynamics.md.

    Raises:
        ValueError: a setting out of its range, or settings that contradict each other.
    """

    timestep: float = 0.5
    """fs."""
    method: Method = "fssh"
    """``fssh``: fewest switches (Tully 1990); ``lz``: Landau-Zener at the minima of gaps (Belyaev and Lebedev 2011);
    ``adiabatic``: no hops."""
    couplings: Couplings = "model"
    """What moves amplitude between the states under ``fssh``: ``model``: the potential's couplings times velocities;
    ``overlap``: overlaps of the states of successive steps, from the potential's eigenvectors; ``curvature``: estimated
    from the gaps' second derivative in time, which needs energies alone."""
    substeps: int = 20
    """Electronic steps in one nuclear step."""
    decoherence: float | None = 0.1 * HARTREE
    """The energy C of the energy-based decoherence correction, eV; None: no correction."""
    rescale: Rescale = "coupling"
    """The direction in which a hop changes the velocities: the pair's coupling vector (the momentum where the potential
    has none), or the momentum."""
    frustrated: Frustrated = "keep"
    """What a hop without enough energy does to the velocity along that direction: ``keep``; ``reverse`` it; or reverse
    it where the target state's force opposes it (``gradient``, Jasper and Truhlar 2003)."""
    spin_hops: bool = True
    """Whether spin-orbit magnitudes, where the potential has them, lead to hops between multiplicities."""
    max_energy_jump: float | None = 0.5
    """A trajectory whose total energy changes by more in one step stops, eV; None: none does."""
    max_disagreement: float | None = None
    """A trajectory stops where the force that a committee is least sure of deviates by more, eV/angstrom (see
    ``Surfaces.disagreement``); None: none does."""
    seed: int = 0
    """Of the random numbers that decide hops."""

    def __post_init__(self) -> None:
        _positive("timestep", self.timestep, "fs")
        for name, choices in (("method", Method), ("couplings", Couplings), ("rescale", Rescale), ("frustrated", Frustrated)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; choose one of {', '.join(get_args(choices))}")
        _whole("substeps", self.substeps, 1)
        _whole("seed", self.seed, 0)
        if self.decoherence is not None:
            _positive("decoherence", self.decoherence, "eV, or None for no correction")
        if self.max_energy_jump is not None:
            _positive("max_energy_jump", self.max_energy_jump, "eV, or None for no limit")
        if self.max_disagreement is not None:
            _positive("max_disagreement", self.max_disagreement, "eV/angstrom, or None for no limit")

    @property
    def needs_nac(self) -> bool:
        """Whether the potential is asked for its coupling vectors at every step, not only where a hop needs them."""
        return self.method == "fssh" and self.couplings == "model"


def _positive(name: str, value: Any, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` is {value!r}; give a positive number in {unit}")


def _whole(name: str, value: Any, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"`{name}` is {value!r}; give a whole number, {lowest} or more")
