"""MLFFCalculator: a potential as a calculator of ASE, the Atomic Simulation Environment."""

from __future__ import annotations

import copy
import math
import os
import warnings
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, Parameters, PropertyNotImplementedError, all_changes

from mlff.calculators.electronic import COUPLINGS, OF_STATES, electronic_results, gaps, offered
from mlff.calculators.structure import SMALLEST_DISTANCE, check_distances, check_elements, check_structure
from mlff.calculators.topological import check_forces, implemented
from mlff.fast import CompilationError, CompiledPotential, Evaluation, Program, Structure
from mlff.graph import Graph, VerletList, build_graph, split_graph
from mlff.potential.checkpoint import load_potential
from mlff.potential.device import chosen_device
from mlff.potential.potential import VOIGT, Potential

DTYPES = {"float32": torch.float32, "float64": torch.float64}
ENERGIES = ("energy", "free_energy", "energies", "state_energies", "gaps")


class MLFFCalculator(Calculator):
    """Energies, forces and stress of a trained potential for ASE.

    Results, in eV and angstrom: ``energy`` and ``free_energy`` (the same) and ``forces`` ``[N, 3]`` of the chosen
    state, ``energies`` ``[N]`` (its parts, one an atom, whose sum is the energy), ``state_energies`` ``[S]`` of all
    states and, for cells periodic along three axes, ``stress`` in Voigt order (xx, yy, zz, yz, xz, xy) with ASE's sign.
    Of several states, ``gaps`` ``[S - 1]``, their energies above that of state 0. Where the potential has heads for them, and
    when they are asked for (``calculator.get_property("nac", atoms)``): ``nac`` ``[N, P, 3]`` in 1/angstrom and
    ``interstate_coupling`` ``[N, P, 3]`` in eV/angstrom of ``potential.config.nac_pairs``; ``dipole`` ``[3]``, that of the
    chosen state, and ``transition_dipoles`` ``[Q, 3]`` in e angstrom of the pairs i < j in ``dipole_pairs``; ``soc_magnitude``
    ``[R]`` in eV of ``soc_pairs``. Couplings and transition dipoles have arbitrary signs.

    Args:
        model: name in models/ (``mlff models`` lists them), path of a checkpoint or of a training run, or a Potential,
            which is copied.
        state: electronic state, from 0, that ``energy``, ``forces`` and ``stress`` belong to.
        device: such as ``"cpu"`` or ``"cuda:0"``; None means a GPU where there is one, or the device of a Potential.
        dtype: precision of the network. Positions, distances and sums over atoms are float64 in any case; geometry
            optimisations below 1e-3 eV/angstrom, vibrations, and energy conservation deserve ``"float64"``.
        skin: in angstrom; a neighbour list is used again while no atom has moved half of it. Only pairs within the
            cutoff reach the model, so results do not depend on it. 1 was fastest, or equal, from 24 to 1,728 atoms
            at 300 K. 0 builds a list for every step.
        compile: on a CPU, energies and forces as one compiled function, which is several times faster. ``True``
            compiles it in the first calculation, which takes about a minute and a C++ compiler; the code is kept in a
            folder of this user (``MLFF_CACHE``, see ``mlff.fast.cache_folder``) and serves every model of the same
            kind and settings, whatever its weights, from then on. ``"auto"`` uses that code where it is there and
            never compiles; ``False`` does without. Results differ by rounding. Where compiling does not work one
            warning says so and the model runs uncompiled. On a GPU, ``True`` is torch.compile of the network.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "energies", "state_energies"]

    def __init__(
        self,
        model: str | os.PathLike[str] | Potential,
        *,
        state: int = 0,
        device: str | torch.device | None = None,
        dtype: Literal["float32", "float64"] = "float32",
        skin: float = 1.0,
        compile: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"`dtype` is {dtype!r}; choose 'float32' or 'float64'")
        if not isinstance(skin, int | float) or not (math.isfinite(skin) and skin >= 0):
            raise ValueError(f"`skin` is {skin!r}; give a distance in angstrom, 0 or more")
        if not isinstance(compile, bool) and compile != "auto":
            raise ValueError(f"`compile` is {compile!r}; give True, False or 'auto'")
        if isinstance(model, Potential):
            device = chosen_device(device if device is not None else next(model.parameters()).device)
            potential = copy.deepcopy(model)
            name = "Potential"
        elif isinstance(model, str | os.PathLike):
            device = chosen_device(device)
            potential = load_potential(model)
            name = os.fspath(model)
        else:
            raise ValueError(f"`model` is a {type(model).__name__}; give a name that `mlff models` lists, the path of "
                             f"a checkpoint, or a Potential")
        potential.config.warn_of_discontinuity()
        self.potential = potential.to(device=device, dtype=DTYPES[dtype]).eval().requires_grad_(False)
        self.device = device
        self._compiled: CompiledPotential | None = None
        self._compiled_untried = self._torch_compile_untried = False
        self.parameters = Parameters(model=name, state=0, dtype=dtype, skin=float(skin), compile=compile)
        self.state = state
        self.neighbors = VerletList(self.potential.cutoff, float(skin))
        self._start_compiling(compile)

    @property
    def compiled(self) -> bool:
        """Whether compiled code is in use: False before the first call, and where compiling failed."""
        on_gpu = self.potential.model._compiled_call_impl is not None and not self._torch_compile_untried
        return self._compiled is not None or on_gpu

    @property
    def state(self) -> int:
        """Electronic state that energy, forces and stress belong to; setting it drops the results so far."""
        return self.parameters["state"]

    @state.setter
    def state(self, state: int) -> None:
        num_states = self.potential.num_states
        if isinstance(state, bool) or not isinstance(state, int | np.integer) or not 0 <= state < num_states:
            known = "only state 0" if num_states == 1 else f"the states 0 to {num_states - 1}"
            raise ValueError(f"`state` is {state!r}, but the model has {known}")
        self.parameters["state"] = int(state)
        properties = [*MLFFCalculator.implemented_properties, *offered(self.potential.config, int(state))]
        self.implemented_properties = implemented(properties, self.potential)
        self.reset()

    def side_by_side(self, num_structures: int) -> MLFFCalculator:
        """The same potential for so many structures in one Atoms object, one behind the other, in one call.

        They have the same number of atoms and the same cell, and atoms of different structures do not see each other.
        ``energies`` are those of all atoms, ``energy`` and the other totals sums over the structures.
        """
        other = copy.copy(self)
        other.reset()
        other.parameters = Parameters(**self.parameters)
        other.neighbors = VerletList(self.potential.cutoff, self.parameters["skin"], num_structures=num_structures)
        return other

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As of ASE's calculators; a `NoForces` where the model has none."""
        check_forces(self.potential, f"`{self.parameters['model']}`", [name])
        return super().get_property(name, atoms, allow_calculation)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What results depend on and what changed since the last ones, to the last bit.

        ASE's own comparison, of charges and magnetic moments too, costs a tenth of a step of a small molecule, and comparing
        arrays instead of their bytes half of that.
        """
        if self.atoms is None:
            return list(all_changes)
        last = self.atoms
        same = {
            "positions": last.positions.tobytes() == atoms.positions.tobytes(),
            "numbers": last.numbers.tobytes() == atoms.numbers.tobytes(),
            "cell": last.cell.array.tobytes() == atoms.cell.array.tobytes(),
            "pbc": last.pbc.tobytes() == atoms.pbc.tobytes(),
        }
        return [name for name, equal in same.items() if not equal]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute what ASE asks for; ASE calls this where nothing that it remembers will do."""
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise ValueError("the calculator has no structure; set `atoms.calc` and ask the atoms")
        if "stress" in properties and not atoms.pbc.all():
            raise PropertyNotImplementedError(
                f"stress needs a cell periodic along three axes; pbc is {atoms.pbc.tolist()}"
            )
        last = self.atoms
        self.reset()  # a failure below leaves no results, neither old nor half
        check_forces(self.potential, f"`{self.parameters['model']}`", properties)
        check_structure(atoms)
        if "numbers" in system_changes:
            check_elements(atoms, self.potential.species)
        derivatives = "forces" in self.implemented_properties and not set(properties) <= set(ENERGIES)
        stress = derivatives and bool(atoms.pbc.all())
        structure = self._structure(atoms)
        of_states = self._of_states(properties)
        evaluation = None if of_states else self._evaluate_compiled(structure)
        if evaluation is None or evaluation.shortest < SMALLEST_DISTANCE:
            graph = self._graph(structure)
            check_distances(atoms, graph)
            results = self._evaluate(graph, derivatives, stress, of_states)
        else:
            results = self._results(evaluation, derivatives, atoms.get_volume() if stress else None)
        # ASE's own calculate copies everything, as `get_property` has just done, and looks for a folder of input files.
        if last is None or system_changes != ["positions"]:
            self.atoms = atoms.copy()
        else:
            last.positions[:] = atoms.positions
            self.atoms = last
        self.results = results

    def _of_states(self, properties: Iterable[str]) -> set[str]:
        """Which of the electronic states' results are asked for.

        Raises:
            PropertyNotImplementedError: several structures side by side, whose totals are sums.
        """
        asked = set(properties) & set(OF_STATES) & set(self.implemented_properties)
        if asked and self.neighbors.num_structures > 1:
            raise PropertyNotImplementedError(f"{', '.join(sorted(asked))}: ask for one structure at a time")
        return asked

    def _structure(self, atoms: Atoms) -> Structure:
        cell, pbc = (atoms.cell.array, atoms.pbc) if atoms.pbc.any() else (None, None)
        return Structure(atoms.get_positions(), atoms.get_atomic_numbers().astype(np.int64, copy=False), cell, pbc)

    def _evaluate_compiled(self, structure: Structure) -> Evaluation | None:
        """Through compiled code, or None where there is none, or none for this structure."""
        if self._compiled_untried:
            self._compiled_untried = False
            asked = self.parameters["compile"] is True
            try:
                program = Program(self.potential, compile=asked)
                self._compiled = CompiledPotential(self.potential, self.neighbors, program)
            except CompilationError as error:
                if asked:
                    warnings.warn(f"compiling failed, so the model runs uncompiled: {error}", stacklevel=6)
        return None if self._compiled is None else self._compiled(structure, self.state)

    def _results(self, evaluation: Evaluation, forces: bool, volume: float | None) -> dict[str, Any]:
        state_energies = evaluation.energies.sum(axis=0)
        energy = float(state_energies[self.state])
        results: dict[str, Any] = {
            "energy": energy, "free_energy": energy, "energies": evaluation.energies[:, self.state].copy(),
            "state_energies": state_energies, **gaps(state_energies),
        }  # fmt: skip
        if forces:
            results["forces"] = evaluation.forces
        if volume is not None:
            results["stress"] = evaluation.virial[VOIGT] / volume
        return results

    def _graph(self, structure: Structure) -> Graph:
        positions, numbers, cell, pbc = structure.positions, structure.atomic_numbers, structure.cell, structure.pbc
        neighbors = self.neighbors.pairs(positions, numbers, cell, pbc)
        graph = build_graph(
            positions, numbers, self.potential.cutoff, cell=cell, pbc=pbc, neighbors=neighbors, device=self.device
        )
        return split_graph(graph, self.neighbors.num_structures)

    def _evaluate(self, graph: Graph, forces: bool, stress: bool, of_states: set[str]) -> dict[str, Any]:
        if self._torch_compile_untried:
            self._try_torch_compile(graph)
        output = self._forward(graph, forces, stress, of_states)
        state = self.state
        state_energies = output["energy"].sum(dim=0).cpu().numpy()
        results: dict[str, Any] = {
            "energy": float(state_energies[state]),
            "free_energy": float(state_energies[state]),
            "energies": output["energies"][:, state].cpu().numpy(),
            "state_energies": state_energies,
            **gaps(state_energies),
            **electronic_results(output, self.potential.config, state),
        }
        if forces:
            results["forces"] = output["forces"][:, 0].double().cpu().numpy()
        if stress:
            results["stress"] = output["stress"].sum(dim=0)[0].double().cpu().numpy()
        return results

    def _try_torch_compile(self, graph: Graph) -> None:
        """Compile, which happens in the first call; where that fails, say so and go on without."""
        self._torch_compile_untried = False
        try:
            self._forward(graph, forces=True, stress=False, of_states=set())
        except Exception as error:  # whatever the compiler chain raises; an error of the model comes again, uncompiled
            self.potential.model._compiled_call_impl = None
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            warnings.warn(f"torch.compile failed, so the model runs uncompiled: {reason}", stacklevel=7)

    def _forward(self, graph: Graph, forces: bool, stress: bool, of_states: set[str]) -> dict[str, torch.Tensor]:
        couplings, others = (bool(of_states & set(names)) for names in (COUPLINGS, set(OF_STATES) - set(COUPLINGS)))
        with torch.no_grad():  # the potential turns gradients on where it needs them
            return self.potential(
                graph, forces=forces, stress=stress, states=(self.state,), couplings=couplings, properties=others
            )

    def _start_compiling(self, compile: bool | Literal["auto"]) -> None:
        self._compiled = None
        on_cpu = self.device.type == "cpu"
        self._compiled_untried = on_cpu and compile is not False
        self._torch_compile_untried = not on_cpu and compile is True
        if self._torch_compile_untried:
            self.potential.model.compile(dynamic=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("get_spin_polarized", "_compiled")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_compiling(self.parameters["compile"])  # compiled code is left behind when a module is copied
