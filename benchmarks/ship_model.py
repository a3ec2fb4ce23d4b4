"""Put a finished run's model into models/, with its card: python benchmarks/ship_model.py RUN NAME [--into FOLDER]

The checkpoint keeps what it is of (data, split, level of theory) and gets what training cost; the card is README.md in
the model's folder, written from the run's summary.json and config.yaml.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from mlff import load_potential, save_potential
from mlff.potential.checkpoint import read_document
from mlff.train.clock import MINUTES, SECONDS_KEY

MODELS = Path(__file__).parents[1] / "models"


def minutes(summary: dict[str, Any]) -> str:
    """What training took, by the clock that the run was kept by."""
    clock = next(clock for clock, key in SECONDS_KEY.items() if key in summary)
    return f"{summary[SECONDS_KEY[clock]] / 60:.0f} {MINUTES[clock]}"


def card(name: str, summary: dict[str, Any], config: str) -> str:
    """The model's README.md."""
    data = summary["dataset"]
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
        f"Training: {minutes(summary)}, {summary['epochs']} epochs, {summary['steps']:,} steps, "
        f"{summary['frames_per_second']} frames/s on {summary['device']} ({summary['processes']} process(es), "
        f"{summary['threads']} thread(s)); stopped: {summary['stop_reason']}; the weights are those of epoch "
        f"{summary['best_epoch']}. {versions}.",
        "",
        "| part | frames | energy MAE, meV | force MAE, meV/Å |",
        "| --- | ---: | ---: | ---: |",
    ]
    for part, errors in summary["errors"].items():
        lines.append(
            f"| {part} | {errors['num_frames']:,} | {errors['energy_mae_meV']:.1f} | "
            f"{errors['forces_mae_meV_per_A']:.1f} |"
        )
    lines += [
        "",
        "To train it again, save these settings as settings.yaml beside the data file (docs/formats.md and "
        "benchmarks/azobenzene_table.py tell how the azobenzene file is made) and run `mlff train settings.yaml`:",
        "",
        "```yaml",
        settings(config),
        "```",
        "",
    ]
    return "\n".join(lines)


def settings(config: str) -> str:
    """The run's configuration without the places of files on the machine that trained it."""
    values = yaml.safe_load(config)
    path = values["data"]["path"]
    values["data"]["path"] = [Path(each).name for each in path] if isinstance(path, list) else Path(path).name
    values["out"] = Path(values["out"]).name
    return yaml.safe_dump(values, sort_keys=False).strip()


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
@click.option("--level-of-theory", help="What the data are of, where their file does not say it.")
@click.option("--into", default=MODELS, type=click.Path(file_okay=False, path_type=Path), help="Folder; models/ by default.")
def main(run: Path, name: str, level_of_theory: str | None, into: Path) -> None:
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
    (folder / "README.md").write_text(card(name, summary, (run / "config.yaml").read_text()))
    size = sum(path.stat().st_size for path in folder.iterdir())
    click.echo(f"{folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
