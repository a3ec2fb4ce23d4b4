"""``mlff models``: the trained models that come with the package."""

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(as_json: bool) -> None:
    """List the trained models that come with the package.

    A name in the list is a MODEL for every other command and for MLFFCalculator.
    """
    import json

    from mlff.potential.checkpoint import read_document
    from mlff.potential.pretrained import list_models

    rows = [_row(name, read_document(path)) for name, path in list_models().items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("No models are installed. A model of your own is given by its path: the folder of its training run.")
        return

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ("name", "model", "features", "states", "cutoff (Å)", "elements", "trained on", "MAE (meV / meV/Å)")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["model"], str(row["num_features"]), str(row["num_states"]), f"{row['cutoff']:g}",
                      " ".join(row["elements"]), _trained_on(row["extra"]), _errors(row["extra"]))
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: do not break names
    console.print(table)


def _row(name: str, document: dict[str, Any]) -> dict[str, Any]:
    from ase.data import chemical_symbols

    potential, extra = document["potential"], document["extra"]
    model = potential["model"]
    return {
        "name": name,
        "model": model["name"],
        "num_features": model["num_features"],
        "num_states": potential["num_states"],
        "cutoff": model["cutoff"],
        "elements": [chemical_symbols[number] for number in potential["species"]],
        "extra": extra,
    }


def _trained_on(extra: dict[str, Any]) -> str:
    """The data, how they were split, and their level of theory, as training writes them into a checkpoint."""
    parts = [str(extra.get("data", "-"))]
    if extra.get("split"):
        parts.append(f"split {extra['split']}")
    if extra.get("level_of_theory"):
        parts.append(str(extra["level_of_theory"]))
    return ", ".join(parts)


def _errors(extra: dict[str, Any]) -> str:
    """Mean absolute errors of energy (meV) and forces (meV/Å): on the test part, else those of validation."""
    for part, errors, prefix in (("test", extra.get("errors", {}).get("test"), ""), ("val", extra.get("validation"), "val_")):
        if errors:
            values = (errors.get(f"{prefix}{name}") for name in ("energy_mae_meV", "forces_mae_meV_per_A"))
            return " / ".join("-" if value is None else f"{value:.1f}" for value in values) + f" ({part})"
    return "-"
