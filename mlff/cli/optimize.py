"""``mlff optimize``: relax a structure with a trained model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.argument("structure")
@click.option("-o", "--output", metavar="FILE", help="Relaxed structure.  [default: STRUCTURE with -optimized, here]")
@click.option("--fmax", default=0.01, show_default=True, help="Converged when no force exceeds this, eV/Å.")
@click.option("--steps", default=500, show_default=True, help="Optimiser steps at most.")
@click.option("--optimizer", type=click.Choice(["BFGS", "LBFGS", "FIRE"], case_sensitive=False), default="BFGS",
              show_default=True)
@click.option("--meci", metavar="I,J", help="Find the lowest crossing of two electronic states instead of a minimum.")
@click.option("--algorithm", type=click.Choice(["penalty", "projection"]), default="penalty", show_default=True,
              help="Of --meci: a penalty on the gap, or projected gradients, which need couplings.")
@click.option("--gap", default=0.002, show_default=True, help="Of --meci: converged when the states are this near, eV.")
@click.option("--cell", is_flag=True, help="Relax the cell too.")
@click.option("--trajectory", metavar="FILE", help="Every step, to a .traj or .xyz file.")
@click.option("--state", default=0, show_default=True, help="Electronic state.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: a GPU where there is one]")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    model: str, structure: str, output: str | None, fmax: float, steps: int, optimizer: str, cell: bool,
    trajectory: str | None, state: int, dtype: str, device: str | None, overwrite: bool, meci: str | None, algorithm: str,
    gap: float,
) -> None:  # fmt: skip
    """Relax STRUCTURE (any file that ASE reads; FILE@0 for a certain frame) with MODEL.

    MODEL is a name that `mlff models` lists, a checkpoint, or the folder of a training run. Exit code 1: the forces
    did not converge; the last structure is written all the same.

    --state relaxes on another electronic state. --meci 0,1 finds the minimum-energy conical intersection of two states
    (Levine, Coe and Martinez 2008; --algorithm projection: Bearpark, Robb and Schlegel 1994).
    """
    if meci is not None:
        from mlff.cli.crossing import search

        if cell or trajectory is not None or state:
            raise click.UsageError("--meci goes with neither --cell nor --trajectory nor --state")
        search(model, structure, meci, output, algorithm, fmax, gap, steps, dtype, device, overwrite)
        return
    from rich.console import Console

    from mlff.calculators import make_calculator
    from mlff.dynamics.relax import run_relaxation
    from mlff.dynamics.structures import check_outputs, read_structure, structure_format, write_structure
    from mlff.dynamics.trajectory import check_suffix

    atoms = read_structure(structure)
    target = Path(output) if output else _default_output(structure)
    structure_format(target)
    outputs = [target] if trajectory is None else [target, check_suffix(trajectory)]
    check_outputs(outputs, inputs=[structure], overwrite=overwrite)
    atoms.calc = make_calculator(model, state=state, dtype=dtype, device=device)

    with Console(stderr=True).status("starting") as status:
        result = run_relaxation(
            atoms, fmax=fmax, steps=steps, optimizer=optimizer.upper(), cell=cell, trajectory=trajectory,  # type: ignore[arg-type]
            callback=lambda step, energy, force: status.update(
                f"step {step}: energy {energy:.4f} eV, largest force {force:.4f} eV/Å"
            ),
        )  # fmt: skip
    write_structure(target, result.atoms)
    click.echo(f"{'initial energy':<16}{result.energies[0]:16.6f} eV")
    click.echo(f"{'final energy':<16}{result.energies[-1]:16.6f} eV")
    click.echo(f"{'change':<16}{result.energies[-1] - result.energies[0]:16.6f} eV")
    click.echo(f"{'initial force':<16}{result.max_forces[0]:16.6f} eV/Å (largest)")
    click.echo(f"{'final force':<16}{result.max_forces[-1]:16.6f} eV/Å (largest)")
    click.echo(f"{'RMSD':<16}{result.rmsd:16.6f} Å")
    click.echo(f"{'steps':<16}{result.num_steps:16d}")
    click.echo(f"{'written to':<16}{target}")
    if not result.converged:
        reached = f"after {result.num_steps} steps the largest force is {result.max_forces[-1]:.4g} eV/Å, above {fmax:g}"
        click.echo(f"Not converged: {reached}; go on from {target} with more --steps or another --optimizer.", err=True)
        raise SystemExit(1)


def _default_output(structure: str) -> Path:
    path = Path(structure if Path(structure).exists() else structure.rpartition("@")[0])
    suffix = path.suffix if path.suffix in (".xyz", ".extxyz", ".traj", ".cif") else ".xyz"
    return Path(f"{path.stem}-optimized{suffix}")
