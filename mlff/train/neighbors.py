"""What the distances in the training frames say: how many neighbours an atom has, by which some models divide their sums, and
what a user is to know of cutoff and prior."""

from __future__ import annotations

import numpy as np

from mlff.data import HDF5Dataset
from mlff.data.selection import spread
from mlff.graph import Graph, GraphConfig, batch_graph, connect
from mlff.graph.covalent_radii import COVALENT_RADII
from mlff.models import ModelConfig
from mlff.models.adapter import ElementConfig
from mlff.potential.potential import Potential
from mlff.potential.zbl import zbl_outer_radius, zbl_pair_energy

FRAMES = 64
"""Training frames that are looked at."""


def with_average_neighbors(
    settings: ModelConfig, connection: GraphConfig, dataset: HDF5Dataset, train: np.ndarray
) -> ModelConfig:
    """The settings with the average of the training frames, where the model wants one and none was given."""
    if not isinstance(settings, ElementConfig) or settings.average_neighbors is not None:
        return settings
    graph = connect(_some_frames(dataset, train, settings.cutoff), connection)
    average = max(2 * graph.num_pairs / graph.num_atoms, 1.0)  # one that never sees a neighbour is divided by nothing
    return settings.model_copy(update={"average_neighbors": round(average, 2)})


def geometry_note(potential: Potential, dataset: HDF5Dataset, train: np.ndarray) -> str | None:
    """A line that says where energies jump, that there are no forces, where the cutoff is too short for the connections, and
    that the prior acts in the data; None: nothing to say."""
    model = potential.config.model
    no_forces = f"{model.model_dump()['name']} knows which atoms are connected and not where they are: it learns energies alone"
    notes = [
        potential.config.discontinuity(), no_forces if model.topological else None, _too_short(potential, dataset, train),
        _repelled(potential, dataset, train) if potential.config.zbl else None,
    ]  # fmt: skip
    said = [note for note in notes if note is not None]
    return f"Note: {'; '.join(said)}" if said else None


def _too_short(potential: Potential, dataset: HDF5Dataset, train: np.ndarray) -> str | None:
    config, cutoff = potential.config.graph, potential.cutoff
    if config.kind == "knn":
        graph = _some_frames(dataset, train, cutoff)
        few = float((graph.pairs.flatten().bincount(minlength=graph.num_atoms) < config.neighbors).double().mean())
        if few > 0:
            return (f"{100 * few:.1f} % of the atoms have fewer than {config.neighbors} others within the cutoff of "
                    f"{cutoff:g} Å, and keep those")
    elif config.kind == "bonds":
        longest = 2 * config.tolerance * max(COVALENT_RADII[z] for z in potential.species)
        if longest > cutoff:
            return f"bonds may be up to {longest:.2f} Å long, and those beyond the cutoff of {cutoff:g} Å are not seen"
    return None


def _repelled(potential: Potential, dataset: HDF5Dataset, train: np.ndarray) -> str | None:
    graph = _some_frames(dataset, train, zbl_outer_radius(potential.species))
    i, j = graph.pairs
    energies = zbl_pair_energy(graph.pair_vectors().norm(dim=1), graph.atomic_numbers[i], graph.atomic_numbers[j])
    if not bool((energies > 0).any()):
        return None
    frames, largest = int(graph.batch[i[energies > 0]].unique().numel()), float(energies.max())
    return (f"{frames} of {graph.num_graphs} training frames that were looked at have atoms so close that the ZBL prior repels "
            f"them, by up to {largest:.2g} eV; where the reference has no such repulsion, as a model Hamiltonian, set "
            f"`potential.zbl=false`")


def _some_frames(dataset: HDF5Dataset, train: np.ndarray, cutoff: float) -> Graph:
    return batch_graph(dataset.batch(spread(train, FRAMES)), cutoff)
