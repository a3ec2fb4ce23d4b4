"""Errors far from the data: python benchmarks/azobenzene_distorted.py MODEL [MODEL ...] [--sigma 0.1] [--draws 40]

Every coordinate of both minima of azobenzene is moved by a normal random number, and each model's energy and forces are
compared with GFN2-xTB's (pip install "mlff[reference]"). Moves of 0.05 Å cost 3 eV and are inside what the shipped models
were trained on (4 eV on average), 0.1 Å cost 13 eV and 0.15 Å 31 eV. A mean error on test frames does not show what a model
does there, where rough structures of a builder begin; one that is far too low falls apart in a relaxation. Where MODEL is
the folder of a committee, a second line tells how many of the structures with a wrong force its spread finds.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import torch
from ase import Atoms
from azobenzene_minima import STORED
from azobenzene_reference import ISOMERS, isomer_structure

from mlff.calculators import make_calculator

WRONG = 0.5
"""Error of the force on an atom from which a structure counts as wrong, and disagreement from which as told, eV/Å."""


def distorted(sigma: float, draws: int) -> list[Atoms]:
    """Both minima with normal random moves of the coordinates, Å."""
    structures = [isomer_structure(isomer) for isomer in ISOMERS for _ in range(draws)]
    for number, atoms in enumerate(structures):
        atoms.rattle(sigma, rng=np.random.default_rng(number % draws))
    return structures


def surface(structures: list[Atoms], calculator: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies ``[B]``, eV, forces ``[B, N, 3]``, eV/Å, and a committee's standard deviation of the forces, zero for others."""
    energies, forces, spreads = [], [], []
    for atoms in structures:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        spreads.append(calculator.results.get("forces_uncertainty", np.zeros_like(forces[-1])))
    return np.array(energies), np.array(forces), np.array(spreads)


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--sigma", type=click.FloatRange(0, min_open=True), multiple=True, default=(0.05, 0.1, 0.15), show_default=True)
@click.option("--draws", type=click.IntRange(1), default=40, show_default=True, help="Of each isomer.")
def main(models: tuple[str, ...], sigma: tuple[float, ...], draws: int) -> None:
    """Compare MODELS with GFN2-xTB on distorted azobenzene."""
    from tblite.ase import TBLite

    torch.set_num_threads(1)
    calculators = {model: make_calculator(model, dtype="float64", compile=False) for model in models}
    print("sigma, Å  above the minimum, eV  force MAE, meV/Å: median, largest  energy error, eV: lowest, highest  model")
    for width in sigma:
        structures = distorted(width, draws)
        energies, forces, _ = surface(structures, TBLite(method="GFN2-xTB", verbosity=0))
        height = energies.mean() - min(STORED.values())
        for model, calculator in calculators.items():
            found, slopes, spreads = surface(structures, calculator)
            wrong, errors = found - energies, 1000 * np.abs(slopes - forces).mean(axis=(1, 2))
            print(f"{width:8.2f}  {height:21.1f}  {np.median(errors):24.0f}, {errors.max():7.4g}"
                  f"  {wrong.min():24.4g}, {wrong.max():7.4g}  {model}")  # fmt: skip
            if spreads.any():
                far, told = (np.linalg.norm(each, axis=2).max(axis=1) > WRONG for each in (slopes - forces, spreads))
                print(f"{'':8}  {far.sum()} of {len(far)} structures have an atom whose force is wrong by over {WRONG} eV/Å;"
                      f" the members deviate by more in {(far & told).sum()} of these and in {(told & ~far).sum()} others")


if __name__ == "__main__":
    main()
