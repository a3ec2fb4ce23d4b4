"""Potentials that know which atoms are bonded, and not where they are: they have energies, and say that they have no forces."""

from __future__ import annotations

from collections.abc import Iterable

from ase.calculators.calculator import PropertyNotImplementedError

from mlff.potential.potential import Potential

DERIVATIVES = ("forces", "stress")


class NoForces(PropertyNotImplementedError):
    """Forces, stress or what follows from them of a topological potential."""


def implemented(properties: Iterable[str], potential: Potential) -> list[str]:
    """Those of the properties that the potential has."""
    return [name for name in properties if not (potential.config.model.topological and name in DERIVATIVES)]


def check_forces(potential: Potential, name: str = "this potential", properties: Iterable[str] = DERIVATIVES) -> None:
    """Raise NoForces where the potential is topological and forces or stress are among the properties."""
    model = potential.config.model
    if model.topological and not set(properties).isdisjoint(DERIVATIVES):
        raise NoForces(f"{name} has no forces: its model, {model.model_dump()['name']}, knows which atoms are bonded and not "
                       f"where they are, so that its energy is the same for all conformers; dynamics, optimisations and "
                       f"vibrations need a model of geometries, such as painn")
