"""The potential: energies of the electronic states of a structure, and their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from ..graph import Graph, GraphConfig, connect
from ..heads import AtomVectors, CouplingHead, DiabaticHead, DipoleHead, EnergyHead, SpinOrbitHead, symmetric_matrices
from ..models import MAX_ATOMIC_NUMBER, ModelConfig, build_model
from ..nn import Features, scatter_sum
from .config import ElectronicSettings, PotentialConfig
from .eigen import over_gap
from .inputs import places, strained
from .surfaces import DiabaticSurfaces, Surfaces, derivatives, gaps
from .zbl import zbl_outer_radius, zbl_pair_energy

VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
"""Rows and columns of xx, yy, zz, yz, xz, xy."""


class Potential(nn.Module):
    """Energy of every state, ``E_s = sum over atoms of (reference + scale * network_s) + prior``, and its derivatives.

    Reference energies and sums over atoms are in float64, whatever the dtype of the weights.
    """

    def __init__(self, config: PotentialConfig) -> None:
        super().__init__()
        self.config = config
        self.model = build_model(config.model)
        self.head = EnergyHead(self.model.num_features, config.num_states, linear=self.model.linear_readout)
        self._add_heads(config)
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
                f"raise the cutoff or leave the prior out (`potential.zbl: false` in a training configuration)"
            )

    def _add_heads(self, config: PotentialConfig) -> None:
        """Heads beyond the energy, and vectors for them to read."""
        self.vectors: AtomVectors | None = None
        self.coupling_head: CouplingHead | None = None
        self.diabatic_head: DiabaticHead | None = None
        self.dipole_head: DipoleHead | None = None
        self.soc_head: SpinOrbitHead | None = None
        num_features, odd = self.model.num_features, config.odd(config.nac_pairs)
        if config.couplings is not None:
            self.coupling_head = CouplingHead(num_features, odd)
        elif config.nac_pairs:
            self.diabatic_head = DiabaticHead(num_features, odd)
            self._matrices = symmetric_matrices(config.nac_pairs, config.num_states)
        if config.dipole_pairs:
            # Diabatic states have all of their elements, from which eigenvectors make those of any pair.
            pairs = config.dipole_pairs if self.diabatic_head is None else config.all_dipole_pairs
            self.dipole_head = DipoleHead(num_features, pairs, config.odd(pairs), config.total_charge)
            self._dipole_matrices = symmetric_matrices(pairs, config.num_states)
        if config.soc_pairs:
            self.soc_head = SpinOrbitHead(num_features, len(config.soc_pairs))
        if self.coupling_head is not None or self.dipole_head is not None or (self.diabatic_head is not None and any(odd)):
            self.vectors = AtomVectors(num_features, self.model.num_vectors, self.cutoff)

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
        graph: GraphConfig | None = None,
        **electronic: Unpack[ElectronicSettings],
    ) -> Potential:
        """A potential with fresh weights, drawn from torch's global generator.

        Args:
            model: settings of the model; see ``mlff.models.model_config``.
            species: atomic numbers in the data.
            atomic_energies: reference energy of each element, eV; zero by default.
            num_states: electronic states.
            scale: what the network's output is multiplied by, eV.
            zbl: whether to add the ZBL prior.
            graph: how atoms are connected; None: as the model has it.
            electronic: what `PotentialConfig` has of the states: ``multiplicities``, ``couplings``, ``surfaces``, ...

        Raises:
            ValueError: settings that are not known, out of range, or at odds with each other.
        """
        species = tuple(sorted({int(z) for z in species}))
        given = dict.fromkeys(species, 0.0) if atomic_energies is None else atomic_energies
        energies = {int(z): float(energy) for z, energy in given.items()}
        labelled = electronic.get("labelled_atoms")
        model = model.for_species(species if labelled is None else tuple(range(1, len(labelled) + 1)))
        settings = {"num_states": num_states, "species": species, "atomic_energies": energies, "scale": scale, "zbl": zbl}
        try:
            return cls(PotentialConfig(model=model, graph=graph, **settings, **electronic))
        except ValidationError as error:
            found = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
            problems = "; ".join(f"{where}: {what}" if where else what for where, what in found)
            raise ValueError(f"the settings of the potential are not valid: {problems}") from None

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
        self,
        graph: Graph,
        *,
        forces: bool = True,
        stress: bool = False,
        states: Sequence[int] | Tensor | None = None,
        couplings: bool = False,
        properties: bool = True,
    ) -> dict[str, Tensor]:
        """Energies, their derivatives, and what heads know of the states, for B structures of N atoms in all.

        Args:
            graph: built with the potential's cutoff.
            forces: whether to compute forces.
            stress: whether to compute the stress; every structure must have a cell.
            states: indices of the states whose derivatives are wanted (all by default), or an int64 tensor ``[B]`` with one
                state for each structure.
            couplings: whether to compute the couplings of ``config.nac_pairs``.
            properties: whether to compute dipoles and spin-orbit couplings, where the potential has heads for them.

        Returns:
            ``energy`` float64 ``[B, S]`` eV, ``energies`` float64 ``[N, S]`` eV (of every atom), ``forces``
            ``[N, S', 3]`` eV/Å = -dE/dr, and ``stress`` ``[B, S', 6]`` eV/Å^3, dE/dstrain / volume in the order xx, yy,
            zz, yz, xz, xy; S' are ``states`` (1 where each structure has its own). ``interstate_coupling`` ``[N, P, 3]`` eV/Å
            = <i|dH/dR|j> and ``nac`` ``[N, P, 3]`` 1/Å = <i|d/dR|j>, of signs that are arbitrary for each state and
            structure (``over_gap`` tells what happens below 1e-6 eV). ``dipole`` ``[B, Q, 3]`` e Å (not of periodic
            structures) and ``soc_magnitude`` ``[B, R]`` eV, float64. Diabatic surfaces add ``diabatic_energy`` and
            ``eigenvectors`` (columns), ``[B, S, S]``. All can be differentiated again in training mode.

        Raises:
            ValueError: a graph with too small a cutoff or without the cells for the stress, couplings where there are none.
        """
        if graph.cutoff < self.cutoff:
            raise ValueError(
                f"the graph was built for a cutoff of {graph.cutoff} Å but the model's is {self.cutoff} Å; "
                f"build it with `cutoff={self.cutoff}`"
            )
        if stress and graph.cell is None:
            raise ValueError("`stress` was asked for but the structures have no cell")
        if couplings and not self.config.nac_pairs:
            raise ValueError("`couplings` were asked for, but this potential knows none; train one with couplings or with "
                             "diabatic surfaces")
        differentiated = forces or stress or (couplings and self.config.surfaces == "diabatic")
        with torch.set_grad_enabled(differentiated or torch.is_grad_enabled()):
            inputs, strain = [graph.positions], None
            if differentiated:
                positions = graph.positions.detach().clone().requires_grad_(True)
                strain = positions.new_zeros(graph.num_graphs, 3, 3, requires_grad=True) if stress else None
                inputs = [positions] if strain is None else [positions, strain]
            moved = strained(graph, inputs[0], strain)
            connected = self._connected(moved)
            features = self._features(connected)
            surfaces = self._surfaces(features, moved)
            results = surfaces.results()
            if couplings and self.coupling_head is not None:
                results |= self._couplings(self.coupling_head(features, connected), surfaces, graph)
            if properties:
                results |= self._properties(features, connected, surfaces)
            if differentiated:
                results |= self._derivatives(surfaces, graph, inputs, states if forces or stress else (), forces, couplings)
        return results if self.training else {name: value.detach() for name, value in results.items()}

    def atom_energies(self, graph: Graph) -> Tensor:
        """Energy of every atom in every state, eV, float64 ``[N, S]``; differentiable in the graph's positions."""
        return self._surfaces(self._features(self._connected(graph)), graph).energies

    def descriptors(self, graph: Graph) -> Tensor:
        """What the model's scalar features say of every atom and its surroundings, ``[N, F]``."""
        return self._features(self._connected(graph)).scalar

    def _connected(self, graph: Graph) -> Graph:
        """What the model and the heads see: the pairs within the model's cutoff that connect atoms. The prior sees all."""
        if self.config.graph.kind == "radius":
            return graph
        return connect(replace(graph, cutoff=self.cutoff), self.config.graph)

    def _features(self, graph: Graph) -> Features:
        """Of the model, with vectors for the heads where there are heads that read them."""
        if self.config.labelled_atoms is None:
            features = self.model(graph)
        else:
            features = self.model(replace(graph, atomic_numbers=places(graph, self.config.labelled_atoms)))
        return features if self.vectors is None else Features(features.scalar, self.vectors(features, graph))

    def _surfaces(self, features: Features, graph: Graph) -> Surfaces:
        network = self.head(features).double() * self.config.scale
        energies = network + self._reference(graph.atomic_numbers)
        if self.config.zbl:
            energies = energies + self._prior(graph).unsqueeze(1)
        if self.diabatic_head is None:
            return Surfaces.of(energies, graph)
        elements = self.diabatic_head(features).double() * self.config.scale
        matrices = torch.diag_embed(energies) + torch.tensordot(elements, self._matrices.to(elements.device), dims=1)
        return DiabaticSurfaces.diagonalised(matrices, graph, self.config.blocks)

    def _derivatives(
        self, surfaces: Surfaces, graph: Graph, inputs: list[Tensor], states: Sequence[int] | Tensor | None, forces: bool,
        couplings: bool,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Forces, stress and the couplings of diabatic surfaces: one backward pass for each state and pair."""
        if isinstance(states, Tensor):
            factors = [surfaces.factor(states)]
        else:
            factors = [surfaces.factor(state) for state in (range(self.num_states) if states is None else states)]
        num_states = len(factors)
        if couplings and isinstance(surfaces, DiabaticSurfaces):
            factors += [surfaces.coupling(i, j) for i, j in self.config.nac_pairs]
        by_positions, *by_strain = derivatives(surfaces.output, factors, inputs, again=self.training)
        results: dict[str, Tensor] = {}
        if forces:
            results["forces"] = -by_positions[:num_states].transpose(0, 1).to(self.dtype)
        for gradient in by_strain:
            assert graph.cell is not None
            volume = torch.linalg.det(graph.cell).abs()
            tensor = gradient[:num_states].transpose(0, 1)
            tensor = 0.5 * (tensor + tensor.mT) / volume[:, None, None, None]
            results["stress"] = tensor[:, :, VOIGT[0], VOIGT[1]].to(self.dtype)
        if len(factors) > num_states:
            interstate = by_positions[num_states:].transpose(0, 1)
            results["interstate_coupling"] = interstate.to(self.dtype)
            gap = gaps(surfaces.energy, self.config.nac_pairs, graph)
            results["nac"] = over_gap(interstate, gap).to(self.dtype)
        return results

    def _couplings(self, learned: Tensor, surfaces: Surfaces, graph: Graph) -> dict[str, Tensor]:
        """Both kinds of couplings from the one that the head learned."""
        gap = gaps(surfaces.energy, self.config.nac_pairs, graph)
        if self.config.couplings == "direct":
            interstate, nac = learned * gap, learned
        else:
            interstate = learned * self.config.scale
            nac = over_gap(interstate, gap)
        return {"interstate_coupling": interstate.to(self.dtype), "nac": nac.to(self.dtype)}

    def _properties(self, features: Features, graph: Graph, surfaces: Surfaces) -> dict[str, Tensor]:
        """Dipoles and spin-orbit couplings."""
        results: dict[str, Tensor] = {}
        if self.dipole_head is not None and (graph.pbc is None or not graph.pbc.any()):
            dipole = self.dipole_head(features, graph)
            if isinstance(surfaces, DiabaticSurfaces):
                dipole = surfaces.turned(dipole, self._dipole_matrices.to(dipole.device), self.config.dipole_pairs)
            results["dipole"] = dipole
        if self.soc_head is not None:
            results["soc_magnitude"] = self.soc_head(features, graph)
        return results

    def reference_energies(self) -> NDArray[np.float64]:
        """Reference energy of an atom by its atomic number, eV; zero for elements that the potential does not know."""
        return self._table.cpu().numpy().copy()

    def _reference(self, numbers: Tensor) -> Tensor:
        """Reference energy of every atom, float64 ``[N, 1]``. The table is no buffer, as float32 would round it to 1e-4 eV."""
        if self._table.device != numbers.device:
            self._table = self._table.to(numbers.device)
        return self._table[numbers].unsqueeze(1)

    def _prior(self, graph: Graph) -> Tensor:
        i, j = graph.pairs
        distances = graph.pair_vectors(torch.float64).norm(dim=1)
        half = 0.5 * zbl_pair_energy(distances, graph.atomic_numbers[i], graph.atomic_numbers[j])
        return scatter_sum(torch.cat((half, half)), torch.cat((i, j)), graph.num_atoms)
