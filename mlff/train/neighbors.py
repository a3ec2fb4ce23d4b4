"""How many neighbours an atom of the training frames has: what models that divide sums by that number are built with."""

from __future__ import annotations

import numpy as np

from mlff.data import HDF5Dataset
from mlff.data.selection import spread
from mlff.graph import Graph, GraphConfig, batch_graph, connect
from mlff.graph.covalent_radii import COVALENT_RADII
from mlff.models import ModelConfig
from mlff.models.adapter import ElementConfig
from mlff.potential.potential import Potential

FRAMES = 64
"""Training frames that are counted."""


def with_average_neighbors(
    settings: ModelConfig, connection: GraphConfig, dataset: HDF5Dataset, train: np.ndarray
) -> ModelConfig:
    """The settings with the average of the training frames, where the model wants one and none was given."""
    if not isinstance(settings, ElementConfig) or settings.average_neighbors is not None:
        return settings
    graph = connect(_some_frames(dataset, train, settings.cutoff), connection)
    average = max(2 * graph.num_pairs / graph.num_atoms, 1.0)  # one that never sees a neighbour is divided by nothing
    return settings.model_copy(update={"average_neighbors": round(average, 2)})


def connection_warning(potential: Potential, dataset: HDF5Dataset, train: np.ndarray) -> str | None:
    """A line that says where energies jump, that there are no forces, and where the cutoff is too short for the connections;
    None: nothing to say."""
    model = potential.config.model
    no_forces = f"{model.model_dump()['name']} knows which atoms are connected and not where they are: it learns energies alone"
    notes = [potential.config.discontinuity(), no_forces if model.topological else None, _too_short(potential, dataset, train)]
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


def _some_frames(dataset: HDF5Dataset, train: np.ndarray, cutoff: float) -> Graph:
    return batch_graph(dataset.batch(spread(train, FRAMES)), cutoff)
