"""How many neighbours an atom of the training frames has: what models that divide sums by that number are built with."""

from __future__ import annotations

import numpy as np

from mlff.data import HDF5Dataset
from mlff.data.selection import spread
from mlff.graph import batch_graph
from mlff.models import ModelConfig
from mlff.models.adapter import ElementConfig

FRAMES = 64
"""Training frames that are counted."""


def with_average_neighbors(settings: ModelConfig, dataset: HDF5Dataset, train: np.ndarray) -> ModelConfig:
    """The settings with the average of the training frames, where the model wants one and none was given."""
    if not isinstance(settings, ElementConfig) or settings.average_neighbors is not None:
        return settings
    graph = batch_graph(dataset.batch(spread(train, FRAMES)), settings.cutoff)
    average = max(2 * graph.num_pairs / graph.num_atoms, 1.0)  # one that never sees a neighbour is divided by nothing
    return settings.model_copy(update={"average_neighbors": round(average, 2)})
