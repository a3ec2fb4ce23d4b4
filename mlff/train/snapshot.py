"""All that a run must remember to go on exactly: taken from a trainer as tensors and JSON values, and put back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlff.train.gradients import sum_over_processes
from mlff.train.loss import TERMS

if TYPE_CHECKING:
    from mlff.train.loop import Trainer

COUNTERS = ("step", "epoch", "batch", "best_epoch", "bad_epochs", "epoch_seconds", "train_seconds")


def take(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, averages, best weights, optimizer and generator states; and the numbers beside them.

    All processes must call it.
    """
    sums = sum_over_processes(trainer.fabric, trainer.sums).clone()
    sums[1] /= trainer.fabric.world_size
    tensors = {
        **_prefixed("weights", trainer.potential.state_dict()),
        **_prefixed("average", trainer.ema.averaged.state_dict()),
        **_prefixed("best", trainer.best_weights),
        "rng.cpu": torch.get_rng_state(),
        "epoch_sums": sums,
        **_prefixed("optimizer", trainer.optimizer.state),
    }
    if trainer.fabric.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(trainer.fabric.device)
    document = {name: getattr(trainer, name) for name in COUNTERS} | {
        "elapsed_s": trainer.elapsed,
        "best_loss": _json(trainer.best_loss),
        "first_loss": _json(trainer.watch.first),
        "smooth_loss": _json(trainer.watch.smooth),
        "schedule": trainer.schedule.state,
        "data": trainer.data.fingerprint,
        "potential": trainer.potential.config.model_dump(mode="json"),
    }
    return tensors, document


def restore(trainer: Trainer, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Put a trainer, made for the same configuration and data, where `take` was called."""
    device = trainer.fabric.device
    trainer.potential.load_state_dict(_section(tensors, "weights"))
    trainer.ema.averaged.load_state_dict(_section(tensors, "average"))
    trainer.best_weights = {name: tensor.to(device) for name, tensor in _section(tensors, "best").items()}
    trainer.optimizer.load(_section(tensors, "optimizer"))
    torch.set_rng_state(tensors["rng.cpu"])
    if device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"], device)
    sums = _all_terms(tensors["epoch_sums"])
    if trainer.fabric.is_global_zero:
        trainer.sums.copy_(sums)
    trainer.sums[1] = sums[1]
    for name in COUNTERS:
        setattr(trainer, name, document[name])
    trainer.earlier = trainer.clock = document["elapsed_s"]
    trainer.best_loss = math.inf if document["best_loss"] is None else document["best_loss"]
    trainer.watch.first = math.nan if document["first_loss"] is None else document["first_loss"]
    trainer.watch.smooth = math.nan if document["smooth_loss"] is None else document["smooth_loss"]
    trainer.schedule.load(document["schedule"])


def _all_terms(sums: Tensor) -> Tensor:
    """`Trainer.sums` as it is now, from a state that may be of a time when the loss had the first few of its terms."""
    before = (len(sums) - 2) // 2
    parts = (sums[2 : 2 + before], sums[2 + before :])
    return torch.cat((sums[:2], *(torch.nn.functional.pad(part, (0, len(TERMS) - before)) for part in parts)))


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _section(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
