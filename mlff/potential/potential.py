"""The potential: energies of the electronic states of a structure, and their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from torch import Tensor, nn

from ..graph import Graph
from ..heads import EnergyHead
from ..models import MAX_ATOMIC_NUMBER, ModelConfig, build_model, model_config
from ..nn import scatter_sum
from .zbl import zbl_outer_radius, zbl_pair_energy

VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
"""Rows and columns of xx, yy, zz, yz, xz, xy."""


def _checked_model(value: Any) -> ModelConfig:
    if isinstance(value, ModelConfig):
        return value
    options = dict(value)
    return model_config(options.pop("name", ""), **options)


class PotentialConfig(BaseModel):
    """All of a potential but its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_checked_model)]
    num_states: int = Field(default=1, ge=1)
    species: tuple[int, ...]
    """Atomic numbers that the potential was trained on; it is asked about no others."""
    atomic_energies: dict[int, float]
    """Reference energy of an atom of each element, eV; the same for all states."""
    scale: float = Field(default=1.0, gt=0)
    """What the network's output is multiplied by, eV; the RMS of the forces in eV/Å is a good choice."""
    zbl: bool = False
    """Add the screened nuclear repulsion of Ziegler, Biersack and Littmark at short distances."""


class Potential(nn.Module):
    """Energy of every state, ``E_s = sum over atoms of (reference + scale * network_s) + prior``, and its derivatives.

    Reference energies and sums over atoms are in float64, whatever the dtype of the weights.
    """

    def __init__(self, config: PotentialConfig) -> None:
        super().__init__()
        self.config = config
        self.model = build_model(config.model)
        self.head = EnergyHead(self.model.num_features, config.num_states, linear=self.model.linear_readout)
        wrong = [z for z in config.species if not 1 <= z <= MAX_ATOMIC_NUMBER]
        if wrong or not config.species:
            raise ValueError(f"`species` is {config.species}; expected atomic numbers from 1 to {MAX_ATOMIC_NUMBER}")
        missing = [z for z in config.species if z not in config.atomic_energies]
        if missing:
            raise ValueError(f"`atomic_energies` has no entry for the elements {missing}; give one for each of `species`")
        self._table = torch.zeros(MAX_ATOMIC_NUMBER + 1, dtype=torch.float64)
        self._table[list(config.atomic_energies)] = torch.tensor(list(config.atomic_energies.values()), dtype=torch.float64)
        if config.zbl and zbl_outer_radius(config.species) > self.cutoff:
            raise ValueError(
                f"the ZBL prior reaches {zbl_outer_radius(config.species):.2f} Å but the cutoff is {self.cutoff} Å; "
                f"raise the cutoff or leave the prior out"
            )

    @classmethod
    def build(
        cls,
        model: ModelConfig,
        *,
        species: Sequence[int],
        atomic_energies: Mapping[int, float] | None = None,
        num_states: int = 1,
        scale: float = 1.0,
        zbl: bool = False,
    ) -> Potential:
        """A potential with fresh weights, drawn from torch's global generator.

        Args:
            model: settings of the model; see ``mlff.models.model_config``.
            species: atomic numbers in the data.
            atomic_energies: reference energy of each element, eV; zero by default.
            num_states: electronic states.
            scale: what the network's output is multiplied by, eV.
            zbl: whether to add the ZBL prior.
        """
        species = tuple(sorted({int(z) for z in species}))
        given = dict.fromkeys(species, 0.0) if atomic_energies is None else atomic_energies
        energies = {int(z): float(energy) for z, energy in given.items()}
        model = model.for_species(species)
        return cls(
            PotentialConfig(
                model=model, num_states=num_states, species=species, atomic_energies=energies, scale=scale, zbl=zbl
            )
        )

    @property
    def cutoff(self) -> float:
        """Å; build graphs with this one."""
        return self.model.cutoff

    @property
    def num_states(self) -> int:
        return self.config.num_states

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that the potential was trained on."""
        return self.config.species

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    def forward(
        self, graph: Graph, *, forces: bool = True, stress: bool = False, states: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Energies and their derivatives for B structures of N atoms in all.

        Args:
            graph: built with the potential's cutoff.
            forces: whether to compute forces.
            stress: whether to compute the stress; every structure must have a cell.
            states: indices of the states whose derivatives are wanted; all by default.

        Returns:
            ``energy`` float64 ``[B, S]`` eV, ``energies`` float64 ``[N, S]`` eV (of every atom), ``forces``
            ``[N, S', 3]`` eV/Å = -dE/dr, and ``stress`` ``[B, S', 6]`` eV/Å^3, dE/dstrain / volume in the order xx, yy,
            zz, yz, xz, xy; S' are ``states``. Derivatives can be differentiated again in training mode.
        """
        if graph.cutoff < self.cutoff:
            raise ValueError(
                f"the graph was built for a cutoff of {graph.cutoff} Å but the model's is {self.cutoff} Å; "
                f"build it with `cutoff={self.cutoff}`"
            )
        if not (forces or stress):
            energies = self.atom_energies(graph)
            return {"energy": scatter_sum(energies, graph.batch, graph.num_graphs), "energies": energies}
        if stress and graph.cell is None:
            raise ValueError("`stress` was asked for but the structures have no cell")
        with torch.enable_grad():
            positions = graph.positions.detach().clone().requires_grad_(True)
            strain = positions.new_zeros(graph.num_graphs, 3, 3, requires_grad=True) if stress else None
            energies = self.atom_energies(_strained(graph, positions, strain))
            energy = scatter_sum(energies, graph.batch, graph.num_graphs)
            wanted = tuple(range(self.num_states) if states is None else states)
            inputs = [positions] if strain is None else [positions, strain]
            per_state = [
                # The last backward pass frees the graph: compiled models need that, and it saves memory.
                torch.autograd.grad(
                    energy[:, s].sum(), inputs, create_graph=self.training, retain_graph=self.training or k + 1 < len(wanted)
                )
                for k, s in enumerate(wanted)
            ]
        results = {"energy": energy, "energies": energies}
        if forces:
            results["forces"] = -torch.stack([gradients[0] for gradients in per_state], dim=1).to(self.dtype)
        if strain is not None:
            assert graph.cell is not None
            volume = torch.linalg.det(graph.cell).abs()
            tensor = torch.stack([gradients[1] for gradients in per_state], dim=1)
            tensor = 0.5 * (tensor + tensor.mT) / volume[:, None, None, None]
            results["stress"] = tensor[:, :, VOIGT[0], VOIGT[1]].to(self.dtype)
        return results if self.training else {name: value.detach() for name, value in results.items()}

    def atom_energies(self, graph: Graph) -> Tensor:
        """Energy of every atom in every state, eV, float64 ``[N, S]``; differentiable in the graph's positions."""
        network = self.head(self.model(graph)).double() * self.config.scale
        energies = network + self._reference(graph.atomic_numbers)
        if self.config.zbl:
            energies = energies + self._prior(graph).unsqueeze(1)
        return energies

    def reference_energies(self) -> NDArray[np.float64]:
        """Reference energy of an atom by its atomic number, eV; zero for elements that the potential does not know."""
        return self._table.cpu().numpy().copy()

    def _reference(self, numbers: Tensor) -> Tensor:
        """Reference energy of every atom, float64 ``[N, 1]``.

        The table is no buffer, because casting the potential to float32 would round it to 1e-4 eV.
        """
        if self._table.device != numbers.device:
            self._table = self._table.to(numbers.device)
        return self._table[numbers].unsqueeze(1)

    def _prior(self, graph: Graph) -> Tensor:
        i, j = graph.pairs
        distances = graph.pair_vectors(torch.float64).norm(dim=1)
        half = 0.5 * zbl_pair_energy(distances, graph.atomic_numbers[i], graph.atomic_numbers[j])
        return scatter_sum(torch.cat((half, half)), torch.cat((i, j)), graph.num_atoms)


def _strained(graph: Graph, positions: Tensor, strain: Tensor | None) -> Graph:
    """The graph at these positions, deformed with its cell by ``1 + strain``, ``[B, 3, 3]``, symmetrised."""
    if strain is None:
        return replace(graph, positions=positions)
    assert graph.cell is not None
    deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + 0.5 * (strain + strain.mT)
    moved = (positions.unsqueeze(1) @ deformation.index_select(0, graph.batch)).squeeze(1)
    return replace(graph, positions=moved, cell=graph.cell @ deformation)
