"""``mlff data import``: read trajectories and write one native file."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = (
    "sharc",
    "spainn-db",
    "newton-x",
    "pyrai2md-log",
    "pyrai2md-json",
    "mudslide",
    "shnitsel",
    "h5md",
    "md17",
    "extxyz",
    "xxmd",
    "ase",
    "folder",
)
"""The importers' names, repeated here so that ``--help`` imports none of them; a test holds the two together."""


@click.command("import")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The native HDF5 file to write.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Format of the sources; recognised if not given.")
@click.option(
    "--split-name",
    default="given",
    show_default=True,
    help="Name of the split that the sources' names give (..._train, ..._val, ..._test).",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Keep every so-many-th frame of each trajectory (of xyz files: of each file, so of each given split).",
)
@click.option("--energy-key", help="Key of the energy (eV) in comment lines, or in ASE's info; found if not given.")
@click.option("--forces-key", help="Name of the force columns or arrays (eV/angstrom); found if not given.")
@click.option(
    "--level-of-theory", default="", help='What the energies are of, such as "B3LYP/6-31G*"; kept in the file.'
)
@click.option("--charge", type=float, help="Total charge (e), where the sources do not say it; 0 if not given.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that read runs, or the files of a set of xyz files, side by side.",
)
@click.option("--strict", is_flag=True, help="Write nothing if anything had to be dropped or masked, or looks wrong.")
@click.option("--overwrite", is_flag=True, help="Replace the output file if it exists.")
@click.option(
    "--append", is_flag=True, help="Add to the output file if it exists; its splits stay, without the new frames."
)
def command(
    sources: tuple[Path, ...],
    output: Path,
    format_: str | None,
    split_name: str,
    every: int,
    energy_key: str | None,
    forces_key: str | None,
    level_of_theory: str,
    charge: float | None,
    workers: int,
    strict: bool,
    overwrite: bool,
    append: bool,
) -> None:
    """Read trajectories and write one native HDF5 file.

    SRC is an extended xyz file, a zip of such files (the layout of the xxMD data; s0, s1, ... are states), a file of
    ASE, a folder of these, a run of another program (see --format), or a folder of runs. Damaged files give every
    whole frame; what was dropped is said. The output appears only when it is whole.
    """
    import shutil

    from rich.console import Console
    from rich.progress import Progress

    from mlff.data.importers import import_sources

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        report = import_sources(
            sources,
            output,
            format=format_,
            split_name=split_name,
            every=every,
            energy_key=energy_key,
            forces_key=forces_key,
            level_of_theory=level_of_theory,
            charge=charge,
            strict=strict,
            overwrite=overwrite,
            append=append,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    click.echo(report.text(width=shutil.get_terminal_size((120, 24)).columns))
    click.echo(f"{report.num_frames:,} frames {'added' if append else 'written'} to {output}")
