"""``mlff data export``: write the frames of a native file in another format."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("h5md", "extxyz", "ase-db", "shnitsel")
"""The exporters' names, repeated here so that ``--help`` imports none of them; a test holds the two together."""


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    type=click.Choice(FORMATS),
    help="h5md: H5MD 1.1, everything; extxyz: extended xyz; ase-db: ASE database as SPaiNN (several states) or SchNetPack "
    "(one) reads it; shnitsel: netCDF 4 of SHNITSEL.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write; if not given FILE's stem with the format's suffix, in the working folder.",
)
@click.option(
    "--split", help="Name of a split: a file for each part (..._train, ..._val, ..._test), or that of --part."
)
@click.option("--part", type=click.Choice(["train", "val", "test"]), help="Write this part of the split only.")
@click.option(
    "--trajectory", "trajectories", multiple=True, metavar="NAME", help="Write this trajectory only; repeatable."
)
@click.option(
    "--state",
    type=click.IntRange(min=0),
    help="State (from 0) of energy and forces in h5md and extxyz; 0 if not given.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    file: Path,
    to: str,
    output: Path | None,
    split: str | None,
    part: str | None,
    trajectories: tuple[str, ...],
    state: int | None,
    overwrite: bool,
) -> None:
    """Write the frames of FILE in another format.

    What the format cannot hold is said. Several systems become a file each, OUTPUT-SYSTEM, where the format cannot hold
    them together (ase-db). The files appear only when all of them are whole.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mlff.cli.data.source import open_data
    from mlff.data.exporters import export_frames

    dataset = open_data(file)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("writing", total=None)
        report = export_frames(
            dataset,
            output,
            to=to,
            split=split,
            part=part,
            trajectories=trajectories,
            state=state,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for line in report.lines:
        click.echo(f"  ! {line}")
    for path, count in report.files:
        click.echo(f"{count:,} frames written to {path}")
