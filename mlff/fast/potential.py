"""A potential's energies, forces and virial through compiled code, for one structure at a time on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlff.graph import Graph, VerletList, build_graph
from mlff.nn import scatter_sum
from mlff.potential.potential import Potential
from mlff.potential.zbl import REACH, zbl_outer_radius, zbl_pair_energy

from .build import CompilationError
from .edges import EdgeList
from .program import Program
from .tables import SHORTEST_DISTANCE

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-8}
"""Largest error, relative to the largest value, at which compiled code is believed."""
ZBL_REACH = np.array(REACH)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Structure:
    """Arrays of one structure."""

    positions: Floats
    """Å, ``[N, 3]``."""
    atomic_numbers: NDArray[np.int64]
    """``[N]``."""
    cell: Floats | None = None
    """Lattice vectors as rows, Å; None for a molecule."""
    pbc: NDArray[np.bool_] | None = None
    """Periodic axes; None for a molecule."""


@dataclass(frozen=True)
class Evaluation:
    """Energies of all states and the derivatives of one, float64."""

    energies: Floats
    """Of every atom, eV ``[N, S]``."""
    forces: Floats
    """eV/Å, ``[N, 3]``."""
    virial: Floats
    """dE/dstrain, symmetric, eV ``[3, 3]``."""
    shortest: float
    """Distance of the nearest two atoms, Å."""


class CompiledPotential:
    """Energies and their derivatives, computed by compiled code that agreed with the potential on a small structure.

    Args:
        potential: on the CPU, in evaluation mode, in float32 or float64.
        neighbors: the Verlet list to take pairs from, of the potential's cutoff.
        program: the compiled code, made of the potential.

    Raises:
        CompilationError: the code disagrees with the potential.
    """

    def __init__(self, potential: Potential, neighbors: VerletList, program: Program) -> None:
        self.potential = potential
        self._program = program
        self._reach = zbl_outer_radius(potential.species) if potential.config.zbl else 0.0
        self._reference = potential.reference_energies()
        self._take_pairs_from(VerletList(potential.cutoff, skin=0.0))
        self._check()
        self._take_pairs_from(neighbors)

    def __call__(self, structure: Structure, state: int) -> Evaluation | None:
        """Energies, and the derivatives of one state's; None for a structure that compiled code is not made for.

        These are structures of one atom or without pairs, and those with atoms nearer than the tables begin.
        """
        if len(structure.positions) < 2:
            return None
        inputs, shortest = self._pair_inputs(structure) if self._edges is None else self._edge_inputs(structure, self._edges)
        if inputs is None:
            return None
        config = self.potential.config
        weights = torch.zeros(config.num_states, dtype=torch.float64)
        weights[state] = config.scale
        network, forces, virial = (output.double().numpy() for output in self._program(weights, *inputs))
        energies = network * config.scale + self._reference[structure.atomic_numbers][:, None]
        if shortest < self._reach and self._repels(inputs):
            prior = self._repulsion(structure)
            energies, forces, virial = energies + prior.energies, forces + prior.forces, virial + prior.virial
        return Evaluation(energies, forces, 0.5 * (virial + virial.T), shortest)

    def _take_pairs_from(self, neighbors: VerletList) -> None:
        num_coefficients, dtype = self._program.num_coefficients, self.potential.dtype
        self._neighbors = neighbors
        self._edges = EdgeList(neighbors, dtype, num_coefficients) if self._program.tabulated else None

    def _edge_inputs(self, structure: Structure, edges: EdgeList) -> tuple[tuple[Tensor, ...] | None, float]:
        numbers = structure.atomic_numbers
        near, shortest = edges.near(structure.positions, numbers, structure.cell, structure.pbc)
        if near.neighbors.shape[0] < 2 or shortest < SHORTEST_DISTANCE:
            return None, shortest
        return (torch.from_numpy(numbers), near.vectors, near.basis, near.offsets, near.neighbors), shortest

    def _pair_inputs(self, structure: Structure) -> tuple[tuple[Tensor, ...] | None, float]:
        graph = self._graph(structure)
        if graph.num_pairs < 2:
            return None, 0.0
        vectors = graph.pair_vectors()
        shortest = float(vectors.square().sum(dim=1).min()) ** 0.5
        return (graph.atomic_numbers, graph.positions, graph.pairs, vectors), shortest

    def _graph(self, structure: Structure) -> Graph:
        positions, numbers, cell, pbc = structure.positions, structure.atomic_numbers, structure.cell, structure.pbc
        pairs = self._neighbors.pairs(positions, numbers, cell, pbc)
        return build_graph(positions, numbers, self.potential.cutoff, cell=cell, pbc=pbc, neighbors=pairs)

    def _repels(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether atoms are within the prior's reach for their elements; the longest, of two large atoms, is as long as bonds
        of hydrogen."""
        if self._edges is None:
            numbers, _, pairs, vectors = inputs
            i, j = pairs.numpy()
        else:
            numbers, vectors, _, offsets, neighbors = inputs
            i, j = np.repeat(np.arange(len(numbers)), np.diff(offsets.numpy())), neighbors.numpy()
        squares = np.einsum("ij,ij->i", vectors.numpy(), vectors.numpy())
        near = np.flatnonzero(squares < self._reach**2)
        reach = ZBL_REACH[numbers.numpy()]
        return bool((np.sqrt(squares[near]) < reach[i[near]] + reach[j[near]]).any())

    def _repulsion(self, structure: Structure) -> Evaluation:
        """The ZBL prior and its derivatives."""
        graph = self._graph(structure)
        vectors = graph.pair_vectors()
        near = torch.nonzero(vectors.square().sum(dim=1) < self._reach**2).squeeze(1)
        vectors = vectors[near].requires_grad_(True)
        i, j = graph.pairs[:, near]
        with torch.enable_grad():
            energy = zbl_pair_energy(vectors.norm(dim=1), graph.atomic_numbers[i], graph.atomic_numbers[j])
            (gradient,) = torch.autograd.grad(energy.sum(), vectors)
        index, half = torch.cat((i, j)), 0.5 * energy.detach()
        energies = scatter_sum(torch.cat((half, half)), index, graph.num_atoms).unsqueeze(1)
        forces = scatter_sum(torch.cat((gradient, -gradient)), index, graph.num_atoms)
        return Evaluation(energies.numpy(), forces.numpy(), (gradient.mT @ vectors.detach()).numpy(), 0.0)

    def _check(self) -> None:
        """Compare with the potential on a few atoms of all its elements, in every state."""
        potential = self.potential
        numbers = np.resize(np.array(potential.species, dtype=np.int64), max(8, len(potential.species)))
        places = np.array(list(np.ndindex(5, 5, 5)), dtype=np.float64)[: len(numbers)]
        places += 0.15 * np.sin(7.0 * np.arange(places.size).reshape(-1, 3))
        structure = Structure(min(1.3, 0.4 * potential.cutoff) * places, numbers)
        exact = {name: value.double().numpy() for name, value in potential(self._graph(structure)).items()}
        for state in range(potential.num_states):
            found, forces = self(structure, state), exact["forces"][:, state]
            assert found is not None
            error = max(abs(found.energies - exact["energies"]).max(), abs(found.forces - forces).max())
            if not error <= TOLERANCES[potential.dtype] * max(1.0, abs(forces).max()):
                raise CompilationError(f"its energies or forces differ from the model's by {error:.1e} eV or eV/angstrom")
