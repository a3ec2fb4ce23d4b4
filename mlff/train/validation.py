"""The errors on validation frames after an epoch, computed by all processes together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from lightning_fabric import Fabric

from mlff.potential.potential import Potential
from mlff.train.gradients import sum_over_processes
from mlff.train.loaders import BatchLoader
from mlff.train.loss import TERMS, Targets, loss_terms, value_counts, weighted_loss
from mlff.train.loss_config import LossConfig
from mlff.train.metrics import FACTORS, Metrics, evaluate
from mlff.train.pair_targets import PairTargets


@dataclass(frozen=True)
class ValidationErrors:
    """The validation loss and the errors behind it; NaN where there are no references."""

    loss: float
    energy_mae: float
    """meV a structure, as the next."""
    energy_rmse: float
    forces_mae: float
    """meV/Å a component, as the next."""
    forces_rmse: float
    of_pairs: Mapping[str, float] = field(default_factory=dict)
    """Mean absolute errors of quantities of pairs of states that are learned, by the names of their columns."""

    def row(self) -> dict[str, float | None]:
        """As columns of ``metrics.csv``."""
        columns = {
            "val_loss": self.loss, "val_energy_mae_meV": self.energy_mae, "val_energy_rmse_meV": self.energy_rmse,
            "val_forces_mae_meV_per_A": self.forces_mae, "val_forces_rmse_meV_per_A": self.forces_rmse, **self.of_pairs,
        }  # fmt: skip
        return {name: value if math.isfinite(value) else None for name, value in columns.items()}


def validate(
    potential: Potential, loader: BatchLoader, indices: np.ndarray, batch_size: int, loss: LossConfig, fabric: Fabric
) -> ValidationErrors:
    """Errors of the potential on frames of the loader's dataset, each process computing its part."""
    part = indices[fabric.global_rank :: fabric.world_size]
    totals = torch.zeros(4, len(TERMS), dtype=torch.float64)  # loss sums, absolute, squared errors, counts
    if len(part):
        metrics = evaluate(potential, loader.dataset, part, batch_size, states=loader.states, loader=loader)
        totals = error_sums(metrics, loss, loader.pairs)
    totals = sum_over_processes(fabric, totals.to(fabric.device)).cpu()
    sums, absolute, squared, counts = totals
    mae = 1000.0 * absolute / counts
    rmse = 1000.0 * (squared / counts).sqrt()
    own = {term: float(error) for term, error in zip(TERMS, absolute / counts)}
    of_pairs = {}
    if loader.pairs.coupling == "nac":
        of_pairs["val_nac_mae_per_A"] = own["couplings"]
    elif loader.pairs.coupling is not None:
        of_pairs["val_coupling_mae_meV_per_A"] = 1000.0 * own["couplings"]
    if loader.pairs.dipole_pairs:
        of_pairs["val_dipole_mae_mD"] = FACTORS["dipole"] * own["dipoles"]
    if loader.pairs.soc_pairs:
        of_pairs["val_soc_mae_per_cm"] = FACTORS["soc_magnitude"] * own["soc"]
    return ValidationErrors(
        float(weighted_loss(sums, counts, loss)), float(mae[0]), float(rmse[0]), float(mae[1]), float(rmse[1]), of_pairs
    )


def error_sums(metrics: Metrics, loss: LossConfig, pairs: PairTargets | None = None) -> torch.Tensor:
    """Sums for every term of the loss: loss by the chosen kind, absolute errors, squared errors, counts ``[4,6]``.

    `pairs`: what the potential learns of pairs of states, as of the loader.
    """
    pairs = pairs or PairTargets()
    of_pairs: list[str] = [pairs.coupling] if pairs.coupling is not None else []
    of_pairs += ["dipole"] * bool(pairs.dipole_pairs) + ["soc_magnitude"] * bool(pairs.soc_pairs)
    present = [name for name in ("energy", "forces", "stress", *of_pairs) if name in metrics.predictions]
    predicted = {name: torch.from_numpy(metrics.predictions[name]).double() for name in present}
    reference = {name: torch.from_numpy(metrics.predictions[f"{name}_ref"]).double() for name in present}
    num_atoms = torch.from_numpy(metrics.predictions["num_atoms"])
    targets = Targets(
        {name: reference[name].nan_to_num() for name in present},
        {name: ~reference[name].isnan() for name in present},
        num_atoms.double(),
        torch.repeat_interleave(torch.arange(len(num_atoms)), num_atoms),
        nac_pairs=pairs.nac_pairs, dipole_pairs=pairs.dipole_pairs, alike=pairs.alike, shared_phases=pairs.shared_phases,
    )  # fmt: skip
    sums, absolute = loss_terms(predicted, targets, loss)
    counts = value_counts(targets, forces="forces" in predicted, stress="stress" in predicted)
    squared = torch.zeros(len(TERMS), dtype=torch.float64)
    for index, term in enumerate(TERMS):
        if (name := targets.quantity(term)) is not None and name in predicted:  # whose signs are those of the references
            squared[index] = torch.where(targets.valid[name], predicted[name] - targets.values[name], 0.0).square().sum()
    return torch.stack((sums, absolute, squared, counts))
