"""``mlff vibrations``: harmonic frequencies and normal modes with a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

    from mlff.dynamics import NormalModes

LARGEST_FORCE = 0.01
"""eV/angstrom, above which a structure is no minimum for which a harmonic picture holds."""


@click.command()
@click.argument("model")
@click.argument("structure")
@click.option("-o", "--output", metavar="FILE", help="Modes, in the Molden format.  [default: STRUCTURE.molden, here]")
@click.option("--hessian", "hessian_file", metavar="FILE.npz", help="Hessian (eV/Å²), masses, positions, modes as arrays.")
@click.option("--relax", is_flag=True, help="Relax the structure first, to 1e-4 eV/Å.")
@click.option("--state", default=0, show_default=True, help="Electronic state.")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: a GPU where there is one]")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    model: str, structure: str, output: str | None, hessian_file: str | None, relax: bool, state: int, device: str | None,
    overwrite: bool,
) -> None:  # fmt: skip
    """Vibrations of STRUCTURE (any file that ASE reads; FILE@0 for a certain frame) with MODEL, in float64.

    MODEL is a name that `mlff models` lists, a checkpoint, or the folder of a training run or of a committee. The second
    derivatives are those of the model, by automatic differentiation; translations and, of a molecule, rotations are projected
    out; of a crystal the modes are those at the Gamma point. Imaginary frequencies stand as negative numbers. The modes of a
    committee are those of its mean, and the standard deviation over its members stands behind each frequency.
    """
    import numpy as np

    from mlff.calculators import CommitteeCalculator, make_calculator
    from mlff.dynamics import hessian, normal_modes, run_relaxation
    from mlff.dynamics.aside import written_aside
    from mlff.dynamics.molden import write_molden
    from mlff.dynamics.structures import check_outputs, read_structure

    atoms = read_structure(structure)
    target = Path(output) if output else _default_output(structure)
    arrays = None if hessian_file is None else _checked_npz(hessian_file)
    check_outputs([target] if arrays is None else [target, arrays], inputs=[structure], overwrite=overwrite)
    atoms.calc = calculator = make_calculator(model, state=state, dtype="float64", device=device)
    members = calculator.members if isinstance(calculator, CommitteeCalculator) else [calculator]
    if relax:
        relaxation = run_relaxation(atoms, fmax=1e-4, steps=3000)
        atoms = relaxation.atoms
        if not relaxation.converged:
            raise ValueError(f"the relaxation did not converge (largest force {relaxation.max_forces[-1]:.2g} eV/Å); relax "
                             f"with `mlff optimize` first")
        click.echo(f"{'relaxed':<20}{relaxation.num_steps} steps, {relaxation.rmsd:.4f} Å from the start")
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    seconds = [hessian(each.potential, atoms, state) for each in members]
    second = np.mean(seconds, axis=0)
    modes = normal_modes(second, atoms.get_masses(), None if atoms.pbc.any() else atoms.positions)
    spread = np.std([modes.frequencies_in(each) for each in seconds], axis=0, ddof=1) if len(seconds) > 1 else None

    write_molden(target, atoms, modes)
    if arrays is not None:
        uncertainty = {} if spread is None else {"frequencies_uncertainty": spread}
        with written_aside(arrays) as aside, open(aside, "wb") as file:
            np.savez(file, hessian=second, masses=modes.masses, atomic_numbers=atoms.numbers, positions=atoms.positions,
                     frequencies=modes.frequencies, modes=modes.modes, **uncertainty)  # fmt: skip
    _print_table(atoms, modes, largest, spread)
    click.echo(f"{'written to':<20}{target}" + ("" if arrays is None else f", {arrays}"))
    if largest > LARGEST_FORCE:
        click.echo(f"Warning: the largest force is {largest:.3g} eV/Å, so this is no minimum and the low frequencies mean "
                   f"little; use --relax, or `mlff optimize` first.", err=True)  # fmt: skip


def _print_table(atoms: Atoms, modes: NormalModes, largest: float, spread: NDArray[np.float64] | None) -> None:
    from mlff.units import INVERSE_CM

    click.echo(f"{'energy':<20}{atoms.get_potential_energy():.6f} eV, largest force {largest:.2g} eV/Å")
    click.echo(f"   mode    1/cm {'' if spread is None else '     ± '}     meV   reduced mass, amu   atoms that move most")
    for k, (frequency, mass, moved) in enumerate(zip(modes.frequencies, modes.reduced_masses, modes.displacements)):
        shares = (moved**2).sum(axis=1)
        most = ", ".join(f"{atoms.symbols[i]}{i}" for i in shares.argsort()[::-1][:3])
        of_members = "" if spread is None else f"{spread[k]:7.1f}"
        click.echo(f"{k + 1:7d} {frequency:8.1f}{of_members} {1000 * INVERSE_CM * frequency:8.2f} {mass:19.3f}   {most}")
    imaginary = modes.num_imaginary
    click.echo(f"{'zero-point energy':<20}{modes.zero_point_energy:.4f} eV" + (
        f", without {imaginary} imaginary mode{'s' * (imaginary > 1)}" if imaginary else ""))  # fmt: skip


def _default_output(structure: str) -> Path:
    path = Path(structure if Path(structure).exists() else structure.rpartition("@")[0])
    return Path(f"{path.stem}.molden")


def _checked_npz(name: str) -> Path:
    path = Path(name)
    if path.suffix != ".npz":
        raise ValueError(f"the Hessian's file `{path}` has the suffix {path.suffix!r}; use .npz")
    return path
