"""Noticing that a run has diverged, before its weights are worth nothing."""

from __future__ import annotations

import math

EXPLOSION = 1000.0
"""A loss averaged over about ``MEMORY`` steps that is so many times that of the first steps is divergence."""
MEMORY = 50


class TrainingDiverged(ValueError):
    """The loss became infinite, not a number, or far larger than at the start."""


class DivergenceWatch:
    """Sees the loss of the steps and says what is wrong with it."""

    def __init__(self) -> None:
        self.first = math.nan
        """Loss of the first steps; NaN before them."""
        self.smooth = math.nan
        """Running average of the loss."""

    def problem(self, loss: float, num_steps: int) -> str | None:
        """What is wrong, after `num_steps` steps with the mean loss `loss`; None where nothing is."""
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if math.isnan(self.first):
            self.first = self.smooth = loss
        self.smooth += (loss - self.smooth) * min(1.0, num_steps / MEMORY)
        if self.smooth > EXPLOSION * self.first:
            return f"the loss rose from {self.first:.3g} at the start to {self.smooth:.3g}"
        return None
