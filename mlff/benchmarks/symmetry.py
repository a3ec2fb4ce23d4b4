"""Which symmetries a potential has, measured beside those that its model declares.

A potential f has the symmetry g if f(gx) = g f(x): where g turns, mirrors or moves a structure, or exchanges its atoms,
energies stay and forces go with it. Measured are |E(gx) - E(x)| and |F(gx) - g F(x)| for random g, relative to how large
energies and forces are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.stats import ortho_group

from mlff.graph import build_graph
from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL
from mlff.models.model import Symmetry
from mlff.potential.potential import Potential

from .candidates import build_potential

Kind = Literal["rotation", "reflection", "translation", "permutation"]
DECLARED: dict[Symmetry, tuple[Kind, ...]] = {
    "O(3)": ("rotation", "reflection", "translation", "permutation"),
    "SO(3)": ("rotation", "translation", "permutation"),
    "none": ("permutation",),
}
"""What a model's ``symmetry`` says of each kind."""
LIMITS = {"float64": 1e-8, "float32": 1e-3}
"""Relative deviations up to here are round-off."""
REGISTERED = (*MODELS, "tensornet:group=SO(3)", *ADAPTERS, *TOPOLOGICAL)
"""Every model in the registry, and the one that can have another symmetry."""
UNREST = 0.02
"""Standard deviation of what is added to fresh weights, so that none is zero and every term counts."""
FARTHEST = 10.0
"""Å; structures are moved by up to this along each axis."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Deviation:
    """The largest over all structures, draws and states."""

    energy: float
    """|E(gx) - E(x)| over the energy scale."""
    forces: float | None
    """|F(gx) - g F(x)|, the norm over all atoms, over the force scale; None for a model without forces."""

    @property
    def largest(self) -> float:
        """Of both; what is not a number counts as infinite."""
        values = [self.energy] if self.forces is None else [self.energy, self.forces]
        return float(max(value if np.isfinite(value) else np.inf for value in values))


@dataclass(frozen=True)
class Measurement:
    """What one potential was found to be."""

    model: str
    declared: Symmetry
    dtype: str
    energy_scale: float
    """eV: root mean square, over structures and states, of the energies less the atoms' reference energies."""
    force_scale: float
    """eV/Å: root mean square, over structures and states, of the norm of all forces of a structure."""
    deviations: dict[Kind, Deviation]
    """By kind; without permutations for a potential that tells like atoms apart."""

    def holds(self, kind: Kind) -> bool:
        """Whether deviations are round-off."""
        return self.deviations[kind].largest <= LIMITS[self.dtype]

    @property
    def broken(self) -> list[Kind]:
        """Symmetries that are declared, and are not there."""
        return [kind for kind in self.deviations if kind in DECLARED[self.declared] and not self.holds(kind)]

    @property
    def undeclared(self) -> list[Kind]:
        """Symmetries that are there, and are not declared."""
        return [kind for kind in self.deviations if kind not in DECLARED[self.declared] and self.holds(kind)]

    @property
    def verdict(self) -> str:
        """In words."""
        if self.broken:
            return f"breaks {', '.join(self.broken)}"
        return f"as declared, and {', '.join(self.undeclared)}" if self.undeclared else "as declared"

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"holds": {kind: self.holds(kind) for kind in self.deviations}, "verdict": self.verdict}


def prepare_potential(model: str, dtype: str = "float64") -> Potential:
    """The trained potential of a name, checkpoint or run folder, or one with fresh weights of an architecture.

    Raises:
        ValueError: no such model or option.
        ImportError: a package that the model needs is not installed.
    """
    potential = build_potential(model)
    if model.partition(":")[0] in MODELS | ADAPTERS | TOPOLOGICAL:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter.dtype), alpha=UNREST)
    return potential.to(getattr(torch, dtype)).eval()


def azobenzene_frames(count: int) -> list[Atoms]:
    """Frames of the embedded set, from its first to its last."""
    from mlff.data.selection import spread
    from mlff.datasets import azobenzene

    data = azobenzene()
    frames = (data[int(index)] for index in spread(np.arange(len(data)), count))
    return [Atoms(frame.atomic_numbers, frame.positions) for frame in frames]


def measure_symmetry(
    name: str, potential: Potential, structures: Sequence[Atoms], *, draws: int = 3, seed: int = 0
) -> Measurement:
    """Energies and forces of the structures, turned, mirrored, moved and with atoms exchanged, beside those of the structures.

    Args:
        name: of the potential, for the result.
        potential: in the dtype that counts.
        structures: with all of their atoms among the potential's elements; periodic ones turn with their cells.
        draws: random transformations of each kind for each structure.
        seed: of the transformations, which are the same for every potential.

    Raises:
        ValueError: a structure has elements that the potential does not know, or no atoms.
    """
    model = potential.config.model
    kinds = [kind for kind in DECLARED["O(3)"] if kind != "permutation" or potential.config.labelled_atoms is None]
    energies, norms = [], []
    differences: dict[Kind, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    generator = np.random.default_rng(seed)
    for structure in structures:
        _check(name, potential, structure)
        energy, forces, network = _evaluate(potential, structure)
        energies.append(network)
        norms.append(np.linalg.norm(forces, axis=(0, 2)))
        for kind, moved, expected in _transformed(structure, forces, kinds, draws, generator):
            found_energy, found_forces, _ = _evaluate(potential, moved)
            change = np.linalg.norm(found_forces - expected, axis=(0, 2))
            differences[kind].append((_largest(found_energy - energy), _largest(change)))
    energy_scale, force_scale = (float(np.sqrt(np.mean(np.square(values)))) for values in (energies, norms))
    deviations = {}
    for kind, found in differences.items():
        by_energy, by_forces = np.max(found, axis=0)
        relative = None if model.topological else float(by_forces) / (force_scale or 1.0)
        deviations[kind] = Deviation(float(by_energy) / (energy_scale or 1.0), relative)
    dtype = str(potential.dtype).removeprefix("torch.")
    return Measurement(name, potential.model.symmetry, dtype, energy_scale, force_scale, deviations)


def _transformed(
    structure: Atoms, forces: Floats, kinds: Sequence[Kind], draws: int, generator: np.random.Generator
) -> Iterator[tuple[Kind, Atoms, Floats]]:
    """Kind, structure gx and forces g F(x) of every draw; forces ``[N, S, 3]``."""
    for _ in range(draws):
        turn = ortho_group.rvs(3, random_state=generator)
        turn *= np.linalg.det(turn)
        shift = generator.uniform(-FARTHEST, FARTHEST, 3)
        order = generator.permutation(len(structure))
        for kind in kinds:
            moved = structure.copy()
            if kind == "permutation":
                yield kind, moved[order], forces[order]
            elif kind == "translation":
                moved.positions += shift
                yield kind, moved, forces
            else:
                matrix = turn if kind == "rotation" else -turn
                moved.set_cell(structure.cell[:] @ matrix.T)
                moved.positions = structure.positions @ matrix.T
                yield kind, moved, forces @ matrix.T


def _evaluate(potential: Potential, structure: Atoms) -> tuple[Floats, Floats, Floats]:
    """Energy ``[S]``, forces ``[N, S, 3]`` (zero of a model without), and energy less the reference energies ``[S]``."""
    periodic = {"cell": structure.cell[:], "pbc": structure.pbc} if structure.pbc.any() else {}
    graph = build_graph(structure.positions, structure.numbers, potential.cutoff, **periodic)
    topological = potential.config.model.topological
    results = potential(graph, forces=not topological)
    energy = results["energy"][0].double().numpy()
    shape = (len(structure), potential.num_states, 3)
    forces = np.zeros(shape) if topological else results["forces"].double().numpy()
    return energy, forces, energy - potential.reference_energies()[structure.numbers].sum()


def _largest(values: Floats) -> float:
    """Of the absolute values; infinite where one is not a number."""
    return float(np.abs(values).max()) if np.isfinite(values).all() else np.inf


def _check(name: str, potential: Potential, structure: Atoms) -> None:
    if len(structure) == 0:
        raise ValueError("a structure has no atoms; give one with two or more")
    unknown = sorted(set(structure.numbers.tolist()) - set(potential.species))
    if unknown:
        elements = ", ".join(chemical_symbols[number] for number in unknown)
        raise ValueError(f"{name} was not trained on {elements}, which the structures have; give structures of its elements "
                         f"({', '.join(chemical_symbols[number] for number in potential.species)}) with --structures FILE")
