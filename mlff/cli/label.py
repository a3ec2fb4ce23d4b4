"""``mlff label``: energies and forces of structures from any ASE calculator, into a native file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="label")
@click.argument("structures", metavar="STRUCTURES...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The native HDF5 file to write.")
@click.option(
    "--calculator", default="tblite", show_default=True, metavar="NAME",
    help="tblite, xtb, emt, lj (tblite:method=GFN1-xTB with a setting); package.module:Class; or a MODEL.",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the calculator; may be repeated.")
@click.option("--charge", type=float, help="Total charge (e); what the structures say if not given, else 0.")
@click.option("--multiplicity", type=click.IntRange(min=1), help="2S+1; what the structures say if not given.")
@click.option("--level-of-theory", help="What the energies are of; made of the calculator and its settings if not given.")
@click.option(
    "--every", type=click.IntRange(min=1), default=1, show_default=True, help="Take every so-many-th structure of each file."
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), default=1, show_default=True,
    help="Processes that compute side by side, each with one thread (or OMP_NUM_THREADS, where it is set).",
)  # fmt: skip
@click.option("--append", is_flag=True, help="Add to the output file if it exists; its splits stay, without the new frames.")
@click.option("--overwrite", is_flag=True, help="Replace the output file if it exists, and drop an unfinished labelling.")
def command(
    structures: tuple[str, ...], output: Path, calculator: str, settings: tuple[str, ...], charge: float | None,
    multiplicity: int | None, level_of_theory: str | None, every: int, workers: int, append: bool, overwrite: bool,
) -> None:  # fmt: skip
    """Compute energies and forces of STRUCTURES and write them to a native file.

    STRUCTURES are files of any format of ASE (all frames; FILE@INDEX for some) and native files, whose own labels are
    left aside. Forces are stored for every frame, stress where the cell is periodic and the calculator has it.

    \b
    mlff label molecules.xyz -o labelled.h5 --calculator tblite --workers 4
    mlff label md.traj -o labelled.h5 --calculator tblite --set method=GFN1-xTB --charge 1
    mlff label frames.h5 -o labelled.h5 --calculator ase.calculators.orca:ORCA --set orcasimpleinput="PBE def2-SVP"
    mlff label new.xyz -o labelled.h5 --append --calculator runs/painn

    A structure that fails, such as one whose SCF does not converge, is left out and told. What is done is kept in
    OUTPUT.labels at once; after Ctrl-C or a kill the same command goes on.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from mlff.label import label
    from mlff.label.calculators import parse_settings

    with Progress(
        *Progress.get_default_columns(), TextColumn("{task.fields[told]}"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("labelling", total=None, told="")

        def show(done: int, failed: int, total: int) -> None:
            bar.update(task, completed=done, total=total, told=f"{done}/{total}" + (f", {failed} failed" if failed else ""))

        try:
            report = label(
                structures,
                output,
                calculator=calculator,
                settings=parse_settings(settings),
                charge=charge,
                multiplicity=multiplicity,
                level_of_theory=level_of_theory,
                every=every,
                workers=workers,
                append=append,
                overwrite=overwrite,
                progress=show,
            )
        except KeyboardInterrupt:
            bar.stop()
            click.echo("What was labelled is kept; the same command goes on from there.", err=True)
            raise
    click.echo(report.text())
    click.echo(f"{report.num_frames:,} frames {'added' if append else 'written'} to {output}")
