"""``mlff select``: of many structures those to label next, where a committee disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlff.cli.states import MEANING, METAVAR, parse_states

if TYPE_CHECKING:
    from mlff.label.select import Selection

SHOWN = 20
"""Rows of the table."""


@click.command(name="select")
@click.argument("model")
@click.argument("structures", metavar="STRUCTURES...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Extended xyz to write, for `mlff label`.")
@click.option("--with", "others", multiple=True, metavar="MODEL", help="Another member of the committee; may be repeated.")
@click.option("--count", default=100, show_default=True, help="Structures to pick.")
@click.option("--by", type=click.Choice(["forces", "energy", "gap"]), default="forces", show_default=True,
              help="Whose disagreement counts: the worst atom's force, the energy, or the gap to the next state.")
@click.option("--states", metavar=METAVAR, help=f"Electronic states that count: {MEANING}; all by default.")
@click.option("--min-disagreement", default=0.0, show_default=True, help="Leave out what the members agree on, eV/Å or eV.")
@click.option("--max-disagreement", type=float, help="Leave out where they disagree more: broken chemistry.")
@click.option("--pool", default=10, show_default=True,
              help="Pick the most different of so many times COUNT structures with the largest disagreement.")
@click.option("--every", default=1, show_default=True, help="Look at every so-many-th structure of each file.")
@click.option("--batch-size", default=32, show_default=True, help="Structures computed at once.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Arithmetic; as the models were saved by default.")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: a GPU where there is one]")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def command(model: str, structures: tuple[str, ...], output: Path, others: tuple[str, ...], **options: Any) -> None:
    """Pick the structures to label next, among STRUCTURES, by the disagreement of a committee.

    MODEL is the folder of a committee (`mlff train --committee 4`), or one of several models, the others by --with. STRUCTURES
    are folders of `mlff namd`, native files, or files of any format of ASE such as trajectories of `mlff md` (FILE@INDEX for
    some frames).

    \b
    mlff select runs/four hop -o next.xyz --count 50 --min-disagreement 0.2 --max-disagreement 3
    mlff label next.xyz -o data.h5 --append --calculator tblite

    Inside the window the most uncertain structures are kept, ten times as many as asked for, and of these the ones that are
    most unlike each other, so that neighbouring frames are not all picked. docs/active_learning.md has the whole loop.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    from mlff.label.select import check_output, select, write_selection

    check_output(output, overwrite=options["overwrite"], sources=structures)
    states = None if options["states"] is None else parse_states(options["states"])
    members = _members([model, *others], options["device"], options["dtype"])
    sources = [file for each in structures for file in _files(each)]
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing", total=None)
        selection = select(
            sources, members, count=options["count"], by=options["by"], states=states,
            min_disagreement=options["min_disagreement"], max_disagreement=options["max_disagreement"], pool=options["pool"],
            every=options["every"], batch_size=options["batch_size"],
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    write_selection(output, selection)
    for line in (*_summary(selection, options), "", *_table(selection)):
        click.echo(line)
    click.echo(f"\n{len(selection.structures):,} structures written to {output}")
    if len(selection.structures) < options["count"]:
        click.echo("Note: fewer than asked for; the window holds no more that differ from each other.", err=True)


def _members(models: Sequence[str], device: str | None, dtype: str | None) -> list[Any]:
    import torch

    from mlff.potential.checkpoint import load_potential
    from mlff.potential.committee import resolve_members
    from mlff.potential.device import chosen_device

    place = chosen_device(device)
    paths = [path for model in models for path in resolve_members(model)]
    return [load_potential(path, device=place, dtype=None if dtype is None else getattr(torch, dtype)) for path in paths]


def _files(source: str) -> list[str]:
    """The file that was named, or those of a run of surface hopping in a folder."""
    from mlff.dynamics.namd.gather import native_files

    return [str(each) for each in native_files(Path(source))] if Path(source).is_dir() else [source]


def _summary(selection: Selection, options: dict[str, Any]) -> list[str]:
    """How the disagreement is distributed, and what the window leaves."""
    import numpy as np

    from mlff.label.select import UNITS

    values, unit = selection.all_values, UNITS[selection.by]
    known = values[np.isfinite(values)]
    quantiles = ", ".join(f"{name} {np.quantile(known, part):.3g}" for name, part in
                          (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("largest", 1.0)))  # fmt: skip
    upper = options["max_disagreement"]
    counts = [f"{len(values) - selection.below - selection.above:,} in the window"]
    if selection.below:
        counts.append(f"{selection.below:,} below {options['min_disagreement']:g}")
    if selection.above:
        counts.append(f"{selection.above:,} {'not finite' if upper is None else f'above {upper:g} or not finite'}")
    return [f"{'disagreement':<16}{selection.by}, {unit}: {quantiles}",
            f"{'structures':<16}{len(values):,}: {', '.join(counts)}"]


def _table(selection: Selection) -> list[str]:
    """The first rows of what was picked."""
    from mlff.label.select import UNITS

    several = selection.disagreement.gap.shape[1] > 0
    heading = ["", "from", "time fs", f"forces {UNITS['forces']}", "energy eV", *(["gap eV"] if several else []), "distance"]
    rows = [heading]
    for k, each in enumerate(selection.structures[:SHOWN]):
        frame, measured = each.frame, selection.disagreement
        where = f"{Path(each.source).name}, {each.place}" if frame.trajectory is None else frame.trajectory
        where += "" if frame.trajectory is None or frame.step is None else f", step {frame.step}"
        numbers = [measured.forces[k].max(), measured.energy[k].max(), *([measured.gap[k].max()] if several else [])]
        far = "" if k == 0 else f"{selection.distances[k]:.3g}"
        rows.append([str(k + 1), where, "" if frame.time is None else f"{frame.time:g}", *(f"{x:.3g}" for x in numbers), far])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) if column == 1 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths))) for row in rows]  # fmt: skip
    more = len(selection.structures) - SHOWN
    return lines + ([f"... and {more:,} more"] if more > 0 else [])
