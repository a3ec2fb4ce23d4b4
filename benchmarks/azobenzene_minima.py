"""Minima of azobenzene: python benchmarks/azobenzene_minima.py MODEL [--starts 5]

Both isomers are optimised from distorted starts (each atom moved by a normal random vector of 0.1 Å a component, the torsion
CNNC turned by 20 degrees) and compared with the GFN2-xTB minima in examples/structures: RMSD after alignment, and the
energy of cis above trans. The valley of trans is so flat along the twist of its rings that GFN2-xTB itself, relaxed from such a
start to 0.01 eV/Å, stops 0.17 Å from its own minimum; hence the small default of --fmax. With tblite installed the
reference energies are computed anew; else the stored ones are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.io import read

from mlff import MLFFCalculator
from mlff.dynamics import run_relaxation

STRUCTURES = Path(__file__).parent.parent / "examples/structures"
STORED = {"trans": -994.76576, "cis": -994.88324}
"""GFN2-xTB energies of the minima, eV (GFN2-xTB puts cis lower, unlike experiment)."""
CNNC = (5, 6, 7, 8)
SECOND_RING = (8, 9, 10, 11, 12, 13, 19, 20, 21, 22, 23)


def reference_energy(atoms: Atoms, isomer: str) -> float:
    """GFN2-xTB energy of a minimum, eV."""
    try:
        from tblite.ase import TBLite
    except ImportError:
        return STORED[isomer]
    atoms = atoms.copy()
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    return float(atoms.get_potential_energy())


def distorted(minimum: Atoms, seed: int) -> Atoms:
    """A start: rattled by 0.1 Å, torsion turned by 20 degrees, to alternate sides."""
    atoms = minimum.copy()
    atoms.rotate_dihedral(*CNNC, angle=20.0 if seed % 2 == 0 else -20.0, indices=SECOND_RING)
    atoms.rattle(0.1, seed=seed)
    return atoms


def aligned_rmsd(atoms: Atoms, reference: Atoms) -> float:
    """Root mean square distance of the atoms after the best alignment, Å; the mirror image counts as the same."""
    found = []
    for mirror in (1.0, -1.0):
        moved = atoms.copy()
        moved.positions[:, 0] *= mirror
        minimize_rotation_and_translation(reference, moved)
        found.append(float(np.sqrt(np.mean(np.sum((moved.positions - reference.positions) ** 2, axis=1)))))
    return min(found)


def relaxations(minimum: Atoms, calculator: Any, starts: int, fmax: float) -> Iterator[dict[str, Any]]:
    """Where the calculator leads from each of the starts."""
    for seed in range(starts):
        atoms = distorted(minimum, seed)
        atoms.calc = calculator
        relaxation = run_relaxation(atoms, fmax=fmax, steps=3000)
        final = relaxation.atoms
        yield {
            "seed": seed,
            "converged": bool(relaxation.converged),
            "rmsd_A": aligned_rmsd(final, minimum),
            "energy_eV": float(final.get_potential_energy()),
            "torsion_degrees": float(final.get_dihedral(*CNNC)),
        }


@click.command()
@click.argument("model")
@click.option("--starts", default=5, show_default=True, help="Starts for each isomer.")
@click.option("--fmax", default=2e-4, show_default=True, help="eV/Å.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="File for the figures.")
def main(model: str, starts: int, fmax: float, json_file: Path | None) -> None:
    """Optimise both isomers with MODEL from distorted starts."""
    torch.set_num_threads(1)
    calculator = MLFFCalculator(model, dtype="float64")
    result: dict[str, Any] = {"model": model, "fmax": fmax, "isomers": {}}
    reference, lowest = {}, {}
    for isomer in ("trans", "cis"):
        minimum = read(STRUCTURES / f"{isomer}.xyz")
        reference[isomer] = reference_energy(minimum, isomer)
        rows = []
        for row in relaxations(minimum, calculator, starts, fmax):
            rows.append(row)
            click.echo(
                f"{isomer:5s} start {row['seed']}: RMSD {row['rmsd_A']:.3f} Å, E - E_ref "
                f"{1000 * (row['energy_eV'] - reference[isomer]):+.1f} meV, CNNC {row['torsion_degrees']:.1f} degrees"
                f"{'' if row['converged'] else ', not converged'}"
            )
        lowest[isomer] = min(row["energy_eV"] for row in rows)
        result["isomers"][isomer] = {"reference_eV": reference[isomer], "starts": rows}
    model_gap, true_gap = (1000 * (e["cis"] - e["trans"]) for e in (lowest, reference))
    result |= {"cis_minus_trans_meV": model_gap, "reference_cis_minus_trans_meV": true_gap}
    difference = model_gap - true_gap
    click.echo(f"E(cis) - E(trans): {model_gap:.1f} meV, GFN2-xTB {true_gap:.1f} meV, difference {difference:+.1f} meV")
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
