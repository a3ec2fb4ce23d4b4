"""What loading costs beside a training step, in shuffled batches, and what loading ahead of it in a thread would gain.

python benchmarks/loading.py [--model painn] [--num-features 64]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import click
import numpy as np
import torch

from mlff.datasets import azobenzene
from mlff.graph import Graph
from mlff.models import model_config
from mlff.potential.potential import Potential
from mlff.train.config import LossConfig
from mlff.train.loaders import CACHE_BYTES, BatchLoader, epoch_batches
from mlff.train.loss import Targets, loss_terms, value_counts, weighted_loss


def microseconds(work: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> float:
    """Processor time a frame of work on all batches."""
    begin = time.process_time()
    for batch in batches:
        work(batch)
    return (time.process_time() - begin) / sum(map(len, batches)) * 1e6


def ahead(loader: BatchLoader, batches: list[np.ndarray]) -> Iterator[tuple[Graph, Targets]]:
    """The loaded batches, each read in a thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(loader.load, batches[0])
        for following in batches[1:]:
            loaded, coming = coming.result(), thread.submit(loader.load, following)
            yield loaded
        yield coming.result()


@click.command()
@click.option("--model", default="painn", show_default=True)
@click.option("--num-features", default=64, show_default=True)
@click.option("--batch-size", default=10, show_default=True)
@click.option("--frames", default=100, show_default=True, help="Frames of an epoch.")
@click.option("--repeats", default=5, show_default=True)
def main(model: str, num_features: int, batch_size: int, frames: int, repeats: int) -> None:
    """Print processor time a frame, then the speed of an epoch with a thread over that without; medians of the repeats."""
    torch.set_num_threads(1)
    dataset, loss = azobenzene(), LossConfig()
    potential = Potential.build(model_config(model, num_features=num_features), species=(1, 6, 7))

    def step(graph: Graph, targets: Targets) -> None:
        sums, _ = loss_terms(potential(graph, forces=True), targets, loss)
        weighted_loss(sums, value_counts(targets, forces=True, stress=False), loss).backward()
        potential.zero_grad()

    def seconds(threaded: bool) -> float:
        begin = time.perf_counter()
        for graph, targets in ahead(loader, batches) if threaded else map(loader.load, batches):
            step(graph, targets)
        return time.perf_counter() - begin

    times: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    for repeat in range(repeats):
        batches = epoch_batches(np.arange(frames), batch_size, 0, repeat)
        loader = BatchLoader(dataset, potential.cutoff)
        for what, work in (
            ("arrays from the memory map", dataset.batch),
            ("batch with new neighbour lists", loader.load),
            ("batch with kept neighbour lists", loader.load),
            ("batch and step", lambda indices, loader=loader: step(*loader.load(indices))),
        ):
            times.setdefault(what, []).append(microseconds(work, batches))
        for what, cache_bytes in (("first epoch", 0), ("later epochs", CACHE_BYTES)):
            loader = BatchLoader(dataset, potential.cutoff, cache_bytes=cache_bytes)
            if cache_bytes:
                loader.load(np.arange(frames))
            order = (False, True) if repeat % 2 else (True, False)
            spent = {threaded: seconds(threaded) for threaded in order}
            ratios.setdefault(what, []).append(spent[False] / spent[True])
    for what, values in times.items():
        click.echo(f"{what:<32} {np.median(values):10.1f} us a frame")
    for what, values in ratios.items():
        text = ", ".join(f"{each:.2f}" for each in sorted(values))
        click.echo(f"speed with a thread, {what:<12} {np.median(values):9.2f} times ({text})")


if __name__ == "__main__":
    main()
