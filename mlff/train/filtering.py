"""Filtering: the criteria of `data.filter`, applied to the parts of a split, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlff.data import HDF5Dataset
from mlff.train.data_config import FilterConfig


@dataclass(frozen=True)
class Filtering:
    """Criteria that were given, and the number of frames of each part of the split before and after them."""

    criteria: dict[str, Any]
    before: dict[str, int]
    after: dict[str, int]

    @property
    def description(self) -> dict[str, Any]:
        """As JSON values; empty without criteria."""
        if not self.criteria:
            return {}
        return {"filter": self.criteria, "frames_before_filter": self.before, "frames_after_filter": self.after}

    @property
    def message(self) -> str | None:
        """What was left of each part, in a sentence; None without criteria."""
        if not self.criteria:
            return None
        counts = ", ".join(f"{kept} of {self.before[part]} {part}" for part, kept in self.after.items())
        return f"data.filter ({criteria_text(self.criteria)}) keeps {counts} frames"


def filter_parts(
    dataset: HDF5Dataset, parts: dict[str, np.ndarray], config: FilterConfig
) -> tuple[dict[str, np.ndarray], Filtering]:
    """The frames of each part that meet the criteria.

    Raises:
        ValueError: a criterion that the data cannot answer; no frame to train or to validate on is left.
    """
    criteria = config.criteria
    kept = parts
    if criteria:
        try:
            kept = {part: dataset[indices].select(**criteria).indices for part, indices in parts.items()}
        except ValueError as error:
            raise ValueError(f"data.filter: {error}") from error
    for part in ("train", "val"):
        if len(kept[part]) == 0 and len(parts[part]):
            raise ValueError(f"none of the {len(parts[part])} {part} frames of `{dataset.files}` meets `data.filter` "
                             f"({criteria_text(criteria)}); a criterion is too narrow, or asks for what the frames lack")
    counts = [{part: len(indices) for part, indices in each.items()} for each in (parts, kept)]
    return kept, Filtering(criteria, *counts)


def criteria_text(criteria: dict[str, Any]) -> str:
    """Criteria as a user reads them: ``gap 0, 1, 0.5; time 0, 100``."""
    texts = {name: value if isinstance(value, tuple | list) else (value,) for name, value in criteria.items()}
    return "; ".join(f"{name} {', '.join(str(each) for each in value)}" for name, value in texts.items())
