"""``mlff convert``: a model that another package trained, as a checkpoint for every other command."""

from __future__ import annotations

import click


@click.command()
@click.argument("source", metavar="PACKAGE:FILE")
@click.option("-o", "--out", required=True, metavar="FOLDER", help="Where to write the checkpoint.")
@click.option(
    "--trust-pickle", is_flag=True,
    help="Open the file although it can run any code: say so only where you know who made it.",
)  # fmt: skip
@click.option("--head", metavar="NAME", help="Level of theory, of a MACE that was trained on several.")
@click.option("--overwrite", is_flag=True, help="Replace FOLDER.")
def command(source: str, out: str, trust_pickle: bool, head: str | None, overwrite: bool) -> None:
    """Turn a model that another package trained into a checkpoint.

    \b
    mlff convert mace:mymodel.model -o models/mine --trust-pickle
    mlff convert nequip:best.ckpt -o models/mine --trust-pickle
    mlff md models/mine molecule.xyz

    PACKAGE is mace (what mace_run_train writes, and foundation models) or nequip (checkpoints and packages of NequIP and of
    Allegro), and has to be installed, here and where the checkpoint is used. Such files are pickles, which can run any code
    when they are opened: FILE is opened once, here; a checkpoint is never unpickled. Energies and forces of the result are
    compared with the package's own.
    """
    from pathlib import Path

    from mlff.potential.external import convert

    if Path(out).exists() and not overwrite:
        raise ValueError(f"`{out}` exists; name another folder with -o, or replace it with --overwrite")
    path, energy, forces = convert(source, out, trust_pickle=trust_pickle, head=head)
    click.echo(f"{'written to':<14}{path}")
    click.echo(f"{'differs by':<14}{energy:.1e} eV an atom, {forces:.1e} eV/Å at most")
