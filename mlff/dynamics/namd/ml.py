"""A trained potential, or a committee, as what surface hopping runs on: all trajectories in one batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_masses
from torch import Tensor

from ...calculators.topological import check_forces
from ...graph import Graph
from ...potential.potential import Potential
from ..limits import largest_deviation
from ..vibrations import hessian
from .surfaces import Surfaces, pair_index, state_pairs
from .tracking import with_signs_of


class MLSurfaces:
    """States of a molecule from a potential of several states (see ``MultiStatePotential``).

    Energies of all states, the forces of each trajectory's own state by one backward pass, and couplings where the
    potential has them. Of a committee: means over its members, whose couplings get the signs of the first member's, and
    the standard deviation of their forces. Periodic systems are not supported.

    Args:
        potential: or several of the same states, a committee. Weights are shared, not copied, unless `dtype` differs.
        atomic_numbers: of the molecule, ``[N]``.
        masses: amu ``[N]``; by default those of the elements in their natural abundance.
        device: where to compute; by default where the potential is.
        dtype: of the weights; as they are by default. float64 makes trajectories reproducible to rounding in float64.
        batch_size: trajectories computed at once, for small memories; all by default.

    Raises:
        ValueError: elements that the potential does not know, members of different states, or masses that do not fit.
        NoForces: a topological potential.
    """

    def __init__(
        self,
        potential: Potential | Sequence[Potential],
        atomic_numbers: Sequence[int] | np.ndarray,
        *,
        masses: np.ndarray | None = None,
        device: str | torch.device | None = None,
        dtype: Literal["float32", "float64"] | None = None,
        batch_size: int | None = None,
    ) -> None:
        given = [potential] if isinstance(potential, Potential) else list(potential)
        if not given:
            raise ValueError("no potential was given")
        self.members = [_prepared(each, device, dtype) for each in given]
        first = self.members[0]
        check_forces(first)
        self.atomic_numbers = np.asarray(atomic_numbers, dtype=np.int64)
        unknown = sorted({int(z) for each in self.members for z in set(self.atomic_numbers) - set(each.species)})
        if unknown:
            raise ValueError(f"the potential was not trained on the elements {unknown}; it knows {list(first.species)}")
        if len({(each.config.num_states, each.config.multiplicities, each.config.nac_pairs, each.config.soc_pairs)
                for each in self.members}) > 1:  # fmt: skip
            raise ValueError("the members of the committee differ in their states or couplings; train them on the same")
        first.config.warn_of_discontinuity()
        self.num_states = first.num_states
        self.multiplicities = first.config.multiplicities or (1,) * self.num_states
        self.masses = atomic_masses[self.atomic_numbers] if masses is None else np.asarray(masses, dtype=np.float64)
        if self.masses.shape != self.atomic_numbers.shape:
            raise ValueError(f"{self.masses.shape} masses were given for {self.atomic_numbers.shape} atoms; give one an atom")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"`batch_size` is {batch_size}; give 1 or more, or None for all at once")
        self.batch_size = batch_size
        self._device = next(first.parameters()).device

    def surfaces(self, positions: np.ndarray, states: np.ndarray, *, couplings: bool) -> Surfaces:
        """See ``MultiStatePotential.surfaces``; NaN where positions are not finite."""
        positions, states = np.asarray(positions, dtype=np.float64), np.asarray(states, dtype=np.int64)
        finite = np.isfinite(positions).all(axis=(1, 2))
        safe = np.where(finite[:, None, None], positions, np.arange(3 * len(self.masses)).reshape(1, -1, 3))
        size = self.batch_size or len(positions)
        parts = [
            self._mean([self._member(each, safe[k : k + size], states[k : k + size], couplings) for each in self.members])
            for k in range(0, len(positions), size)
        ]
        whole = parts[0] if len(parts) == 1 else parts[0].mapped(lambda *arrays: np.concatenate(arrays), *parts[1:])
        return whole if finite.all() else whole.chosen(finite, np.nan)

    def hessian(self, positions: np.ndarray, state: int) -> np.ndarray:
        """Second derivatives of a state's energy by automatic differentiation, eV/angstrom^2 ``[3N, 3N]``, at one geometry."""
        atoms = Atoms(numbers=self.atomic_numbers, positions=positions)
        return np.mean([hessian(each, atoms, state) for each in self.members], axis=0)

    def _member(self, potential: Potential, positions: np.ndarray, states: np.ndarray, couplings: bool) -> Surfaces:
        config, (count, num_atoms) = potential.config, positions.shape[:2]
        wanted = couplings and bool(config.nac_pairs)
        graph = self._graph(torch.as_tensor(positions, device=self._device), potential.cutoff)
        results = potential(
            graph, states=torch.as_tensor(states, device=self._device), couplings=wanted,
            properties=bool(config.soc_pairs or (couplings and config.dipole_pairs)),
        )  # fmt: skip

        def array(name: str) -> np.ndarray | None:
            return results[name].double().cpu().numpy() if name in results else None

        energies, forces, nac, soc, dipole, vectors = map(
            array, ("energy", "forces", "nac", "soc_magnitude", "dipole", "eigenvectors")
        )
        assert energies is not None and forces is not None
        if nac is not None:
            nac = _all_pairs(nac.reshape(count, num_atoms, -1, 3), config.nac_pairs, self.num_states, axis=2)
        return Surfaces(
            energies=energies,
            forces=forces.reshape(count, num_atoms, 3),
            nac=nac,
            soc_magnitude=None if soc is None else _all_pairs(soc, config.soc_pairs, self.num_states, axis=1),
            dipole=None if dipole is None else _all_pairs(dipole, config.dipole_pairs, self.num_states, axis=1),
            eigenvectors=vectors,
            continuous_phases=vectors is None,  # a network's couplings are smooth functions of the positions
        )

    def _mean(self, members: list[Surfaces]) -> Surfaces:
        if len(members) == 1:
            return members[0]
        aligned = [members[0], *(with_signs_of(members[0], each) for each in members[1:])]
        mean = aligned[0].mapped(lambda *arrays: np.mean(arrays, axis=0), *aligned[1:])
        deviations = np.stack([each.forces for each in aligned]).std(axis=0, ddof=1)
        return Surfaces(mean.energies, mean.forces, mean.nac, mean.soc_magnitude, mean.dipole,
                        disagreement=largest_deviation(deviations), continuous_phases=members[0].continuous_phases)

    def _graph(self, positions: Tensor, cutoff: float) -> Graph:
        """All trajectories as one graph. Every pair of a molecule's atoms is looked at: that costs less than to keep a list."""
        count, num_atoms = positions.shape[:2]
        first, second = torch.triu_indices(num_atoms, num_atoms, 1, device=positions.device)
        squares = (positions[:, second] - positions[:, first]).square().sum(dim=2)
        row, pair = (squares < cutoff**2).nonzero(as_tuple=True)
        offset = row * num_atoms
        return Graph(
            positions=positions.reshape(-1, 3),
            atomic_numbers=torch.as_tensor(self.atomic_numbers, device=positions.device).repeat(count),
            batch=torch.arange(count, device=positions.device).repeat_interleave(num_atoms),
            pairs=torch.stack((offset + first[pair], offset + second[pair])),
            cutoff=cutoff,
            num_graphs=count,
        )


def _prepared(potential: Potential, device: str | torch.device | None, dtype: str | None) -> Potential:
    """The potential on the device, in the dtype and ready to be asked; the caller's own stays as it is."""
    target = potential.dtype if dtype is None else getattr(torch, dtype)
    place = next(potential.parameters()).device if device is None else torch.device(device)
    if target == potential.dtype and place == next(potential.parameters()).device and not potential.training:
        return potential
    return copy.deepcopy(potential).to(place, target).eval()


def _all_pairs(values: np.ndarray, pairs: Sequence[tuple[int, int]], num_states: int, *, axis: int) -> np.ndarray:
    """Values of some pairs as those of all pairs i < j, zero where there is none; permanent ones (i = j) are left out."""
    index = pair_index(num_states)
    shape = list(values.shape)
    shape[axis] = len(state_pairs(num_states))
    result = np.zeros(shape)
    kept = [k for k, (i, j) in enumerate(pairs) if i != j]
    places = [int(index[pairs[k]]) for k in kept]
    np.moveaxis(result, axis, 0)[places] = np.moveaxis(values, axis, 0)[kept]
    return result
