"""``mlff export``: a model as a program that torch alone can run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A file that ends in .pt2.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def command(model: str, out: Path, dtype: str, overwrite: bool) -> None:
    """Write MODEL as a torch.export program for hosts without mlff: energies, forces and virial of all states.

    MODEL is a name that `mlff models` lists, a checkpoint, or the folder of a training run. `torch.export.load` reads the
    file in Python, and torch compiles it for C++; it holds nothing of this machine. The host finds the pairs of atoms.
    What it must know (cutoff, elements, units, order of inputs) is in metadata.json inside; docs/export.md has examples.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already; give another name, or --overwrite")

    from mlff.calculators.ase import DTYPES
    from mlff.fast.portable import save_portable
    from mlff.potential.checkpoint import load_potential

    potential = load_potential(model, dtype=DTYPES[dtype]).requires_grad_(False)
    save_portable(potential, out)
    click.echo(f"{'written':<10}{out}, {out.stat().st_size / 1e6:.1f} MB")
    click.echo(f"{'program':<10}{potential.config.model.model_dump()['name']}, {dtype}, cutoff {potential.cutoff:g} angstrom, "
               f"states {potential.num_states}")
