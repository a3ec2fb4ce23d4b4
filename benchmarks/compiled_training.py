"""What compiling the training step buys: python benchmarks/compiled_training.py [MODEL ...] [--features 64]

The gradient of the loss in all weights, eagerly and compiled (`compile: true` in a training configuration), in turn for the
same batches of 10 azobenzene frames; medians, the median of the ratios, and how long compiling took. Processor time on a
CPU, so that other programs disturb it less.
"""

from __future__ import annotations

import time
from statistics import median

import click
import numpy as np
import torch

from mlff import Potential
from mlff.datasets import azobenzene
from mlff.models import MODELS, model_config
from mlff.train.compiled import CompiledGradient
from mlff.train.config import LossConfig
from mlff.train.loaders import BatchLoader, epoch_batches
from mlff.train.loss import loss_terms, value_counts, weighted_loss

BATCH_SIZE = 10


def measure(name: str, num_features: int, repeats: int) -> tuple[float, float, float, float]:
    """Frames a second eagerly and compiled, the ratio, and seconds of compilation."""
    torch.manual_seed(0)
    potential = Potential.build(model_config(name, num_features=num_features), species=(1, 6, 7), scale=2.0).train()
    loader, config = BatchLoader(azobenzene(), potential.cutoff), LossConfig(kind="mae")
    compiled = CompiledGradient(potential, config)
    parameters = list(potential.parameters())
    times: list[tuple[float, float]] = []
    seconds = 0.0
    for step, frames in enumerate(epoch_batches(np.arange(1250), BATCH_SIZE, seed=0, epoch=0)[: repeats + 3]):
        graph, targets = loader.load(frames)
        counts = value_counts(targets, forces=True, stress=False)
        begin, wall = time.process_time(), time.monotonic()
        if compiled(graph, targets, counts, forces=True, stress=False) is None:
            raise click.ClickException(f"the training step of {name} could not be compiled")
        middle = time.process_time()
        seconds = seconds or time.monotonic() - wall
        sums, _ = loss_terms(potential(graph), targets, config)
        torch.autograd.grad(weighted_loss(sums, counts, config), parameters)
        if step >= 3:
            times.append((time.process_time() - middle, middle - begin))
    eager, fast = (BATCH_SIZE / median(column) for column in zip(*times))
    return eager, fast, median(a / b for a, b in times), seconds


@click.command()
@click.argument("models", nargs=-1)
@click.option("--features", default=64, show_default=True)
@click.option("--repeats", default=30, show_default=True, help="Timed batches.")
def main(models: tuple[str, ...], features: int, repeats: int) -> None:
    """Measure and print a line a model."""
    torch.set_num_threads(1)
    click.echo(f"one thread, torch {torch.__version__}, {features} features, batches of {BATCH_SIZE} azobenzene frames")
    for name in models or MODELS:
        eager, compiled, ratio, seconds = measure(name, features, repeats)
        click.echo(
            f"{name:10s} eager {eager:5.0f} frames/s, compiled {compiled:5.0f}, ratio {ratio:.2f}; compiled in {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
