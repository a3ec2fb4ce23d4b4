"""What the scripts of the peers share: the command line, training data, the training step.

Each script runs in its package's environment (install.sh). Alone it measures and prints the JSON of
`mlff benchmark speed`; with --serve it takes turns with others as `benchmarks/peers/compare.py` tells it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from torch import Tensor, nn

from mlff.benchmarks.candidates import BATCH_SIZE, NUM_BATCHES
from mlff.benchmarks.contest import ROUNDS, Worker, take_turns
from mlff.benchmarks.machine import describe_machine, versions
from mlff.benchmarks.systems import benchmark_system
from mlff.benchmarks.tasks import MolecularDynamics, Task, Training
from mlff.benchmarks.worker import serve

CUTOFF = 5.0
SPECIES = (1, 6, 7, 8)
SYMBOLS = ("H", "C", "N", "O")
COMPILED = Path(__file__).parents[2] / "build" / "peers"
"""Where a peer's compiled code is kept between runs."""


@dataclass(frozen=True)
class Labelled:
    """A training frame: eV, angstrom, eV/angstrom."""

    atoms: Atoms
    energy: float
    forces: np.ndarray


Predict = Callable[[int], tuple[Tensor, Tensor]]
"""Energies ``[B]`` and forces ``[N, 3]`` of the k-th batch, with gradients to the weights."""


@dataclass(frozen=True)
class Peer:
    """A model of another package."""

    package: str
    model: str
    calculator: Callable[[str, Atoms], Calculator]
    """Of a mode and a structure, whose ``info`` it may set."""
    training: Callable[[str, list[list[Labelled]]], tuple[nn.Module, Predict]]
    """The model in a mode and its predictions for the batches, which are collated beforehand."""
    modes: tuple[str, ...] = ("eager",)
    save_ours: Callable[[Path], Any] | None = None
    """Writes a checkpoint of mlff with the weights of this model."""


def training_batches() -> list[list[Labelled]]:
    """The batches of azobenzene that mlff's own training is timed with."""
    from mlff.datasets import azobenzene
    from mlff.train.loaders import epoch_batches

    data = azobenzene()
    batches = epoch_batches(np.arange(len(data)), BATCH_SIZE, seed=0, epoch=0)[:NUM_BATCHES]
    return [[_labelled(data[int(index)]) for index in batch] for batch in batches]


def _labelled(frame: Any) -> Labelled:
    forces = np.asarray(frame.forces).reshape(len(frame.positions), -1, 3)[:, 0]
    return Labelled(Atoms(frame.atomic_numbers, frame.positions), float(np.ravel(frame.energy)[0]), forces)


def _training_task(peer: Peer, mode: str) -> tuple[Task, nn.Module]:
    batches = training_batches()
    model, predict = peer.training(mode, batches)
    energies = [torch.tensor([each.energy for each in batch], dtype=torch.float32) for batch in batches]
    forces = [torch.tensor(np.concatenate([each.forces for each in batch]), dtype=torch.float32) for batch in batches]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    done = 0

    def step() -> None:
        nonlocal done
        index = done % len(batches)
        done += 1
        energy, force = predict(index)
        loss = 0.05 * (energy - energies[index]).square().mean() + 0.95 * (force - forces[index]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Training(step, BATCH_SIZE), model


def number_of_parameters(modules: Iterable[nn.Module]) -> int:
    """Weights of the modules."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def run(peer: Peer, arguments: Sequence[str] | None = None) -> None:
    """The command line of a peer's script."""

    @click.command(help=f"Time {peer.package}'s {peer.model}.")
    @click.option("--workload", default="azobenzene", show_default=True)
    @click.option("--mode", type=click.Choice(peer.modes), default=peer.modes[0], show_default=True)
    @click.option("--training", is_flag=True, help="Training, in batches of 32 azobenzene frames, instead of MD.")
    @click.option("--threads", default=1, show_default=True)
    @click.option("--rounds", default=ROUNDS, show_default=True)
    @click.option("--serve", "serving", is_flag=True, help="Obey requests on standard input.")
    @click.option("--save-ours", type=click.Path(path_type=Path),
                  help="Write mlff's checkpoint of the same weights, and end.")  # fmt: skip
    def command(
        workload: str, mode: str, training: bool, threads: int, rounds: int, serving: bool, save_ours: Path | None
    ) -> None:
        if save_ours is not None:
            if peer.save_ours is None:
                raise click.UsageError(f"mlff has no model that takes the weights of {peer.package}'s {peer.model}")
            peer.save_ours(save_ours)
        elif serving:
            torch.set_num_threads(threads)
            serve(lambda: _build(peer, workload, mode, training))
        else:
            again = [sys.executable, *sys.argv, "--serve"]
            (timing,) = take_turns([lambda: Worker(again, threads)], rounds, tell=lambda line: click.echo(line, err=True))
            if isinstance(timing, Exception):
                raise click.ClickException(str(timing))
            record = {"package": peer.package, "model": peer.model, "mode": mode, "kind": "training" if training else "md"}
            record |= {"workload": workload, "device": "cpu", "threads": threads, "dtype": "float32"} | timing.document()
            click.echo(json.dumps({"machine": describe_machine(threads), "results": [record]}, indent=2))

    command(arguments)


def _build(peer: Peer, workload: str, mode: str, training: bool) -> tuple[Task, dict[str, Any]]:
    facts = {"versions": versions()}
    if training:
        task, model = _training_task(peer, mode)
        return task, facts | {"parameters": number_of_parameters([model])}
    atoms = benchmark_system(workload)
    return MolecularDynamics(atoms, peer.calculator(mode, atoms)), facts
