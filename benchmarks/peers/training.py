"""What the scripts that train peers share: the frames, the budget, and the row that is written at the end.

A peer is trained by its own classes with its documented settings. Put in its trainer are two things only: the learning
rate, a cosine that ends with the budget (as mlff's), and the end. Its errors are those of the predictions that it makes
for the val and test frames, computed by mlff, so that units, frames and means are the same for all.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from ase import Atoms

from mlff.benchmarks.accuracy.row import Row, error_columns, read_row, write_row
from mlff.benchmarks.worker import peak_memory
from mlff.data.selection import spread
from mlff.train.clock import CLOCKS, MINUTES, Clock
from mlff.train.metrics import Metrics
from mlff.train.prepare import choose_split, open_dataset
from mlff.train.state import replace_file

VALIDATION_FRAMES = 1000
"""Looked at after each epoch, as in mlff's default; val and test are evaluated whole at the end."""
PREDICTED_AT_ONCE = 50

Predict = Callable[[Sequence[Atoms]], tuple[np.ndarray, np.ndarray]]
"""Energies ``[B]`` eV and forces ``[N, 3]`` eV/angstrom of structures."""


@dataclass(frozen=True)
class Frames:
    """Frames of one electronic state: eV, angstrom, eV/angstrom."""

    indices: np.ndarray
    atoms: list[Atoms]
    energies: np.ndarray
    """``[B]``"""
    forces: list[np.ndarray]
    """``[N_k, 3]`` of each."""


@dataclass(frozen=True)
class Task:
    """One training run."""

    train: Frames
    val: Frames
    test: Frames
    folder: Path
    minutes: float
    clock: Clock
    started: float
    learning_rate: float
    seed: int
    threads: int

    @property
    def validation(self) -> Frames:
        """The frames of val that are looked at after each epoch."""
        chosen = spread(np.arange(len(self.val.atoms)), VALIDATION_FRAMES)
        val = self.val
        return Frames(
            val.indices[chosen], [val.atoms[k] for k in chosen], val.energies[chosen], [val.forces[k] for k in chosen]
        )

    def progress(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        return min(1.0, (CLOCKS[self.clock]() - self.started) / (60.0 * self.minutes))


@dataclass(frozen=True)
class Trained:
    """What training left."""

    predict: Predict
    parameters: int
    epochs: float
    steps: int
    frames_per_second: float


def budget_callback(base: type, task: Task) -> Any:
    """A callback of a Lightning trainer (`base` is its package's Callback): the cosine, the end, and the frames a second."""
    now = CLOCKS[task.clock]

    class Budget(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps, self.seconds, self.began = 0, 0.0, 0.0

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.began = now()

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            factor = 0.5 * (1 + math.cos(math.pi * task.progress()))
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = task.learning_rate * factor

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.steps += 1
            ended = now()
            self.seconds, self.began = self.seconds + ended - self.began, ended  # the loading of the batch included
            if task.progress() >= 1:
                trainer.should_stop = True

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            found = {name: round(float(value), 6) for name, value in trainer.callback_metrics.items()}
            with (task.folder / "validation.jsonl").open("a") as log:
                log.write(json.dumps({"seconds": round(now() - task.started, 1), "steps": self.steps} | found) + "\n")

    return Budget()


def fitted_energies(frames: Frames) -> dict[int, float]:
    """Energy of each element, eV: least squares on the frames, as mlff's reference energies."""
    from mlff.data.statistics import fit_atomic_energies

    numbers = [np.asarray(atoms.numbers) for atoms in frames.atoms]
    return fit_atomic_energies(numbers, frames.energies[:, None])


def training_command(package: str, model: str, train: Callable[[Task], Trained], learning_rate: float) -> click.Command:
    """The command line of a script that trains a peer."""

    @click.command(help=f"Train {package}'s {model} and write {package}'s row of the table into a folder.")
    @click.option("--data", required=True, help="Native file, or azobenzene.")
    @click.option("--split", help="Split of it; time, given or the only one where it is left out.")
    @click.option("--num-train", type=click.IntRange(1), help="Training frames, evenly spaced; all by default.")
    @click.option("--num-val", type=click.IntRange(1), help="Likewise, as the next.")
    @click.option("--num-test", type=click.IntRange(1))
    @click.option("--minutes", type=click.FloatRange(0, min_open=True), required=True)
    @click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
    @click.option("--learning-rate", type=float, default=learning_rate, show_default=True)
    @click.option("--seed", default=0, show_default=True)
    @click.option("--threads", default=1, show_default=True)
    @click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
    def command(
        data: str, split: str | None, num_train: int | None, num_val: int | None, num_test: int | None, minutes: float,
        clock: Clock, learning_rate: float, seed: int, threads: int, out: Path,
    ) -> None:  # fmt: skip
        if read_row(out) is not None:
            click.echo(f"{out} is finished")
            return
        started = CLOCKS[clock]()
        torch.set_num_threads(threads)
        out.mkdir(parents=True, exist_ok=True)
        parts = read_parts(data, split, {"train": num_train, "val": num_val, "test": num_test})
        task = Task(
            *(parts[name] for name in ("train", "val", "test")), out, minutes, clock, started, learning_rate, seed, threads
        )
        trained = train(task)
        seconds = CLOCKS[clock]() - started
        peak = peak_memory() / 1e6
        tables = {}
        for name, frames in (("val", task.val), ("test", task.test)):
            tables[name] = measure(trained.predict, frames, out / f"predictions_{name}.npz").table()
        row = Row(
            data=Path(data).stem, model=model, package=package, learning_rate=learning_rate, seed=seed,
            budget=f"{minutes:g} {MINUTES[clock]}", stop_reason=f"time limit of {minutes:g} {MINUTES[clock]} reached",
            epochs=trained.epochs, steps=trained.steps, seconds=seconds, parameters=trained.parameters,
            frames_per_second=trained.frames_per_second, peak_megabytes=peak, threads=threads, **error_columns(tables),
        )  # fmt: skip
        write_row(out, row)
        click.echo(f"test: energy {row.test_energy_mae:.1f} meV, forces {row.test_forces_mae:.1f} meV/angstrom")

    return command


def read_parts(data: str, split: str | None, numbers: Mapping[str, int | None]) -> dict[str, Frames]:
    """Train, val and test as mlff's own training would choose them; `numbers` of each evenly spaced, None for all."""
    dataset = open_dataset(data)
    parts = dataset.split(choose_split(dataset, split))
    return {part: _frames(dataset, spread(indices, numbers[part])) for part, indices in parts.items()}


def _frames(dataset: Any, indices: np.ndarray) -> Frames:
    atoms, energies, forces = [], [], []
    for index in indices:
        frame = dataset[int(index)]
        atoms.append(Atoms(frame.atomic_numbers, frame.positions))
        energies.append(float(np.ravel(frame.energy)[0]))
        forces.append(np.asarray(frame.forces, dtype=np.float64).reshape(len(frame.positions), -1, 3)[:, 0])
    return Frames(indices, atoms, np.array(energies), forces)


def measure(predict: Predict, frames: Frames, path: Path) -> Metrics:
    """Predict the frames, write predictions and references as `mlff evaluate --predictions` does, and compare them."""
    energies, forces = [], []
    for first in range(0, len(frames.atoms), PREDICTED_AT_ONCE):
        energy, force = predict(frames.atoms[first : first + PREDICTED_AT_ONCE])
        energies.append(np.asarray(energy, dtype=np.float64).reshape(-1))
        forces.append(np.asarray(force, dtype=np.float64).reshape(-1, 3))
    metrics = Metrics({
        "energy": np.concatenate(energies)[:, None],
        "energy_ref": frames.energies[:, None],
        "forces": np.concatenate(forces)[:, None],
        "forces_ref": np.concatenate(frames.forces)[:, None],
        "num_atoms": np.array([len(atoms) for atoms in frames.atoms]),
        "indices": frames.indices,
    })  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **metrics.predictions)
    replace_file(path, buffer.getvalue())
    return metrics
