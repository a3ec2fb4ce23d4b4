"""What positions tell beyond bonds: python benchmarks/conformers.py --out RUNS [--minutes 2.5]

Topological models and a geometrical one learn the energies of the relaxed conformers of chno (`mlff.datasets`), each for as
many minutes of processor time; whole molecules are held out. The table has the errors in the energies of held-out molecules
and, of those with two conformers, the errors in their difference, its correlation with the reference, and in how many the lower
one was found. A run that is finished is not computed again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from mlff.data import HDF5Dataset, HDF5Writer
from mlff.data.splits import by_trajectory
from mlff.datasets import chno
from mlff.potential.checkpoint import load_potential
from mlff.train.config import TrainConfig
from mlff.train.metrics import evaluate
from mlff.train.trainer import train

RELAXED = 0.05
"""eV/Å; the largest force on an atom of a relaxed conformer."""
FRACTIONS = (0.7, 0.1, 0.2)
TIE = 1e-5
"""eV; energies that differ by less, the rounding of float32, are not told apart."""
MODELS: dict[str, dict[str, Any]] = {
    "gcn": {"name": "gcn"},
    "mpnn": {"name": "mpnn"},
    "graph-transformer": {"name": "graph-transformer"},
    "painn, 64 features": {"name": "painn", "num_features": 64},
}


@dataclass(frozen=True)
class ConformerErrors:
    """Errors in the energies of conformers, eV, and in the differences within the molecules that have two."""

    energy_mae: float
    difference_mae: float
    correlation: float | None
    """Pearson's; None where all differences are the same."""
    ordered: int
    """Molecules whose lower conformer was found, ..."""
    tied: int
    """... that have two conformers of the same energy, ..."""
    pairs: int
    """... out of so many."""


def pairs(molecules: list[str]) -> np.ndarray:
    """Rows of the two conformers of each molecule that has two, ``[2, P]``."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(molecules):
        rows.setdefault(name, []).append(row)
    return np.array([two for two in rows.values() if len(two) == 2]).reshape(-1, 2).T


def conformer_errors(predicted: np.ndarray, reference: np.ndarray, molecules: list[str]) -> ConformerErrors:
    """Errors of energies ``[B]`` in eV of conformers of these molecules; a molecule has one or two."""
    first, second = pairs(molecules)
    found, true = predicted[second] - predicted[first], reference[second] - reference[first]
    tied = np.abs(found) < TIE
    return ConformerErrors(
        energy_mae=float(np.abs(predicted - reference).mean()),
        difference_mae=float(np.abs(found - true).mean()),
        correlation=None if tied.all() else float(np.corrcoef(found, true)[0, 1]),
        ordered=int(((found * true > 0) & ~tied).sum()), tied=int(tied.sum()), pairs=len(first),
    )  # fmt: skip


def least_error(reference: np.ndarray, molecules: list[str]) -> float:
    """The mean absolute error, eV, that no model goes below that gives the conformers of a molecule one energy."""
    names = np.array(molecules)
    medians = {name: np.median(reference[names == name]) for name in molecules}
    return float(np.abs(reference - [medians[name] for name in molecules]).mean())


def prepare(out: Path) -> HDF5Dataset:
    """chno with a split of its molecules that holds more of them out than its own does."""
    path = out / "chno.h5"
    if not path.exists():
        partial = out / "partial-chno.h5"
        shutil.copy(chno().path, partial)
        with HDF5Writer(partial, "a") as writer:
            writer.add_split("molecules", by_trajectory(HDF5Dataset(partial), FRACTIONS), kind="trajectory", seed=0)
        partial.rename(path)
    return HDF5Dataset(path)


def run(title: str, data: HDF5Dataset, minutes: float, out: Path) -> Path:
    """The folder of the finished run of this model, which is trained where it is not there yet."""
    folder = out / title.replace(", ", "-").replace(" ", "-")
    if not (folder / "summary.json").exists():
        train(TrainConfig.build({
            "data": {"path": str(data.path), "split": "molecules", "filter": {"max_force": RELAXED}, "validation_frames": 300},
            "model": MODELS[title], "loss": {"energy": 1.0, "forces": 0.0}, "epochs": 10_000, "batch_size": 16,
            "max_time": minutes, "clock": "processor", "out": str(folder),
        }))  # fmt: skip
    return folder


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the data and the runs.")
@click.option("--minutes", default=2.5, show_default=True, help="Processor time of each run.")
@click.option("--only", multiple=True, help="These rows alone.")
def main(out: Path, minutes: float, only: tuple[str, ...]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    data = prepare(out)
    every = [(str(frame.trajectory), float(frame.energy[0])) for frame in data.select(max_force=RELAXED)]
    first, second = pairs([name for name, _ in every])
    differences = 1000 * np.abs([every[i][1] - every[j][1] for i, j in zip(first, second)])
    test = data[data.split("molecules")["test"]].select(max_force=RELAXED)
    frames = [*test]
    molecules = [str(frame.trajectory) for frame in frames]
    reference = np.array([frame.energy[0] for frame in frames])
    lines, energies = [], np.zeros(0)
    for title in only or MODELS:
        potential = load_potential(run(title, data, minutes, out))
        energies = energies if len(energies) else potential.reference_energies()
        found = evaluate(potential, test).predictions["energy"][:, 0]
        errors = conformer_errors(found, reference, molecules)
        correlation = "none" if errors.correlation is None else f"{errors.correlation:.2f}"
        parameters = sum(parameter.numel() for parameter in potential.parameters())
        lines.append(f"| {title} | {parameters:,} | {1000 * errors.energy_mae:.0f} | {1000 * errors.difference_mae:.1f} | "
                     f"{correlation} | {errors.ordered} of {errors.pairs} | {errors.tied} |")
    atoms_alone = np.array([energies[frame.atomic_numbers].sum() for frame in frames])
    least = 1000 * least_error(reference, molecules)
    print(f"\n{len(first)} molecules have two conformers, whose energies differ by {np.median(differences):.0f} meV in the "
          f"median and {differences.max():.0f} meV at most.")
    print(f"Held out are {len(frames)} conformers of {len(set(molecules))} molecules. Sums of the atoms' reference energies "
          f"are off by {1000 * np.abs(atoms_alone - reference).mean():.0f} meV,\none energy for all conformers of a molecule "
          f"by {least:.1f} meV at least.\n")
    print("| model | parameters | energy MAE meV | difference MAE meV | correlation | lower one found | tied |")
    print("|---|---:|---:|---:|---:|---:|---:|", *lines, sep="\n")


if __name__ == "__main__":
    main()
