"""FrameBlock: frames of one file that have the same atoms and the same quantities, as columns of the native file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class FrameBlock:
    """F consecutive frames of one file; N atoms.

    ``columns`` are arrays ``[F, ...]`` with the names, shapes and units of mlff.properties, floats as f8; energy and
    forces have as many states as the file says, which other blocks of the file may exceed.
    """

    numbers: np.ndarray  #: i2 [N]
    columns: dict[str, np.ndarray]
    trajectories: list[str | None]  #: F names
    masses: tuple[float, ...] | None = None  #: amu; None: the standard ones
    charge: float | None = None  #: e; None: not said
    level_of_theory: str = ""

    def __len__(self) -> int:
        return len(self.columns["positions"])


def lacking(columns: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Bool [F]: frames that have the ``energy`` or ``forces`` of no state at all."""
    if name not in columns:
        return np.ones(len(columns["positions"]), dtype=bool)
    finite = np.isfinite(columns[name])
    return ~(finite.all(axis=(1, 3)) if name == "forces" else finite).any(axis=1)
