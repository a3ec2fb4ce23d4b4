"""How fast every architecture trains and runs, at its default settings: python benchmarks/speed.py [--threads 1]

Training: frames a second of azobenzene (24 atoms, batches of 10), neighbour lists, energy, forces, backward pass and
optimiser step included, nothing compiled; the median of the steps after the first ones. Molecular dynamics: milliseconds a
velocity-Verlet step through ASE for one and for eight molecules, in float32. Also the time that `mlff --help` takes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch
from ase import Atoms, units
from ase.io import read
from ase.md.verlet import VelocityVerlet
from rich.console import Console
from rich.table import Table

from mlff import MLFFCalculator, Potential
from mlff.datasets import azobenzene
from mlff.models import MODELS, model_config
from mlff.train.loaders import BatchLoader, epoch_batches

TRANS = Path(__file__).parents[1] / "examples" / "structures" / "trans.xyz"
HARMLESS = 1e-4
"""eV: with a scale this small, the forces of fresh weights move nothing; the arithmetic is the same."""


def timed(step: Callable[[], object], repeats: int, device: str) -> float:
    """Median time of a step in seconds, after three that are not counted."""
    times = []
    for _ in range(repeats + 3):
        begin = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[3:])


def training_frames_per_second(name: str, device: str, repeats: int, batch_size: int = 10) -> float:
    dataset = azobenzene()
    potential = Potential.build(model_config(name), species=(1, 6, 7)).to(device).train()
    optimizer = torch.optim.AdamW(potential.parameters(), lr=1e-6)
    loader = BatchLoader(dataset, potential.cutoff, device=device)
    batches = iter(epoch_batches(np.arange(len(dataset)), batch_size, seed=0, epoch=0))

    def step() -> None:
        graph, targets = loader.load(next(batches))
        predicted = potential(graph)
        energy_error, force_error = (predicted[name] - targets.values[name] for name in ("energy", "forces"))
        optimizer.zero_grad()
        (0.05 * energy_error.square().mean() + 0.95 * force_error.square().mean()).backward()
        optimizer.step()

    return batch_size / timed(step, repeats, device)


def milliseconds_per_md_step(name: str, atoms: Atoms, device: str, repeats: int) -> float:
    potential = Potential.build(model_config(name), species=(1, 6, 7), scale=HARMLESS)
    atoms = atoms.copy()
    atoms.calc = MLFFCalculator(potential, device=device)
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    return 1000 * timed(lambda: dynamics.run(1), repeats, device)


def eight_molecules(atoms: Atoms) -> Atoms:
    """The molecule on the corners of a cube, 8 Å apart."""
    cluster = Atoms()
    for shift in np.ndindex(2, 2, 2):
        molecule = atoms.copy()
        molecule.translate(8.0 * np.array(shift))
        cluster += molecule
    return cluster


def seconds_of_help(repeats: int = 5) -> float:
    command = [sys.executable, "-m", "mlff", "--help"]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True), repeats, "cpu")


@click.command()
@click.option("--threads", default=1, show_default=True, help="Threads of torch on a CPU.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
@click.option("--repeats", default=20, show_default=True, help="Timed steps of each measurement.")
def main(threads: int, device: str, repeats: int) -> None:
    """Measure and print a table."""
    torch.set_num_threads(threads)
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {threads} thread(s)"
    table = Table(title=f"mlff at its default settings, torch {torch.__version__}, {where}")
    for column in ("model", "parameters", "training, frames/s", "MD 24 atoms, ms/step", "MD 192 atoms, ms/step"):
        table.add_column(column, justify="left" if column == "model" else "right")
    one = read(TRANS)
    for name in MODELS:
        size = sum(p.numel() for p in Potential.build(model_config(name), species=(1, 6, 7)).parameters())
        table.add_row(
            name,
            f"{size:,}",
            f"{training_frames_per_second(name, device, repeats):.0f}",
            f"{milliseconds_per_md_step(name, one, device, repeats):.1f}",
            f"{milliseconds_per_md_step(name, eight_molecules(one), device, repeats):.1f}",
        )
    console = Console()
    console.print(table)
    console.print(f"`mlff --help` answers in {seconds_of_help():.2f} s.")


if __name__ == "__main__":
    main()
