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
    headings = ("name", "model", "features", "states", "cutoff (Å)", "elements", "trained on", "errors (test MAE)")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["model"], str(row["num_features"]), str(row["num_states"]), f"{row['cutoff']:g}",
                      " ".join(row["elements"]), str(row["extra"].get("trained_on", "-")), _errors(row["extra"]))
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


def _errors(extra: dict[str, Any]) -> str:
    """Text of ``extra["test_mae"]``: ``{"energy_meV": 12.3, "forces_meV_per_A": 40.1}``, or a text as it is."""
    errors = extra.get("test_mae")
    if not errors:
        return "-"
    if not isinstance(errors, dict):
        return str(errors)
    return ", ".join(f"{name.replace('_meV_per_A', '')} {value:.1f} meV/Å" if name.endswith("_meV_per_A")
                     else f"{name.replace('_meV', '')} {value:.1f} meV" if name.endswith("_meV")
                     else f"{name} {value:g}" for name, value in errors.items())
