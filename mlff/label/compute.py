"""One structure's energy, forces and stress from a calculator, or a sentence that says why there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from mlff.label.calculators import CalculatorSpec


class Labeller:
    """Labels structures one after the other.

    A named calculator is made anew for every structure, so that a result does not depend on what was computed before (an
    SCF starts from the density that it holds); others, which may take long to make, once for each charge and multiplicity.
    These are given as the calculator's own keywords `charge` and `multiplicity` where it has them, else as ASE's initial
    charges and magnetic moments, whose sums are what counts.
    """

    def __init__(self, spec: CalculatorSpec) -> None:
        self.spec = spec
        self._keywords = tuple(key for key in ("charge", "multiplicity") if not spec.named and spec.takes(key))
        self._held: dict[tuple[object, ...], Any] = {}
        if not self._keywords:
            self._calculator({})  # what is wrong with its settings is wrong with all structures

    def __call__(self, atoms: Atoms, charge: float, multiplicity: int | None) -> dict[str, Any]:
        """``{"energy", "forces" [N][3], "stress" [6] or None}`` in eV and angstrom, or ``{"error": sentence}``."""
        try:
            if not len(atoms):
                raise ValueError("there are no atoms")
            if not np.isfinite(atoms.positions).all():
                raise ValueError("a position is not a finite number")
            known: dict[str, object] = {"charge": _plain(charge) if charge else None, "multiplicity": multiplicity}
            keywords = {key: known[key] for key in self._keywords if known[key] is not None}
            if charge and "charge" not in keywords:
                atoms.set_initial_charges([charge] + [0.0] * (len(atoms) - 1))
            if multiplicity is not None and "multiplicity" not in keywords:
                atoms.set_initial_magnetic_moments([multiplicity - 1.0] + [0.0] * (len(atoms) - 1))
            return labels(atoms, self._calculator(keywords))
        except Exception as error:  # each calculator's own kinds: the structure is left out, the others go on
            return {"error": " ".join(str(error).split()) or type(error).__name__}

    def _calculator(self, keywords: dict[str, object]) -> Any:
        if self.spec.named:
            return self.spec.build()
        key = tuple(sorted(keywords.items()))
        if key not in self._held:
            self._held[key] = self.spec.build(**keywords)
        calculator = self._held[key]
        if hasattr(calculator, "reset"):
            calculator.reset()
        return calculator


def labels(atoms: Atoms, calculator: Any) -> dict[str, Any]:
    """What the calculator says of the atoms, without constraints.

    The energy is the one whose derivative the forces are: ASE's free energy where the calculator tells it apart (an
    electronic temperature). Stress is asked for where the cell is periodic along three axes.

    Raises:
        ValueError: a result that is not finite or has another shape; and whatever the calculator raises.
    """
    atoms.calc = calculator
    properties = getattr(calculator, "implemented_properties", ())
    stress = None
    if atoms.pbc.all() and "stress" in properties:
        try:
            stress = np.asarray(atoms.get_stress(voigt=True), dtype=np.float64)
        except PropertyNotImplementedError:
            stress = None
    forces = np.asarray(atoms.get_forces(apply_constraint=False), dtype=np.float64)
    energy = float(_energy(atoms, properties))
    if forces.shape != (len(atoms), 3) or (stress is not None and stress.shape != (6,)):
        raise ValueError(f"the calculator gave forces of shape {forces.shape} for {len(atoms)} atoms")
    if not (np.isfinite(energy) and np.isfinite(forces).all() and (stress is None or np.isfinite(stress).all())):
        raise ValueError("the calculator gave an energy, force or stress that is not a finite number")
    return {"energy": energy, "forces": forces.tolist(), "stress": None if stress is None else stress.tolist()}


def _energy(atoms: Atoms, properties: Any) -> float:
    if "free_energy" in properties:
        try:
            return atoms.get_potential_energy(force_consistent=True)
        except PropertyNotImplementedError:
            pass
    return atoms.get_potential_energy()


def _plain(charge: float) -> float | int:
    """Whole charges as int, which most programs want."""
    return int(charge) if float(charge).is_integer() else charge
