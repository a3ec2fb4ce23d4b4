"""A model of azobenzene tried out: python benchmarks/azobenzene_trial.py MODEL [--picoseconds 20] [--card models/NAME]

Minima, vibrations and the torsion CNNC beside GFN2-xTB (azobenzene_reference.json), relaxations from distorted structures
(those of azobenzene_minima.py), and molecular dynamics: 8 replicas of each isomer at 300, 600 and 1,400 K, first with a
thermostat, then at constant energy, steps of 0.5 fs. Every few steps the bond graph (atoms nearer than 1.3 times the sum of
their covalent radii) is compared with that of the start. What was found goes to OUT/trial.json as soon as it is known and is
not computed again; the figure to OUT/trial.png; with --card both a section of the card and the figure to that model's folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from ase import Atoms
from azobenzene_minima import aligned_rmsd, relaxations
from azobenzene_reference import ANGLES, CNNC, ISOMERS, REFERENCE, isomer_structure, minimum, torsion_scan
from azobenzene_trial_card import TEMPERATURES, section, write_section
from azobenzene_trial_figure import draw
from bond_graph import BondWatch

from mlff import MLFFCalculator
from mlff.calculators import make_calculator
from mlff.datasets import azobenzene
from mlff.dynamics import hessian, normal_modes, run_replicas

TIMESTEP = 0.5
"""fs."""
INTERVAL = 5
"""Steps between looks at the bonds."""
POINTS = 200
"""Of a curve in the figure."""
STARTS = 5
"""Distorted ones of each isomer."""


def structures(model: str, reference: dict[str, Any]) -> dict[str, Any]:
    """Minima, vibrations and torsion of the model beside GFN2-xTB."""
    calculator = MLFFCalculator(model, dtype="float64", compile=False)
    minima = {isomer: minimum(isomer, calculator) for isomer in ISOMERS}
    found: dict[str, Any] = {"isomers": {}}
    for isomer, atoms in minima.items():
        theirs = reference["isomers"][isomer]
        modes = normal_modes(hessian(calculator.potential, atoms), atoms.get_masses(), atoms.positions)
        expected = np.array(theirs["frequencies_per_cm"])
        errors = modes.frequencies - expected
        found["isomers"][isomer] = {
            "energy_eV": float(atoms.get_potential_energy()),
            "positions_A": atoms.positions.round(6).tolist(),
            "rmsd_A": aligned_rmsd(atoms, Atoms(atoms.numbers, theirs["positions_A"])),
            "frequencies_per_cm": modes.frequencies.round(2).tolist(),
            "frequency_mae_per_cm": float(np.abs(errors).mean()),
            "frequency_largest_per_cm": float(errors[np.abs(errors).argmax()]),
            "num_imaginary": modes.num_imaginary,
            "zero_point_energy_eV": modes.zero_point_energy,
        }
    found["torsion"] = {"angles_degrees": list(ANGLES), "energies_eV": torsion_scan(minima, calculator)}
    return found


def arrivals(model: str, minima: dict[str, Any]) -> list[dict[str, Any]]:
    """Relaxations from distorted structures: where they end, and how far above the model's own minimum."""
    calculator = MLFFCalculator(model, dtype="float64", compile=False)
    return [
        {"isomer": isomer, "above_minimum_meV": 1000 * (row["energy_eV"] - minima[isomer]["energy_eV"])} | row
        for isomer in ISOMERS
        for row in relaxations(isomer_structure(isomer), calculator, STARTS, fmax=2e-4)
    ]


def simulations(
    model: str, isomer: str, start: Atoms, temperature: int, replicas: int, picoseconds: float, equilibrate: float
) -> dict[str, Any]:
    """Replicas at constant energy after a thermostat: drift of the energy, broken bonds, torsions at the end."""
    start.calc = make_calculator(model, compile=True)
    watch = BondWatch(start, replicas)
    steps = round(1000 * picoseconds / TIMESTEP), round(1000 * equilibrate / TIMESTEP)
    before = time.process_time()
    result = run_replicas(
        [start] * replicas, steps=steps[0], equilibrate=steps[1], timestep=TIMESTEP, temperature=float(temperature), seed=0,
        interval=INTERVAL, callback=watch,
    )  # fmt: skip
    milliseconds = 1000 * (time.process_time() - before) / (sum(steps) * replicas)
    logs = [simulation.energies for simulation in result.simulations]
    stride = max(1, max(len(log.time) for log in logs) // POINTS)
    torsions = [simulation.atoms.get_dihedral(*CNNC) for simulation in result.simulations]
    return {
        "isomer": isomer,
        "temperature_K": temperature,
        "processor_ms_per_step_and_replica": round(milliseconds, 3),
        "mean_temperature_K": float(np.mean(np.concatenate([log.temperature for log in logs]))),
        "exploded": [k for k, failure in enumerate(result.failures) if failure],
        "failures": [failure for failure in result.failures if failure],
        "looks": watch.looks,
        "looks_with_other_bonds": watch.changed,
        "bonds_at_end_are_those_of_the_start": watch.intact,
        "longest_bond_over_radii": [round(value, 3) for value in watch.longest],
        "drift_meV_per_atom_ps": [round(log.drift, 5) for log in logs],
        "rms_meV_per_atom": [round(log.fluctuation, 4) for log in logs],
        "torsion_at_end_degrees": [round(min(angle, 360 - angle), 1) for angle in torsions],
        "time_ps": [(log.time[::stride] / 1000).round(4).tolist() for log in logs],
        "energy_change_meV_per_atom": [
            ((log.total - log.total[:1])[::stride] * 1000 / log.num_atoms).round(4).tolist() for log in logs
        ],
    }


def bonds_in_data() -> dict[str, Any]:
    """How often, by the same measure, bonds are others in the frames of GFN2-xTB that come with the package."""
    dataset, start = azobenzene(), isomer_structure("trans")
    watch = BondWatch(start, 1)
    for k in range(len(dataset)):
        watch(0, (k,), Atoms(start.numbers, dataset[k].positions))
    return {"frames": watch.looks[0], "with_other_bonds": watch.changed[0], "longest_bond_over_radii": watch.longest[0]}


def digest_of(model: str) -> str:
    """A digest of the settings and weights that the model has now."""
    potential = MLFFCalculator(model, compile=False).potential
    digest = hashlib.sha256(potential.config.model_dump_json().encode())
    for name, tensor in sorted(potential.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


@click.command()
@click.argument("model")
@click.option("--picoseconds", default=20.0, show_default=True, help="At constant energy, of each replica.")
@click.option("--equilibrate", default=1.0, show_default=True, help="With the thermostat before, ps.")
@click.option("--replicas", default=8, show_default=True)
@click.option("--temperature", "temperatures", type=click.Choice(TEMPERATURES), multiple=True, default=TEMPERATURES,
              show_default=True, help="K.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder.  [default: trial-MODEL]")
@click.option("--card", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder with the card.")
def main(
    model: str, picoseconds: float, equilibrate: float, replicas: int, temperatures: tuple[int, ...], out: Path | None,
    card: Path | None,
) -> None:  # fmt: skip
    """Try MODEL on azobenzene."""
    torch.set_num_threads(1)
    reference = json.loads(REFERENCE.read_text())
    out = out or Path(f"trial-{Path(model).name}")
    out.mkdir(parents=True, exist_ok=True)
    file = out / "trial.json"
    asked = {"model": Path(model).name, "digest": digest_of(model), "picoseconds": picoseconds,
             "equilibrate_ps": equilibrate, "replicas": replicas}  # fmt: skip
    trial = json.loads(file.read_text()) if file.is_file() else {}
    if trial.get("asked") != asked:
        trial = {"asked": asked, "simulations": []}
    if "data" not in trial:
        trial["data"] = bonds_in_data()
        file.write_text(json.dumps(trial) + "\n")
    if "structures" not in trial:
        trial["structures"] = structures(model, reference)
        file.write_text(json.dumps(trial) + "\n")
    if "relaxations" not in trial:
        trial["relaxations"] = arrivals(model, trial["structures"]["isomers"])
        file.write_text(json.dumps(trial) + "\n")
    done = {(each["isomer"], each["temperature_K"]) for each in trial["simulations"]}
    for temperature in temperatures:
        for isomer in ISOMERS:
            if (isomer, temperature) in done:
                continue
            start = isomer_structure(isomer)
            start.positions = trial["structures"]["isomers"][isomer]["positions_A"]
            found = simulations(model, isomer, start, temperature, replicas, picoseconds, equilibrate)
            trial["simulations"].append(found)
            file.write_text(json.dumps(trial) + "\n")
            click.echo(f"{isomer} {temperature} K: largest drift {max(map(abs, found['drift_meV_per_atom_ps'])):.3g} "
                       f"meV/atom/ps, {sum(found['looks_with_other_bonds'])} of {sum(found['looks'])} looks with other "
                       f"bonds, {len(found['exploded'])} exploded")  # fmt: skip
    draw(trial, reference, out / "trial.png")
    click.echo("\n".join(section(trial, reference)))
    if card is not None:
        draw(trial, reference, card / "trial.png")
        write_section(card / "README.md", section(trial, reference))


if __name__ == "__main__":
    main()
