"""Orbitals that CASSCF found, from which geometries nearby begin: in memory, and in a file for a run that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..aside import written_aside


@dataclass(frozen=True)
class Guess:
    """Orbitals ``[n, n]`` and states ``[S, a, b]`` (the vectors of PySCF) that were found at a geometry."""

    positions: np.ndarray
    """angstrom, ``[N, 3]``."""
    orbitals: np.ndarray
    states: np.ndarray


class Guesses:
    """What was found at the geometries last seen; the first, a reference, is never forgotten."""

    def __init__(self, found: list[Guess]) -> None:
        self.found = found

    def nearest(self, positions: np.ndarray) -> tuple[int, float]:
        """Which is nearest, and how far its farthest atom is away, angstrom."""
        distances = [float(np.abs(each.positions - positions).max()) for each in self.found]
        index = int(np.argmin(distances))
        return index, distances[index]

    def replace(self, index: int, found: Guess) -> None:
        """A trajectory has moved on: the new one takes the place of that which it began from, the reference excepted."""
        if index:
            del self.found[index]
        self.found.append(found)

    def forget(self, keep: int) -> None:
        """All but the newest ``keep`` and the reference."""
        del self.found[1:-keep]

    def save(self, path: Path) -> None:
        """Write them, aside first and then renamed."""
        arrays = {name: np.stack([getattr(each, name) for each in self.found]) for name in ("positions", "orbitals", "states")}
        with written_aside(path) as aside, open(aside, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Guesses:
        """Those of a file; a ValueError where it cannot be read."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = [stored[name] for name in ("positions", "orbitals", "states")]
            return cls([Guess(*each) for each in zip(*arrays, strict=True)])
        except Exception as error:  # a damaged zip raises one of many kinds
            raise ValueError(f"the orbitals in `{path}` cannot be read: {error}; give another file, or remove it") from error
