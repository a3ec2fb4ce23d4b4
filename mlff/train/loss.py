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


def value_counts(targets: Targets, *, forces: bool, stress: bool) -> Tensor:
    """Numbers of reference values for ``QUANTITIES``, zero for forces and stress that are not asked for: ``[3]``."""
    zero = torch.zeros((), dtype=torch.float64, device=targets.num_atoms.device)
    wanted = (True, forces, stress)
    return torch.stack(
        [
            targets.valid[name].sum().double() if want and name in targets.valid else zero
            for name, want in zip(QUANTITIES, wanted)
        ]
    )


def loss_terms(prediction: Mapping[str, Tensor], targets: Targets, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Summed errors of a batch for ``QUANTITIES``, over the values that exist and were predicted.

    Sums, so that the parts of several processes add up.

    Returns:
        Errors by the chosen kind ``[3]``, which carry the gradient, and absolute errors of structures (eV), force (eV/Å)
        and stress components (eV/Å³) ``[3]``.
    """
    sums, absolute = [], []
    zero = prediction["energy"].new_zeros(())
    for quantity in QUANTITIES:
        if quantity not in prediction or quantity not in targets.values:
            sums.append(zero)
            absolute.append(zero)
            continue
        error = torch.where(targets.valid[quantity], prediction[quantity] - targets.values[quantity], 0.0)
        absolute.append(error.detach().abs().sum().to(zero.dtype))
        if quantity == "energy" and config.energy_error == "atom":
            error = error / targets.num_atoms[:, None]
        sums.append(_error_sum(error, config).to(zero.dtype))
    return torch.stack(sums), torch.stack(absolute)


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
