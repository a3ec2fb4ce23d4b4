"""What the adapters to models of other packages share: the elements they are built for, and constants that stay exact.

The package is imported when a model is built, never before, so that settings can be read and checked without it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor

from .model import MAX_ATOMIC_NUMBER, Model, ModelConfig

PICKLE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class ElementConfig(ModelConfig):
    """Settings of a model that has weights, and inputs, for each element."""

    species: tuple[int, ...] = ()
    """Atomic numbers that the model is built for; empty: those of the data that it is trained on."""
    average_neighbors: float | None = Field(default=None, gt=0)
    """What sums over neighbours are divided by (or by its root); None: their average over training frames."""

    @field_validator("species")
    @classmethod
    def _ascending(cls, species: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [z for z in species if not 1 <= z <= MAX_ATOMIC_NUMBER]
        if wrong:
            raise ValueError(f"{wrong} are no atomic numbers; give numbers from 1 to {MAX_ATOMIC_NUMBER}")
        return tuple(sorted(set(species)))

    def for_species(self, species: Sequence[int]) -> ModelConfig:
        """With the data's elements, where none were named."""
        if not self.species:
            return self.model_copy(update={"species": tuple(sorted(set(species)))})
        unknown = sorted(set(species) - set(self.species))
        if unknown:
            raise ValueError(f"the model was built for the elements Z = {list(self.species)} (`model.species`), and the data "
                             f"hold Z = {unknown} too; its weights cannot take them: name all elements in `model.species` "
                             f"when the model is trained first")
        return self


class Adapter(Model):
    """A model made of another package's modules."""

    def index_elements(self, species: Sequence[int]) -> None:
        """Remember the place of each element among the package's types."""
        if not species:
            raise ValueError("`species` is empty; name the atomic numbers that the model is for, such as (1, 6, 7, 8)")
        places = torch.zeros(MAX_ATOMIC_NUMBER + 1, dtype=torch.int64)
        places[list(species)] = torch.arange(len(species))
        self.register_buffer("places", places, persistent=False)

    def element_index(self, numbers: Tensor) -> Tensor:
        """Place of every atom's element, int64 ``[N]``; which elements may come is the potential's to check."""
        places = self.get_buffer("places")
        return places.index_select(0, numbers)

    def keep_constants(self) -> None:
        """Remember the constants (Clebsch-Gordan coefficients, ...) in float64, as they are now.

        Casting to float32 and back would leave them rounded, and the model invariant to 1e-8 only.
        """
        self._constants = {
            name: value.detach().clone() for name, value in self.named_buffers() if value.is_floating_point()
        }

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        for name, value in self.named_buffers():
            constant = getattr(self, "_constants", {}).get(name)
            if constant is not None and value.device.type != "meta":
                with torch.no_grad():
                    value.copy_(constant)
        return self


@contextmanager
def building(dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """Build modules whose constants are computed in the default dtype with another one; everything is as before afterwards."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def required(module: str, *, model: str, extra: str) -> ModuleType:
    """A module of an optional package, or an ImportError that says how to install it.

    mace switches off torch's guard against pickles (an environment variable) when it is imported: that is undone.
    """
    before = os.environ.get(PICKLE_SWITCH)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"the model `{model}` needs a package that cannot be imported ({error}); install it with: "
                          f'pip install "mlff[{extra}]"') from error
    finally:
        if before is None:
            os.environ.pop(PICKLE_SWITCH, None)


def polar_vectors(features: Tensor, irreps: Any) -> Tensor | None:
    """The vectors ``[N, 3, F']`` among e3nn features ``[N, dim]``, polar ones alone; None where there are none.

    The components of e3nn's ``1o`` are x, y and z.
    """
    parts = [
        features[:, place].unflatten(1, (multiplicity, 3)).transpose(1, 2)
        for place, (multiplicity, irrep) in zip(irreps.slices(), irreps)
        if irrep.l == 1 and irrep.p == -1
    ]
    return torch.cat(parts, dim=2) if parts else None
