"""Harmonic vibrations: second derivatives of the energy by automatic differentiation, and the normal modes they give."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from mlff.calculators.structure import check_distances, check_elements, check_structure
from mlff.calculators.topological import check_forces
from mlff.graph import build_graph
from mlff.potential.potential import Potential
from mlff.units import ATOMIC_TIME, HARTREE, INVERSE_CM, KINETIC

from .velocities import LINEAR

HBAR = HARTREE * ATOMIC_TIME
"""eV fs: a hartree is hbar over the atomic unit of time."""
HIGHEST = 4401.2
"""1/cm: the harmonic frequency of H2, above which no molecule vibrates (H-F: 4138.3). Huber and Herzberg, Constants of
Diatomic Molecules, 1979."""
PAIRS_AT_ONCE = 4_000
"""Rows of the Hessian are computed together while rows x pairs stay below this, which bounds the memory."""

Floats = NDArray[np.float64]


def hessian(potential: Potential, atoms: Atoms, state: int = 0) -> Floats:
    """Second derivatives of the energy of a state by the positions, eV/angstrom^2 ``[3N, 3N]``, in float64.

    Rows and columns are x, y, z of atom 0, of atom 1, and so on. The gradient is differentiated again, several rows to a
    backward pass; the potential itself is left alone. In a periodic cell these are the derivatives at the Gamma point.

    Raises:
        ValueError: constrained atoms, a state or a structure that the potential does not know.
        NoForces: a topological potential.
    """
    check_forces(potential)
    if atoms.constraints:
        raise ValueError("the structure has constraints, and vibrations are those of free atoms; remove them first "
                         "(`atoms.set_constraint()`)")
    if isinstance(state, bool) or not 0 <= state < potential.num_states:
        raise ValueError(f"`state` is {state!r}; the potential has {potential.num_states} state(s), counted from 0")
    check_structure(atoms)
    check_elements(atoms, potential.species)
    exact = copy.deepcopy(potential).double().eval().requires_grad_(False)
    cell = (atoms.cell.array, atoms.pbc) if atoms.pbc.any() else (None, None)
    device = next(exact.parameters()).device
    graph = build_graph(atoms.get_positions(), atoms.get_atomic_numbers(), exact.cutoff, cell=cell[0], pbc=cell[1],
                        device=device)  # fmt: skip
    check_distances(atoms, graph)
    size = 3 * len(atoms)
    with torch.enable_grad():
        positions = graph.positions.clone().requires_grad_(True)
        energy = exact.atom_energies(replace(graph, positions=positions))[:, state].sum()
        (gradient,) = torch.autograd.grad(energy, positions, create_graph=True, materialize_grads=True)
        if not gradient.requires_grad:  # atoms out of each other's reach
            return np.zeros((size, size))
        units = torch.eye(size, dtype=torch.float64, device=device).view(size, len(atoms), 3)
        rows = [
            torch.autograd.grad(
                gradient, positions, some, retain_graph=True, is_grads_batched=True, materialize_grads=True
            )[0]
            for some in units.split(max(1, PAIRS_AT_ONCE // max(1, graph.num_pairs)))
        ]
    second = torch.cat(rows).detach().view(size, size).cpu().numpy()
    return 0.5 * (second + second.T)


@dataclass(frozen=True)
class NormalModes:
    """M harmonic vibrations of N atoms, from the lowest frequency on."""

    frequencies: Floats
    """1/cm, ``[M]``; an imaginary one, of a direction along which the energy falls, stands as a negative number."""
    modes: Floats
    """Orthonormal mass-weighted vectors ``[M, N, 3]``: a displacement x of the atoms is sum_k Q_k modes[k] / sqrt(m)."""
    masses: Floats
    """amu, ``[N]``."""

    @property
    def angular_frequencies(self) -> Floats:
        """rad/fs, ``[M]``, with the sign of the frequencies."""
        return self.frequencies * INVERSE_CM / HBAR

    @property
    def displacements(self) -> Floats:
        """Directions in which the atoms move, ``[M, N, 3]``, each of length one over all atoms."""
        moved = self.modes / np.sqrt(self.masses)[:, None]
        return moved / np.linalg.norm(moved, axis=(1, 2), keepdims=True)

    @property
    def reduced_masses(self) -> Floats:
        """amu, ``[M]``: mass of an oscillator whose coordinate is the length along ``displacements``."""
        return 1 / np.square(self.modes / np.sqrt(self.masses)[:, None]).sum(axis=(1, 2))

    @property
    def num_imaginary(self) -> int:
        return int((self.frequencies < 0).sum())

    def frequencies_in(self, hessian: ArrayLike) -> Floats:
        """Frequencies by the curvature that another Hessian has along each of these modes, 1/cm ``[M]``.

        Of the members of a committee along the modes of its mean: how far they agree on each, whatever their order.
        """
        moved = (self.modes / np.sqrt(self.masses)[:, None]).reshape(len(self.modes), -1)
        return _frequencies(((moved @ np.asarray(hessian, dtype=np.float64)) * moved).sum(axis=1))

    @property
    def zero_point_energy(self) -> float:
        """Half of hbar omega summed over the real frequencies, eV."""
        return float(0.5 * INVERSE_CM * self.frequencies[self.frequencies > 0].sum())


def normal_modes(hessian: ArrayLike, masses: ArrayLike, positions: ArrayLike | None = None) -> NormalModes:
    """Frequencies and modes of a Hessian, with translations (and of a molecule the rotations) projected out.

    The mass-weighted Hessian is diagonalised in the space orthogonal to them (Wilson, Decius and Cross, Molecular
    Vibrations, 1955), so that they neither mix with soft vibrations nor count as modes.

    Args:
        hessian: eV/angstrom^2, ``[3N, 3N]``.
        masses: amu, ``[N]``.
        positions: of a molecule, angstrom ``[N, 3]``; None keeps rotations in (a crystal has none).

    Returns:
        3N - 6 modes of a molecule (3N - 5 of a linear one), 3N - 3 without positions.

    Warns:
        UserWarning: frequencies that no molecule has, above ``HIGHEST``.

    Raises:
        ValueError: a Hessian or masses that do not fit each other.
    """
    masses = np.asarray(masses, dtype=np.float64)
    second = np.asarray(hessian, dtype=np.float64)
    size = 3 * len(masses)
    if second.shape != (size, size) or not np.isfinite(second).all():
        raise ValueError(f"`hessian` has the shape {second.shape} and must be finite; for {len(masses)} masses it must be "
                         f"{(size, size)}")
    if not (masses > 0).all():
        raise ValueError("`masses` must be positive, in amu")
    roots = np.repeat(np.sqrt(masses), 3)
    space = _internal_space(masses, None if positions is None else np.asarray(positions, dtype=np.float64))
    values, vectors = np.linalg.eigh(space.T @ (0.5 * (second + second.T) / np.outer(roots, roots)) @ space)
    found = NormalModes(_frequencies(values), (space @ vectors).T.reshape(-1, len(masses), 3), masses)
    if too_high := int((found.frequencies > HIGHEST).sum()):
        warnings.warn(
            f"{too_high} of the {len(values)} frequencies, up to {found.frequencies[-1]:,.0f} 1/cm, lie above the "
            f"{HIGHEST:,.0f} 1/cm of H2 (harmonic; Huber and Herzberg 1979), and no molecule vibrates faster: the curvature of "
            f"the energy is wrong here. Train the model longer, or check the geometry against those in its training data",
            stacklevel=2,
        )  # fmt: skip
    return found


def _frequencies(curvatures: Floats) -> Floats:
    """1/cm, of mass-weighted curvatures in eV/angstrom^2/amu; negative for negative ones."""
    omega = np.sign(curvatures) * np.sqrt(np.abs(curvatures) / KINETIC)  # rad/fs
    return HBAR * omega / INVERSE_CM


def _internal_space(masses: Floats, positions: Floats | None) -> Floats:
    """Orthonormal mass-weighted vectors ``[3N, M]`` orthogonal to translations and, given positions, rotations."""
    roots = np.sqrt(masses)[:, None]
    moved = [(roots * axis).ravel() for axis in np.eye(3)]
    if positions is not None:
        arms = positions - masses @ positions / masses.sum()
        turned = np.stack([(roots * np.cross(axis, arms)).ravel() for axis in np.eye(3)], axis=1)
        left, sizes, _ = np.linalg.svd(turned, full_matrices=False)
        moved += list(left[:, sizes > LINEAR**0.5 * max(sizes.max(), 1e-12)].T)
    vectors, _, _ = np.linalg.svd(np.stack(moved, axis=1), full_matrices=True)
    return vectors[:, len(moved) :]
