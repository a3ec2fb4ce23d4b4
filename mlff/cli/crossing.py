"""``mlff optimize --meci``: the lowest crossing of two electronic states of a trained model."""

from __future__ import annotations

from pathlib import Path

import click


def search(
    model: str, structure: str, states: str, output: str | None, algorithm: str, fmax: float, gap: float, steps: int,
    dtype: str, device: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Find the crossing from the structure, write it and print a table; exit code 1 where it does not converge."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from rich.console import Console

    from mlff.dynamics.namd.loading import load_members, model_surfaces
    from mlff.dynamics.namd.meci import find_crossing
    from mlff.dynamics.structures import check_outputs, read_structure, structure_format, write_structure

    words = states.split(",")
    if len(words) != 2 or not all(word.strip().isdigit() for word in words):
        raise ValueError(f"--meci is {states!r}; give two states, counted from 0, such as 0,1")
    atoms = read_structure(structure)
    if atoms.pbc.any():
        raise ValueError(f"`{structure}` is periodic; crossings are searched for molecules")
    target = Path(output) if output else _default_output(structure)
    structure_format(target)
    check_outputs([target], inputs=[structure], overwrite=overwrite)
    potential = model_surfaces(load_members(model), atoms.get_atomic_numbers(), device=device, dtype=dtype)  # type: ignore[arg-type]
    with Console(stderr=True).status("starting") as status:
        found = find_crossing(
            potential, atoms.get_positions(), (int(words[0]), int(words[1])), algorithm=algorithm,  # type: ignore[arg-type]
            fmax=fmax, gap=gap, steps=steps,
            callback=lambda step, energy, apart, force: status.update(
                f"step {step}: energy {energy:.4f} eV, gap {apart:.4f} eV, force along the seam {force:.4f} eV/Å"
            ),
        )  # fmt: skip
    atoms.set_positions(found.positions)
    atoms.calc = SinglePointCalculator(atoms, energy=float(found.energies[found.states[1]]))
    write_structure(target, atoms)
    for state, energy in enumerate(found.energies):
        click.echo(f"{f'energy of {state}':<16}{energy:16.6f} eV")
    click.echo(f"{'gap':<16}{found.gap:16.6f} eV (states {found.states[0]} and {found.states[1]})")
    click.echo(f"{'seam force':<16}{found.seam_force:16.6f} eV/Å (largest)")
    click.echo(f"{'steps':<16}{found.num_steps:16d}")
    click.echo(f"{'written to':<16}{target}")
    if not found.converged:
        click.echo(f"Not converged: after {found.num_steps} steps the gap is {found.gap:.4g} eV and the force along the seam "
                   f"{found.seam_force:.4g} eV/Å, and {gap:g} and {fmax:g} were asked for; go on from {target}.", err=True)
        raise SystemExit(1)


def _default_output(structure: str) -> Path:
    path = Path(structure if Path(structure).exists() else structure.rpartition("@")[0])
    suffix = path.suffix if path.suffix in (".xyz", ".extxyz", ".traj", ".cif") else ".xyz"
    return Path(f"{path.stem}-meci{suffix}")
