"""The accuracy table of README.md: python benchmarks/azobenzene_table.py --data FOLDER [--write README.md]

FOLDER holds azo.zip, the full azobenzene set (its DATA.md says what it is). Every shipped model called azobenzene-...
and every one in benchmarks/trajectory_split is evaluated on val and test of the split that it was trained on, which its
checkpoint names: "time" (the published one: the start of every trajectory trains, its end tests) or "trajectory" (whole
trajectories held out; these models exist for the table alone). Errors are mean
absolute errors; those of the forces also in bins of the torsion |CNNC|, because the two splits differ most there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

from mlff import HDF5Dataset, HDF5Writer, evaluate, list_models, load_potential
from mlff.data.importers import import_sources
from mlff.data.splits import by_trajectory
from mlff.potential.checkpoint import read_document
from mlff.train.metrics import errors_by_torsion

CNNC = (5, 6, 7, 8)
TORSION_BINS = (0, 30, 60, 120, 150, 180)
"""Degrees."""
VAL_TRAJECTORIES = ("t002", "t013", "t022", "t031", "t043")
TEST_TRAJECTORIES = ("t001", "t010", "t019", "t026", "t037", "t046", "t055")
PARTS = ("val", "test")
HELD_OUT = Path(__file__).parent / "trajectory_split"
"""Models trained on the split by trajectory."""
MARKS = ("<!-- accuracy: written by `make table`, do not edit -->", "<!-- end of accuracy -->")


@dataclass(frozen=True)
class Row:
    """Errors of one model."""

    name: str
    split: str
    num_parameters: int
    training: dict[str, Any]
    """What the checkpoint says of its training."""
    errors: dict[str, dict[str, Any]]
    """``Metrics.table`` of each part."""
    by_torsion: dict[str, list[dict[str, Any]]]
    """Rows of ``errors_by_torsion`` of each part."""


def prepare(folder: Path, output: Path) -> HDF5Dataset:
    """The full set as a native file with both splits, made once."""
    if not output.is_file():
        output.parent.mkdir(parents=True, exist_ok=True)
        import_sources([folder / "azo.zip"], output, split_name="time")
    dataset = HDF5Dataset(output)
    if "trajectory" not in dataset.splits:
        split = by_trajectory(dataset, val=VAL_TRAJECTORIES, test=TEST_TRAJECTORIES)
        with HDF5Writer(output, "a") as writer:
            writer.add_split("trajectory", split, kind="trajectory")
        dataset = HDF5Dataset(output)
    return dataset


def measure(name: str, path: Path, dataset: HDF5Dataset) -> Row:
    """Errors of a shipped model on the split that it was trained on."""
    training = read_document(path)["extra"]
    split = {"given": "time"}.get(training.get("split"), training.get("split"))  # `mlff data import` says "given"
    if split not in dataset.splits:
        raise ValueError(f"{name} does not say that it was trained on one of {', '.join(dataset.splits)}: {split!r}")
    potential = load_potential(path)
    errors, by_torsion = {}, {}
    for part in PARTS:
        metrics = evaluate(potential, dataset, dataset.split(split)[part])
        errors[part] = metrics.table()
        by_torsion[part] = errors_by_torsion(metrics, dataset, CNNC, TORSION_BINS)
    num_parameters = sum(parameter.numel() for parameter in potential.parameters())
    return Row(name, split, num_parameters, training, errors, by_torsion)


def budget(training: dict[str, Any]) -> str:
    """What training cost, as far as the checkpoint says."""
    words = []
    if "wall_time_s" in training:
        words.append(f"{training['wall_time_s'] / 60:.0f} min")
    if "processor_time_s" in training:
        words.append(f"{training['processor_time_s'] / 60:.0f} processor min")
    if "epochs" in training:
        words.append(f"{training['epochs']} epochs")
    if "device" in training:
        words.append(training["device"])
    return ", ".join(words) or "not recorded"


def accuracy_lines(rows: list[Row]) -> list[str]:
    lines = [
        "| model | split | parameters | training | val energy / forces | test energy / forces |",
        "| --- | --- | ---: | --- | ---: | ---: |",
    ]
    for row in rows:
        cells = [
            f"{row.errors[part]['energy_mae_meV']:.0f} / {row.errors[part]['forces_mae_meV_per_A']:.0f}"
            for part in PARTS
        ]
        lines.append(
            f"| {row.name} | {row.split} | {row.num_parameters:,} | {budget(row.training)} | {' | '.join(cells)} |"
        )
    return lines


def torsion_lines(rows: list[Row]) -> list[str]:
    """Force errors in bins of the torsion, val and test side by side, for the models of one split."""
    names = " | ".join(row.name for row in rows)
    lines = [f"| torsion | frames | {names} |", "| --- | ---: |" + " ---: |" * len(rows)]
    for k, (low, high) in enumerate(zip(TORSION_BINS[:-1], TORSION_BINS[1:], strict=True)):
        bins = {part: [row.by_torsion[part][k] for row in rows] for part in PARTS}
        frames = " / ".join(str(bins[part][0]["num_frames"]) for part in PARTS)
        cells = [
            " / ".join(
                f"{bins[part][i]['forces_mae_meV_per_A']:.0f}" if bins[part][i]["num_frames"] else "-" for part in PARTS
            )
            for i in range(len(rows))
        ]
        lines.append(f"| {low} to {high} degrees | {frames} | {' | '.join(cells)} |")
    return lines


def document(rows: list[Row]) -> str:
    """Both tables in Markdown, with what was measured."""
    blocks = [
        "Mean absolute errors in meV (energy of the molecule) and meV/Å (force component), on all val and test frames of\n"
        "the azobenzene set (GFN2-xTB, 24 atoms). The mean frame is 4 eV above the minimum, and the mean absolute force\n"
        "component is 1480 meV/Å. `time`: the first half of each trajectory trains, the last quarter tests; `trajectory`:\n"
        "whole trajectories are held out. Training: 64 features, one CPU thread beside other programs, the learning rate\n"
        "ending at the time limit; the minutes include compiling the step, and the epochs are what fitted into them. The\n"
        "models' cards have all settings.",
        "\n".join(accuracy_lines(rows)),
    ]
    for split in dict.fromkeys(row.split for row in rows):
        blocks.append(f"Force errors by the torsion |CNNC|, val / test, split by {split}:")
        blocks.append("\n".join(torsion_lines([row for row in rows if row.split == split])))
    return "\n\n".join(blocks)


def insert(text: str, table: str) -> str:
    """The document with what stands between the marks replaced."""
    begin, end = MARKS
    if begin not in text or end not in text:
        raise ValueError(f"the document lacks the lines `{begin}` and `{end}` that the table is written between")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Put the table in here.")
@click.option("--threads", default=2, show_default=True)
def main(data: Path, write: Path | None, threads: int) -> None:
    """Print the accuracy table of the shipped azobenzene models."""
    torch.set_num_threads(threads)
    dataset = prepare(data, Path("build/azobenzene_gfn2.h5"))
    shipped = {name: path for name, path in list_models().items() if name.startswith("azobenzene-")}
    held_out = {path.name: path for path in sorted(HELD_OUT.iterdir()) if path.is_dir()} if HELD_OUT.is_dir() else {}
    if not shipped:
        raise click.ClickException("no model in models/ is called azobenzene-...; nothing to measure")
    rows = [measure(name, path, dataset) for name, path in [*shipped.items(), *held_out.items()]]
    table = document(sorted(rows, key=lambda row: (row.split, row.name)))
    click.echo(table)
    if write is not None:
        write.write_text(insert(write.read_text(), table))


if __name__ == "__main__":
    main()
