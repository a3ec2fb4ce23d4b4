"""``mlff benchmark data``: how fast data are read, beside what people use for it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("data")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--frames",
    type=click.IntRange(min=1000),
    default=80_400,
    show_default=True,
    help="Frames of 12 atoms and 3 states in the file that is made where FILE is not given.",
)
@click.option("--xyz", type=click.Path(path_type=Path), help="An extended xyz file; azobenzene's frames if not given.")
@click.option(
    "--sharc", type=click.Path(path_type=Path), help="A SHARC run (folder with output.dat), to compare with shnitsel-tools."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write figures and machine to this file.")
def command(file: Path | None, frames: int, xyz: Path | None, sharc: Path | None, json_file: Path | None) -> None:
    """Time batches of a native FILE, import of extended xyz and of SHARC text, beside the usual ways.

    Ratios of processor times on one thread, round by round, as median and quartiles. The numbers that are read are
    compared too. Takes about a minute.
    """
    import json
    import tempfile

    from rich.console import Console
    from rich.table import Table

    from mlff.benchmarks.data import Comparison, batch_comparisons, sharc_comparisons, xyz_comparison
    from mlff.benchmarks.machine import describe_machine

    for given in (file, xyz, sharc):
        if given is not None and not given.exists():
            raise FileNotFoundError(f"there is no file or folder {given}")
    console = Console()
    rows: list[Comparison] = []
    machine = describe_machine(threads=1)
    with tempfile.TemporaryDirectory(prefix="mlff-benchmark-") as name, console.status("measuring"):
        folder = Path(name)
        rows += batch_comparisons(folder, file, frames)
        rows.append(xyz_comparison(folder, xyz))
        if sharc is not None:
            rows += sharc_comparisons(folder, sharc)
    table = Table("what; beside", "ours", "theirs", "", "ratio", "goal")
    for row in rows:
        sign, word = ("<=", "times theirs") if row.limit else (">=", "times faster")
        mark = "" if row.reached else " [red]missed[/red]"
        table.add_row(row.name, str(row.ours), str(row.theirs), row.unit, f"{row.ratio} {word}", f"{sign} {row.goal:g}{mark}")
    console.print(table)
    console.print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}")
    if sharc is None:
        console.print("give --sharc RUN to compare the reading of SHARC text with shnitsel-tools'")
    if json_file is not None:
        document = {"machine": machine, "comparisons": [row.document() for row in rows]}
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
