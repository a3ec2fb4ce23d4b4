"""CommitteeCalculator: several potentials as one ASE calculator; their mean, and their spread as the uncertainty."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, Parameters, all_changes

from mlff.calculators.ase import MLFFCalculator
from mlff.calculators.electronic import SIGNED, alike_signs
from mlff.calculators.topological import check_forces
from mlff.potential.committee import member_folders, resolve_members
from mlff.potential.potential import Potential

Model = str | os.PathLike[str] | Potential


class CommitteeCalculator(Calculator):
    """Mean energies, forces and stress of several potentials, and their standard deviations.

    Results are those of `MLFFCalculator`, each the mean over the members, and sample standard deviations (with M - 1) over
    the M members: ``energy_uncertainty`` (eV), ``forces_uncertainty`` ``[N, 3]`` (eV/angstrom) and for periodic cells
    ``stress_uncertainty`` ``[6]``. They tell where members disagree, which is where training data are missing; they are no
    error bars until `mlff evaluate` has compared them with errors (Schran, Brezina and Marsalek, J. Chem. Phys. 153, 104105,
    2020). Couplings and transition dipoles are averaged with the signs of the states that agree best with the first member's.

    Args:
        models: folder of a committee (`mlff train --committee`), or at least two models as `MLFFCalculator` takes them.
        state, device, dtype, skin, compile: as in `MLFFCalculator`.

    Raises:
        ValueError: fewer than two models, or models of different elements or numbers of states.
    """

    implemented_properties = [
        *MLFFCalculator.implemented_properties, "energy_uncertainty", "forces_uncertainty", "stress_uncertainty"
    ]  # fmt: skip

    def __init__(
        self,
        models: Model | Sequence[Model],
        *,
        state: int = 0,
        device: str | torch.device | None = None,
        dtype: Literal["float32", "float64"] = "float32",
        skin: float = 1.0,
        compile: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        chosen: list[Any]
        if isinstance(models, str | os.PathLike):
            chosen = list(resolve_members(models))
        else:
            chosen = [models] if isinstance(models, Potential) else list(models)
        if len(chosen) < 2:
            raise ValueError(
                f"a committee needs at least two models and {len(chosen)} was given; train one with `mlff train ... "
                f"--committee 4`, or use MLFFCalculator for a single model"
            )
        self.members = [
            MLFFCalculator(each, state=state, device=device, dtype=dtype, skin=skin, compile=compile) for each in chosen
        ]
        kinds = {(each.potential.species, each.potential.num_states) for each in self.members}
        if len(kinds) > 1:
            raise ValueError(
                f"the members of a committee must know the same elements and states; these know {sorted(kinds)} "
                f"(atomic numbers, number of states)"
            )
        pairs = {(each.nac_pairs, each.dipole_pairs, each.soc_pairs) for each in (m.potential.config for m in self.members)}
        if len(pairs) > 1:
            raise ValueError(
                f"the members of a committee must know the same pairs of states; these know {sorted(pairs)} "
                f"(of couplings, dipoles, spin-orbit couplings)"
            )
        self.implemented_properties = self._implemented()
        names = [str(each.parameters["model"]) for each in self.members]
        self.parameters = Parameters(models=names, state=state, dtype=dtype, skin=float(skin), compile=compile)

    @property
    def state(self) -> int:
        """Electronic state that energy, forces and stress belong to; setting it drops the results so far."""
        return self.members[0].state

    @state.setter
    def state(self, state: int) -> None:
        for each in self.members:
            each.state = state
        self.parameters["state"] = self.state
        self.implemented_properties = self._implemented()
        self.reset()

    def _implemented(self) -> list[str]:
        own = [name for name in CommitteeCalculator.implemented_properties if name.endswith("_uncertainty")]
        of_members = self.members[0].implemented_properties
        return [*of_members, *(name for name in own if name.removesuffix("_uncertainty") in of_members)]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As of ASE's calculators; a `NoForces` where the models have none."""
        check_forces(self.members[0].potential, "this committee", [name.removesuffix("_uncertainty")])
        return super().get_property(name, atoms, allow_calculation)

    def side_by_side(self, num_structures: int) -> CommitteeCalculator:
        """As of `MLFFCalculator`, of every member."""
        other = copy.copy(self)
        other.reset()
        other.parameters = Parameters(**self.parameters)
        other.members = [each.side_by_side(num_structures) for each in self.members]
        return other

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute what ASE asks for with every member, and put them together."""
        self.reset()
        asked = list(dict.fromkeys(each.removesuffix("_uncertainty") for each in properties))
        for each in self.members:
            each.calculate(self.atoms if atoms is None else atoms, asked, system_changes)
        super().calculate(atoms, properties, system_changes)
        results: dict[str, Any] = {}
        for name in self.members[0].results:
            values = np.array([each.results[name] for each in self.members])
            if name in SIGNED:
                values = alike_signs(values, name, self.members[0].potential.config)
            mean = values.mean(axis=0)
            results[name] = float(mean) if mean.ndim == 0 else mean
            if name in ("energy", "forces", "stress"):
                spread = values.std(axis=0, ddof=1)
                results[f"{name}_uncertainty"] = float(spread) if spread.ndim == 0 else spread
        self.results = results


def make_calculator(model: Model, **options: Any) -> MLFFCalculator | CommitteeCalculator:
    """The calculator of a model or, where ``model`` is the folder of a committee, of all its members."""
    if isinstance(model, str | os.PathLike) and member_folders(model):
        return CommitteeCalculator(model, **options)
    return MLFFCalculator(model, **options)
