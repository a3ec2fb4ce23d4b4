"""The exponential moving average of a model's weights, held by a second copy of the model."""

from __future__ import annotations

from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class MovingAverage(Generic[Module]):
    """``averaged`` follows ``module``: after step t, average = d average + (1 - d) weights.

    With warm-up d = min(decay, (1 + t) / (10 + t)), so that the first, random weights are soon forgotten.
    """

    def __init__(self, module: Module, decay: float, warmup: bool = True) -> None:
        self.decay = decay
        self.warmup = warmup
        self.averaged: Module = deepcopy(module).eval().requires_grad_(False)
        self._average: list[Tensor] = list(self.averaged.parameters())
        self._latest: list[Tensor] = list(module.parameters())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights that step number `step` (from 0) has left."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warmup else self.decay
        if decay == 0:
            torch._foreach_copy_(self._average, self._latest)
        else:
            torch._foreach_lerp_(self._average, self._latest, 1.0 - decay)
