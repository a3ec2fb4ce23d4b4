"""The learning rate over a run that ends after its epochs or at its time limit, whichever comes first."""

from __future__ import annotations

import math

from mlff.train.config import ScheduleConfig


class Schedule:
    """Factor on the learning rate; its ``state`` is two numbers and a count, kept by the plateau schedule."""

    def __init__(self, config: ScheduleConfig, total_steps: int, max_seconds: float | None) -> None:
        self.config = config
        self.total_steps = total_steps
        self.max_seconds = max_seconds
        self.reduction = 1.0
        self.best = math.inf
        self.bad_epochs = 0

    def progress(self, step: int, elapsed: float) -> float:
        """How much of the run lies behind: by steps or by time (seconds), whichever is further; 0 to 1."""
        by_time = elapsed / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(step / self.total_steps, by_time))

    def factor(self, step: int, elapsed: float) -> float:
        """The factor for step number `step` (from 0), `elapsed` seconds after the start of the run.

        The warm-up takes its number of steps, but never more than a tenth of the run's.
        """
        warmup_steps = min(self.config.warmup_steps, self.total_steps // 10)
        warmup = min(1.0, (step + 1) / (warmup_steps + 1))
        if self.config.kind == "plateau":
            return warmup * self.reduction
        wave = 0.5 * (1 + math.cos(math.pi * self.progress(step, elapsed)))
        return warmup * (self.config.minimum + (1 - self.config.minimum) * wave)

    def after_validation(self, loss: float) -> None:
        """Let a plateau schedule see a validation loss."""
        if loss < self.best:
            self.best, self.bad_epochs = loss, 0
            return
        self.bad_epochs += 1
        if self.config.kind == "plateau" and self.bad_epochs > self.config.patience:
            self.reduction = max(self.config.minimum, self.reduction * self.config.factor)
            self.bad_epochs = 0

    @property
    def state(self) -> dict[str, float | int | None]:
        """What `load` needs to go on from here (JSON values)."""
        best = self.best if math.isfinite(self.best) else None
        return {"reduction": self.reduction, "best": best, "bad_epochs": self.bad_epochs}

    def load(self, state: dict) -> None:
        """Go on from a `state`."""
        self.reduction, self.bad_epochs = float(state["reduction"]), int(state["bad_epochs"])
        self.best = math.inf if state["best"] is None else float(state["best"])
