"""Put a finished run's model into models/, with its card: python benchmarks/ship_model.py RUN NAME [--torsion DATA.h5]

The checkpoint keeps what it is of (data, split, level of theory) and gets what training cost; the card is README.md in
the model's folder, written from the run's summary.json and config.yaml, and settings.yaml what it was trained with. Then
`python benchmarks/azobenzene_trial.py NAME --card models/NAME` tries the model and adds what it found to the card.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from mlff import HDF5Dataset, load_potential, save_potential
from mlff.potential.checkpoint import read_document
from mlff.train.clock import MINUTES, SECONDS_KEY

MODELS = Path(__file__).parents[1] / "models"


def minutes(summary: dict[str, Any]) -> str:
    """What training took, by the clock that the run was kept by."""
    clock = next(clock for clock, key in SECONDS_KEY.items() if key in summary)
    return f"{summary[SECONDS_KEY[clock]] / 60:.0f} {MINUTES[clock]}"


NOT_FOR = (
    "Not for: other molecules, even of the same elements; bonds that break or form; structures far beyond the energies of its "
    "data; electronic states that it was not trained on."
)


def card(name: str, summary: dict[str, Any], torsion_lines: list[str]) -> str:
    """The model's README.md."""
    data = summary["dataset"]
    last = summary["best_epoch"] > summary["epochs"]  # the time ended within an epoch, and its weights were the best
    weights = "those of the last step" if last else f"those of epoch {summary['best_epoch']}"
    versions = ", ".join(f"{package} {version}" for package, version in summary["versions"].items())
    lines = [
        f"# {name}",
        "",
        f"{summary['model']}, {summary['num_parameters']:,} parameters, trained on {data['num_train']:,} frames of "
        f"{data['data']} (split by {data['split']}, {data['level_of_theory'] or 'level of theory not recorded'}).",
        "",
        f'Use: `MLFFCalculator("{name}")`, `mlff md {name} molecule.xyz`. It knows the elements and the part of '
        "configuration space that it was trained on, no others.",
        "",
        NOT_FOR,
        "",
        f"Training: {minutes(summary)}, {summary['epochs']} epochs, {summary['steps']:,} steps, "
        f"{summary['frames_per_second']} frames/s on {summary['device']} ({summary['processes']} process(es), "
        f"{summary['threads']} thread(s)); stopped: {summary['stop_reason']}; the weights are {weights}. {versions}.",
        "",
        "| part | frames | energy MAE, meV | force MAE, meV/Å | energy RMSE | force RMSE |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for part, errors in summary["errors"].items():
        shown = (errors.get(f"{quantity}_{kind}_{unit}") for kind in ("mae", "rmse")
                 for quantity, unit in (("energy", "meV"), ("forces", "meV_per_A")))  # fmt: skip
        cells = ("–" if value is None else f"{value:.1f}" for value in shown)
        lines.append(f"| {part} | {errors['num_frames']:,} | {' | '.join(cells)} |")
    lines += [
        "",
        *torsion_lines,
        f"To train it again: `mlff train models/{name}/settings.yaml data.path=FILE`, FILE being the data (docs/formats.md and "
        "benchmarks/azobenzene_table.py tell how the azobenzene file is made).",
        "",
    ]
    return "\n".join(lines)


def torsion_table(name: str, model: Path, data: Path) -> list[str]:
    """Force errors on val and test in bins of the torsion |CNNC| of azobenzene."""
    from azobenzene_table import measure

    row = measure(name, model, HDF5Dataset(data))
    lines = ["| torsion, degrees | val: frames, force MAE in meV/Å | test: frames, force MAE |", "| --- | ---: | ---: |"]
    for bins in zip(row.by_torsion["val"], row.by_torsion["test"]):
        cells = [f"{each['num_frames']:,}, {each['forces_mae_meV_per_A']:.1f}" if each["num_frames"] else "0" for each in bins]
        lines.append(f"| {bins[0]['from']:g} to {bins[0]['to']:g} | {cells[0]} | {cells[1]} |")
    return [*lines, ""]


def settings(config: str) -> str:
    """The run's configuration without the places of files on the machine that trained it."""
    values = yaml.safe_load(config)
    path = values["data"]["path"]
    values["data"]["path"] = [Path(each).name for each in path] if isinstance(path, list) else Path(path).name
    values["out"] = Path(values["out"]).name
    return yaml.safe_dump(values, sort_keys=False)


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
@click.option("--level-of-theory", help="What the data are of, where their file does not say it.")
@click.option("--torsion", "data", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Azobenzene's data file: the card gets force errors by the torsion, too.")
@click.option("--into", default=MODELS, type=click.Path(file_okay=False, path_type=Path), help="Folder; models/ by default.")
def main(run: Path, name: str, level_of_theory: str | None, data: Path | None, into: Path) -> None:
    """Copy the model of a finished RUN to models/NAME."""
    file = run / "summary.json"
    if not file.is_file():
        raise click.ClickException(f"{run} has no summary.json: it is not a finished run")
    summary = json.loads(file.read_text())
    level = summary["dataset"]["level_of_theory"] = summary["dataset"]["level_of_theory"] or level_of_theory
    costs = ("epochs", "steps", *SECONDS_KEY.values(), "frames_per_second", "device")
    cost = {key: summary[key] for key in costs if key in summary}
    extra = read_document(run / "model")["extra"] | cost
    extra |= {"level_of_theory": level or "", "errors": summary["errors"]}
    folder = save_potential(load_potential(run), into / name, extra=extra)
    table = [] if data is None else torsion_table(name, folder, data)
    (folder / "README.md").write_text(card(name, summary, table))
    (folder / "settings.yaml").write_text(settings((run / "config.yaml").read_text()))
    size = sum(path.stat().st_size for path in folder.iterdir())
    click.echo(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
