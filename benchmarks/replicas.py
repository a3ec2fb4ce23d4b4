"""Replicas in one batch beside single runs: python benchmarks/replicas.py MODEL STRUCTURE [--replicas 8 --replicas 32]

Both simulate the same R replicas at constant energy, compiled, in this process, one thread; they take turns, and processor
time of the steps is counted (that of a run without steps is taken off). Printed are medians over the rounds, with quartiles
of the ratio.
"""

from __future__ import annotations

import time

import click
import numpy as np
import torch
from ase import Atoms

from mlff.calculators import make_calculator
from mlff.dynamics import run_md, run_replicas
from mlff.dynamics.structures import read_structure


def seconds(atoms: Atoms, replicas: int, steps: int, batched: bool) -> float:
    """Processor time of so many steps of all replicas."""
    before = time.process_time()
    if batched:
        run_replicas([atoms] * replicas, steps=steps, temperature=300.0, seed=0, interval=steps or 1)
    else:
        for k in range(replicas):
            run_md(atoms, steps=steps, temperature=300.0, seed=k, interval=steps or 1)
    return time.process_time() - before


@click.command()
@click.argument("model")
@click.argument("structure")
@click.option("--replicas", "counts", multiple=True, default=(8, 32), show_default=True, help="May be repeated.")
@click.option("--steps", default=200, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--eager", is_flag=True, help="Not compiled.")
def main(model: str, structure: str, counts: tuple[int, ...], steps: int, rounds: int, eager: bool) -> None:
    """Time the steps of replicas of STRUCTURE with MODEL."""
    torch.set_num_threads(1)
    atoms = read_structure(structure)
    atoms.calc = make_calculator(model, compile=not eager)
    run_md(atoms, steps=20, temperature=300.0)
    click.echo("replicas   single: ms a step   batch: ms a step   million atoms x frames/s: single, batch   times faster")
    for count in counts:
        times = np.empty((rounds, 2))
        for row in times:
            row[:] = [seconds(atoms, count, steps, batched) - seconds(atoms, count, 0, batched) for batched in (False, True)]
        each = 1000 * np.median(times, axis=0) / (count * steps)
        rates = len(atoms) / each / 1000
        low, middle, high = np.quantile(times[:, 0] / times[:, 1], (0.25, 0.5, 0.75))
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
        click.echo(f"{count:8d} {each[0]:19.3f} {each[1]:18.3f} {rates[0]:24.4f}, {rates[1]:.4f}   {ratio:>32}")


if __name__ == "__main__":
    main()
