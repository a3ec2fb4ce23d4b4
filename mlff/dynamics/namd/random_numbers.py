"""Random numbers that belong to a trajectory and a step, not to the order in which they are drawn."""

from __future__ import annotations

import numpy as np

BLOCK = 256
"""Numbers drawn at a time."""


class HopNumbers:
    """Uniform numbers in [0, 1): that of a trajectory's step follows from seed, trajectory and step alone.

    So a trajectory is the same in any batch, and a restart needs no generator's state.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._blocks: dict[int, tuple[int, np.ndarray]] = {}

    def __call__(self, trajectories: np.ndarray, step: int) -> np.ndarray:
        """``[T]``, for the trajectories of these numbers (not negative)."""
        block, place = divmod(step, BLOCK)
        return np.array([self._block(int(each), block)[place] for each in trajectories])

    def _block(self, trajectory: int, block: int) -> np.ndarray:
        kept = self._blocks.get(trajectory)
        if kept is None or kept[0] != block:
            source = np.random.Philox(np.random.SeedSequence([self.seed, trajectory, block]))
            kept = self._blocks[trajectory] = (block, np.random.Generator(source).random(BLOCK))
        return kept[1]
