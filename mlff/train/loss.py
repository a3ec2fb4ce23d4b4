"""The loss: a weighted sum of the mean errors in energy, forces and stress, over the values that exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mlff.train.config import LossConfig

QUANTITIES = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Targets:
    """Reference values of a batch with their masks, which have the values' own shapes."""

    values: Mapping[str, Tensor]
    """energy float64 ``[B,S]`` in eV, forces ``[N,S,3]`` in eV/Å, stress ``[B,S,6]`` in eV/Å³; some may be missing.
    What is masked holds zeros."""
    valid: Mapping[str, Tensor]
    num_atoms: Tensor
    """``[B]``."""


@dataclass(frozen=True)
class LossTerms:
    """What a part of a batch adds to the loss: sums, so that the parts of several processes add up."""

    sums: Tensor
    """Summed errors by the chosen kind, for ``QUANTITIES``: ``[3]``; carries the gradient."""
    absolute: Tensor
    """Summed absolute errors of whole structures (eV), force (eV/Å) and stress components: ``[3]``."""
    counts: Tensor
    """Numbers of values: ``[3]``."""


def loss_terms(prediction: Mapping[str, Tensor], targets: Targets, config: LossConfig) -> LossTerms:
    """Sums of the errors of a batch over the values that exist and have a weight or were predicted anyway."""
    sums, absolute, counts = [], [], []
    zero = prediction["energy"].new_zeros(())
    for quantity in QUANTITIES:
        if quantity not in prediction or quantity not in targets.values:
            sums.append(zero), absolute.append(zero), counts.append(zero)
            continue
        valid = targets.valid[quantity]
        error = torch.where(valid, prediction[quantity] - targets.values[quantity], 0.0)
        absolute.append(error.detach().abs().sum().to(zero.dtype))
        counts.append(valid.sum().to(zero.dtype))
        if quantity == "energy" and config.energy_error == "atom":
            error = error / targets.num_atoms[:, None]
        sums.append(_error_sum(error, config).to(zero.dtype))
    return LossTerms(torch.stack(sums), torch.stack(absolute), torch.stack(counts))


def weighted_loss(sums: Tensor, counts: Tensor, config: LossConfig) -> Tensor:
    """The loss of summed errors ``[3]`` over numbers of values ``[3]``; quantities without values add nothing."""
    weights = torch.tensor([config.energy, config.forces, config.stress], dtype=sums.dtype).to(sums.device)
    return (weights * sums / counts.clamp(min=1)).sum()


def _error_sum(error: Tensor, config: LossConfig) -> Tensor:
    if config.kind == "mse":
        return error.square().sum()
    if config.kind == "mae":
        return error.abs().sum()
    # Twice torch's Huber loss: error^2 up to delta, as for `mse`, so that the kinds can share weights.
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="sum", delta=config.huber_delta)
