"""What takes part in a measurement of mlff: a model, on a workload, in a mode, on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import yaml

from mlff.calculators.ase import MLFFCalculator
from mlff.models import ADAPTERS, MODELS, TOPOLOGICAL, model_config
from mlff.potential.checkpoint import load_potential
from mlff.potential.potential import Potential

from .systems import benchmark_system
from .tasks import MolecularDynamics, Task, Training

MODES: dict[str, bool | Literal["auto"]] = {"eager": False, "compiled": True, "auto": "auto"}
"""Name of a mode -> ``compile`` of MLFFCalculator."""
SPECIES = (1, 6, 7, 8)
"""Elements of a model with fresh weights."""
HARMLESS = 1e-4
"""eV: with a scale this small, the forces of fresh weights move nothing; the arithmetic is the same."""
BATCH_SIZE = 32
NUM_BATCHES = 8
"""Different batches that training goes round in: their neighbour lists are kept, as they are from the second epoch on."""


@dataclass(frozen=True)
class Candidate:
    """One thing that is timed beside others."""

    model: str
    """``painn``, ``painn:num_features=64,num_layers=2``, or a trained model: a name or a checkpoint."""
    workload: str
    mode: str = "eager"
    kind: Literal["md", "training"] = "md"
    device: str = "cpu"
    threads: int = 1
    dtype: Literal["float32", "float64"] = "float32"


def build_potential(model: str) -> Potential:
    """The trained potential of that name, or one with fresh weights, always the same.

    Raises:
        ValueError: no such model or option.
    """
    name, _, options = model.partition(":")
    if name not in MODELS | ADAPTERS | TOPOLOGICAL:
        return load_potential(model)
    settings: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"`{model}`: {option!r} sets nothing; write NAME:OPTION=VALUE,..., such as painn:num_features=64")
        settings[key.strip()] = yaml.safe_load(value)
    config = model_config(name, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Potential.build(config, species=SPECIES, scale=HARMLESS)


class Simulation(MolecularDynamics):
    """Steps with a calculator of ours, which tells how it computes."""

    def facts(self) -> dict[str, Any]:
        """Also whether compiled code was in use: asked for is not had."""
        return super().facts() | {"compiled": self.atoms.calc.compiled}


def build_task(candidate: Candidate) -> tuple[Task, dict[str, Any]]:
    """The task of a candidate, and what is to be known of it."""
    potential = build_potential(candidate.model)
    facts: dict[str, Any] = {"parameters": sum(parameter.numel() for parameter in potential.parameters())}
    if candidate.kind == "training":
        return Training(_training_step(potential, candidate), BATCH_SIZE), facts
    atoms = benchmark_system(candidate.workload)
    calculator = MLFFCalculator(
        potential, device=candidate.device, dtype=candidate.dtype, compile=MODES[candidate.mode]
    )
    return Simulation(atoms, calculator), facts


def _training_step(potential: Potential, candidate: Candidate) -> Callable[[], None]:
    """Load a batch of azobenzene frames, compute loss and gradient (forces included), and update the weights."""
    from mlff.datasets import azobenzene
    from mlff.train.compiled import CompiledGradient
    from mlff.train.config import LossConfig
    from mlff.train.loaders import BatchLoader, epoch_batches
    from mlff.train.loss import loss_terms, value_counts, weighted_loss

    potential = potential.to(device=candidate.device, dtype=getattr(torch, candidate.dtype)).train()
    loss, data = LossConfig(), azobenzene()
    loader = BatchLoader(data, potential.cutoff, device=candidate.device, dtype=potential.dtype)
    batches = epoch_batches(np.arange(len(data)), BATCH_SIZE, seed=0, epoch=0)[:NUM_BATCHES]
    for batch in batches:
        loader.load(batch)
    compiled = CompiledGradient(potential, loss) if candidate.mode == "compiled" else None
    parameters = list(potential.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
    done = 0

    def step() -> None:
        nonlocal done
        graph, targets = loader.load(batches[done % NUM_BATCHES])
        done += 1
        counts = value_counts(targets, forces=True, stress=False)
        if compiled is None:
            sums, _ = loss_terms(potential(graph), targets, loss)
            gradients = torch.autograd.grad(weighted_loss(sums, counts, loss), parameters, allow_unused=True)
        else:
            found = compiled(graph, targets, counts, forces=True, stress=False)
            if found is None:
                raise ValueError(f"the training step of {candidate.model} could not be compiled; measure it with --mode eager")
            gradients = tuple(found[2])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    return step
