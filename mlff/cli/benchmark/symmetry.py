"""``mlff benchmark symmetry``: what models declare of their symmetry, beside what they have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from mlff.benchmarks.symmetry import Kind, Measurement


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--structures", "file", metavar="FILE", type=click.Path(path_type=Path),
              help="Structures of any format that ASE reads.  [default: frames of azobenzene]")
@click.option("--frames", type=click.IntRange(1), default=3, show_default=True, help="Structures, evenly spaced.")
@click.option("--draws", type=click.IntRange(1), default=3, show_default=True, help="Random transformations of each kind.")
@click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the transformations.")
@click.option("--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every figure as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def command(
    models: tuple[str, ...], file: Path | None, frames: int, draws: int, dtype: str, seed: int, json_path: Path | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """Turn, mirror and move structures and exchange their atoms, and compare energies and forces.

    A MODEL is an architecture with random weights (painn, or painn:num_features=64), a name that `mlff models` lists, a
    checkpoint or a run folder; without one, all architectures whose packages are installed. Shown is the largest of
    |f(gx) - g f(x)| over random g, relative to the root mean square of f: for energies (less the atoms' reference energies) and
    forces. The exit code is 1 where a model lacks a symmetry that it declares.

    \b
    mlff benchmark symmetry
    mlff benchmark symmetry gnn azobenzene-painn runs/mine
    mlff benchmark symmetry tensornet:group=SO(3) --dtype float32 --json symmetry.json
    """
    import json

    import numpy as np
    from rich.console import Console

    from mlff.benchmarks.machine import describe_machine
    from mlff.benchmarks.symmetry import LIMITS, REGISTERED, azobenzene_frames, measure_symmetry, prepare_potential
    from mlff.data.selection import spread
    from mlff.dynamics.aside import written_aside
    from mlff.dynamics.structures import check_outputs, read_structures

    check_outputs([path for path in (json_path,) if path is not None], overwrite=overwrite)
    if file is None:
        structures, source = azobenzene_frames(frames), "frames of azobenzene"
    else:
        read = read_structures(file)
        structures, source = [read[index] for index in spread(np.arange(len(read)), frames)], f"structures of {file}"
    found, notes = [], []
    for name in models or REGISTERED:
        click.echo(f"measuring {name}", err=True)
        try:
            potential = prepare_potential(name, dtype)
        except ImportError as error:
            if models:
                raise
            notes.append(f"{name} is not measured: {error}")
            continue
        found.append(measure_symmetry(name, potential, structures, draws=draws, seed=seed))
    if json_path is not None:
        settings = {"structures": source, "frames": len(structures), "draws": draws, "seed": seed, "dtype": dtype}
        document = {"machine": describe_machine(1), "settings": settings, "limit": LIMITS[dtype],
                    "results": [each.document() for each in found]}  # fmt: skip
        with written_aside(json_path) as aside:
            aside.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: do not break lines
    console.print(_table(found))
    console.print(
        f"largest |f(gx) - g f(x)| of energies / forces over the root mean square of f; {len(structures)} {source}, {draws} "
        f"transformations of each kind, {dtype}: up to {LIMITS[dtype]:.0e} is round-off, more is marked *",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for note in notes:
        console.print(f"! {note}", markup=False, highlight=False, soft_wrap=True)
    if any(each.broken for each in found):
        raise SystemExit(1)


def _table(measurements: list[Measurement]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from mlff.benchmarks.symmetry import DECLARED

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "declares", *DECLARED["O(3)"], "equivariant?"):
        table.add_column(heading)
    for each in measurements:
        cells = [_cell(each, kind) for kind in DECLARED["O(3)"]]
        table.add_row(escape(each.model), each.declared, *cells, f"[red]{each.verdict}[/red]" if each.broken else each.verdict)
    return table


def _cell(measurement: Measurement, kind: Kind) -> str:
    deviation = measurement.deviations.get(kind)
    if deviation is None:
        return "atoms told apart"
    forces = "none" if deviation.forces is None else f"{deviation.forces:.0e}"
    return f"{deviation.energy:.0e} / {forces}{'' if measurement.holds(kind) else ' *'}"
