"""What every model is: a graph in, features of every atom out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import nn

from ..graph import Graph, GraphConfig
from ..nn import Features

MAX_ATOMIC_NUMBER = 118
LARGEST_SIZE = 100_000
"""Of features, layers and functions; far more than any memory holds."""

Symmetry = Literal["O(3)", "SO(3)", "none"]


class ModelConfig(BaseModel):
    """Settings that every model has; each model's own stand beside it, in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=5.0, ge=0.1)
    """Å; an atom sees the atoms nearer than this."""
    num_features: int = Field(default=128, gt=0)
    """Length F of an atom's scalar features."""
    default_graph: ClassVar[GraphConfig] = GraphConfig()
    """How atoms are connected where nothing is said of it."""
    topological: ClassVar[bool] = False
    """Whether the features know which atoms are connected, and nothing of where they are: no forces follow from them."""

    @field_validator("*")
    @classmethod
    def _check_size(cls, value: Any) -> Any:
        if isinstance(value, int) and value > LARGEST_SIZE:
            raise ValueError(f"must be at most {LARGEST_SIZE}; got {value}")
        return value

    def for_species(self, species: Sequence[int]) -> ModelConfig:
        """The settings for data with these elements, ascending atomic numbers; the same for a model that takes any.

        Raises:
            ValueError: the settings name elements, and some of the data's are not among them.
        """
        return self


class Model(nn.Module, ABC):
    """A map from a graph to features of its atoms."""

    config: ModelConfig

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.config.cutoff

    @property
    def num_features(self) -> int:
        """Length of ``Features.scalar`` of one atom."""
        return self.config.num_features

    @property
    def num_vectors(self) -> int:
        """Number of vectors in ``Features.vector`` of one atom; 0: it has none."""
        return 0

    @property
    def symmetry(self) -> Symmetry:
        """The group of rotations (and, for O(3), reflections) that leaves the scalar features unchanged."""
        return "O(3)"

    @property
    def linear_readout(self) -> bool:
        """Whether the energy is a linear function of the scalars, as where they come out of a model's own readout network."""
        return False

    @abstractmethod
    def forward(self, graph: Graph) -> Features:
        """Features of every atom, in the dtype of the model's weights."""
