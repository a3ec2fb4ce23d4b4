"""A measured quantity as its median and quartiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements: a mean would follow the disturbances."""

    median: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        lower, median, upper = np.quantile(np.fromiter(values, dtype=float), (0.25, 0.5, 0.75))
        return cls(float(median), float(lower), float(upper))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lower_quartile:.3g}-{self.upper_quartile:.3g})"
