"""The end of a run: the best weights measured on all of val and test, and everything written that tells of them."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mlff import __version__
from mlff.data import HDF5Dataset
from mlff.train.clock import SECONDS_KEY
from mlff.train.metrics import UNITS, Errors, Metrics, evaluate
from mlff.train.pair_errors import errors_by_gap, pair_name
from mlff.train.progress import counting_bar
from mlff.train.state import replace_file

if TYPE_CHECKING:
    from mlff.train.loop import Trainer

COUPLING_COLUMNS = {
    "interstate_coupling_mae_meV_per_A": "{:.1f}", "interstate_coupling_rmse_meV_per_A": "{:.1f}", "nac_mae_per_A": "{:.4f}",
    "coupling_cosine": "{:.3f}",
}  # fmt: skip
PACKAGES = ("torch", "lightning-fabric", "numpy", "vesin", "h5py")


@dataclass(frozen=True)
class RunResult:
    """What came of a run."""

    folder: Path
    stop_reason: str
    best_epoch: int
    metrics: dict[str, Metrics]
    """For ``val`` and, where the split has one, ``test``; empty for a run that was interrupted."""


def finish(trainer: Trainer, reason: str, console: Console) -> RunResult:
    """Evaluate the best weights, write predictions, summary and report, and print what a user wants to know."""
    from mlff.train.report import write_report

    folder, data = trainer.folder, trainer.data
    trainer.ema.averaged.load_state_dict(trainer.best_weights)
    metrics = {}
    for part, indices in (("val", data.val), ("test", data.test)):
        if len(indices):
            console.print(f"Evaluating epoch {trainer.best_epoch} on {len(indices)} {part} frames", highlight=False)
            with counting_bar(f"{part} frames", len(indices)) as progress:
                metrics[part] = evaluate(
                    trainer.ema.averaged, data.dataset, indices, 2 * trainer.config.batch_size, states=data.states,
                    loader=trainer.loader, progress=progress,
                )  # fmt: skip
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **metrics[part].predictions)
            replace_file(folder.predictions(part), buffer.getvalue())
    summary = summarize(trainer, reason, metrics)
    replace_file(folder.summary, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    write_report(folder.path)
    labels = data.state_labels
    console.print()
    console.print(error_table({part: each.errors() for part, each in metrics.items()}, labels))
    if len(labels) > 1:
        for part, each in metrics.items():
            console.print(gap_table(errors_by_gap(each.predictions), labels, part))
    if data.noise is None:
        forces = not trainer.potential.config.model.topological
        lines = closing_lines(folder.path, reason, trainer.best_epoch, " ".join(map(str, data.dataset.paths)), forces)
    else:
        lines = denoising_lines(folder.path, reason, trainer.best_epoch)
    console.print(lines, highlight=False, markup=False, soft_wrap=True)
    return RunResult(folder.path, reason, trainer.best_epoch, metrics)


def summarize(trainer: Trainer, reason: str, metrics: dict[str, Metrics]) -> dict[str, Any]:
    """The content of ``summary.json``."""
    data, config = trainer.data, trainer.config
    seen = trainer.epoch * len(data.train) + min(trainer.batch * config.batch_size, len(data.train))
    return {
        "model": config.model["name"],
        "model_path": str(trainer.folder.model),
        "stop_reason": reason,
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "best_epoch": trainer.best_epoch,
        "best_val_loss": trainer.best_loss,
        SECONDS_KEY[config.clock]: round(trainer.elapsed, 1),
        "frames_per_second": round(seen / trainer.train_seconds, 2) if trainer.train_seconds else None,
        "num_parameters": sum(parameter.numel() for parameter in trainer.potential.parameters()),
        "state_labels": list(data.state_labels),
        "errors": {part: each.table() for part, each in metrics.items()},
        "dataset": {
            "path": path_or_paths(data.dataset), **data.description, "num_val": len(data.val), "num_test": len(data.test),
        },
        "device": device_name(trainer.fabric.device),
        "processes": trainer.fabric.world_size,
        "threads": torch.get_num_threads(),
        "versions": {"mlff": __version__, "python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }  # fmt: skip


def path_or_paths(dataset: HDF5Dataset) -> str | list[str]:
    """The data's file, or the list of them, as JSON values."""
    paths = [str(path) for path in dataset.paths]
    return paths[0] if len(paths) == 1 else paths


def error_table(errors: dict[str, list[Errors]], state_labels: tuple[str, ...] | list[str]) -> Table:
    """A table of MAE and RMSE: a row for each quantity and state, two columns for each part of the data."""
    table = Table(title="Errors")
    table.add_column("quantity")
    table.add_column("unit")
    for part in errors:
        table.add_column(f"{part} MAE", justify="right")
        table.add_column(f"{part} RMSE", justify="right")
    rows: dict[tuple[str, str], dict[str, Errors]] = {}
    for part, found in errors.items():
        for each in found:
            rows.setdefault((each.quantity, each.whose(state_labels)), {})[part] = each
    several = len(state_labels) > 1
    for (quantity, whose), cells in rows.items():
        name = quantity.replace("_", " ") + (f", {whose}" if several else "")
        unit = UNITS[quantity]
        digits = 4 if quantity == "nac" else 2
        texts = [
            (f"{cells[part].mae:.{digits}f}", f"{cells[part].rmse:.{digits}f}") if part in cells else ("-", "-")
            for part in errors
        ]
        table.add_row(name, unit, *(text for pair in texts for text in pair))
    return table


def gap_table(rows: list[dict[str, Any]], state_labels: Sequence[str], part: str) -> Table:
    """A table of `mlff.train.pair_errors.errors_by_gap`: how well states are told apart and coupled where they are close."""
    table = Table(title=f"Pairs of states by their gap, {part}")
    coupled = any("coupling_cosine" in row for row in rows)
    titles = ("pair", "gap eV", "frames", "gap MAE meV")
    for title in (*titles, *("coupling MAE meV/Å", "RMSE", "NAC MAE 1/Å", "cosine") * coupled):
        table.add_column(title, justify="left" if title == "pair" else "right")
    for row in rows:
        every = row["from"] == 0 and row["to"] is None
        width = "all" if every else f"over {row['from']:g}" if row["to"] is None else f"{row['from']:g}-{row['to']:g}"
        cells = [f"{row['gap_mae_meV']:.1f}"]
        if coupled:
            cells += [
                "-" if (value := row.get(key)) is None else form.format(value) for key, form in COUPLING_COLUMNS.items()
            ]
        name = pair_name((row["pair"][0], row["pair"][1]), state_labels) if every else ""
        table.add_row(name, width, str(row["num_frames"]), *cells)
    return table


def closing_lines(folder: Path, reason: str, best_epoch: int, data: str, forces: bool = True) -> str:
    """Why the run ended, where things are, and lines that use the model as they stand; what needs forces, where it has them."""
    moved = f"    mlff optimize {folder} molecule.xyz\n    mlff md {folder} molecule.xyz\n" if forces else ""
    return (
        f"Stopped: {reason}. The model of epoch {best_epoch} is kept; see {folder / 'report.html'}\n\n"
        f"Use it in Python:\n\n"
        f"    from mlff import MLFFCalculator\n"
        f'    atoms.calc = MLFFCalculator("{folder}")\n\n'
        f"and from the command line:\n\n"
        f"    mlff evaluate {folder} {data}\n{moved}"
    )


def denoising_lines(folder: Path, reason: str, best_epoch: int) -> str:
    """The same of a model that was pre-trained, which is to be trained before it can be used."""
    return (
        f"Stopped: {reason}. The model of epoch {best_epoch} is kept; see {folder / 'report.html'}\n\n"
        f"Its forces point from noisy structures back to where the atoms were, 1 eV/Å for a standard deviation of the noise: "
        f"a model that finds none of it has an RMSE a little below 1000 meV/Å. Train it on energies and forces:\n\n"
        f"    mlff train --data FILE.h5 --init-from {folder} --out RUN\n"
    )


def device_name(device: torch.device) -> str:
    """The processor's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
